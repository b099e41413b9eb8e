"""A ledger that is behind its anchors: an old copy was put back, or a tail was cut. Its runs would act a second time.

Decides, before a run is driven, whether the last anchor of its tree still holds; and what a person accepts, who has
looked outside. `data check` looks at everything; here only the last word on one tree is looked for, from the end.
"""

import mmap
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from magsag.adapters.store.anchors import Anchors
from magsag.adapters.store.claims import Claims, content_of
from magsag.adapters.store.failures import no_access, require_file
from magsag.adapters.store.reading import Answers
from magsag.domain.errors import StoreBroken
from magsag.domain.facts import ENDS, RunEnded
from magsag.domain.ids import RunId

HeadAt = Callable[[RunId, int], bytes | None]
"""the chain of a run at a seq, as the ledger has it now; None when it does not reach so far"""
_OTHER_CLOCKS: Final = 60_000_000
"""so far, in microseconds, may the clock run ahead by which a run was created"""


class BehindPart:
    """What a store asks its anchors, the same on every database."""

    _reads: Answers
    _anchors: Anchors
    _mine: tuple[str, ...]
    """how a ledger with several files of anchors calls this one"""
    _opened: int | None = None
    _whole: set[RunId]
    """trees of which the ledger holds what was anchored here"""

    def _require_not_behind(self, root: RunId) -> None:
        """Once for each tree that is older than this opening of the ledger: what is newer has no older copy."""
        if self._opened is None:
            self._opened, self._whole = time.time_ns() // 1000 + _OTHER_CLOCKS, set()
        if root not in self._whole:
            row = self._reads.one("row", (root,))
            if row is not None and row[13] < self._opened:
                self._require_some(root)
                require_not_behind(self._anchors.path, root, self._head_at)
            self._whole.add(root)

    def _require_some(self, root: RunId) -> None:
        """Where the file is gone nobody can tell whether the ledger is behind it. Raises StoreBroken."""
        path = self._anchors.path
        require_file(path)
        if begun_anew(path) or (_is_empty(path) and self._reads.one("vouched_for", self._mine) is not None):
            raise StoreBroken(
                f"run {root} is not driven: its anchors {path} are gone, though runs have ended, so nobody can tell "
                "whether an old copy of the ledger was put back. Put the file back; if it is lost, look outside, then "
                "`magsag data accept` begins another from what this ledger holds"
            )

    def _tell_accepted(self, by: str) -> dict[RunId, int]:
        """The anchors are told up to where each run holds, and then where it stands; call it inside `held`."""
        claims = self._anchors.claims()
        claims.vacuumed.update(run for (run,) in self._reads.all("vacuumed_elsewhere", self._mine))
        found = {**self._unvouched(claims), **accepted(claims, self._head_at)}
        rows = [row for run in found if (row := self._reads.one("row", (run,))) is not None]
        if found or begun_anew(self._anchors.path):
            self._anchors.append_accepted(found, by)
        if rows:
            self._anchors.append([(row[0], row[15], bytes(row[16])) for row in rows])
        return found

    def _unvouched(self, claims: Claims) -> dict[RunId, int]:
        """Runs whose end this file should hold, and does not: up to which fact it does."""
        owed = {run for (run,) in self._reads.all("owed_anchors", self._mine)}
        found: dict[RunId, int] = {}
        for row in self._reads.all("every_run"):
            if row[10] not in ENDS or row[0] in owed or row[0] in claims.vacuumed:
                continue
            held = max((seq for seq, _ in claims.runs.get(row[0], ())), default=0)
            after = self._reads.all("facts_after", (row[0], held)) if held < row[15] else ()
            if any(fact[0] == RunEnded.__name__ for fact in after):
                found[row[0]] = held
        return found

    def _head_at(self, run: RunId, seq: int) -> bytes | None:
        row = self._reads.one("head_at", (run, seq))
        return None if row is None else bytes(row[0])


def begins_anew(anchors: Anchors, reads: Answers, mine: tuple[str, ...]) -> bool:
    """Whether the next line is the first though runs have ended whose lines were written: the file was lost."""
    return anchors.is_empty and reads.one("vouched_for", mine) is not None


def begun_anew(path: Path) -> bool:
    """Whether the file says that there was another before it, and nobody has accepted that yet. Raises StoreBroken."""
    if _is_empty(path):
        return False
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            first = content_of(data[: max(0, data.find(b"\n"))])
            return first is not None and first.get("anew") is True and data.find(b'"accepted":[') < 0
    except OSError as error:
        raise no_access(path, error) from error


def _is_empty(path: Path) -> bool:
    return not path.exists() or path.stat().st_size == 0


def require_not_behind(path: Path, root: RunId, head_at: HeadAt) -> None:
    """Raise StoreBroken when the anchors know more of this tree than the ledger, or other facts."""
    for run, seq, head in last_rests(path, root):
        found = head_at(run, seq)
        if found is None or found.hex() != head:
            said = f"the anchors hold fact {seq} of run {run}, and the ledger {'other facts' if found else 'less'}"
            raise StoreBroken(
                f"run {root} is not driven: {said}. An old copy was put back, or facts were cut: what the run did "
                "since would happen again. Put the newer ledger back; or look at `magsag data check` and outside, then "
                "`magsag data accept` lets runs go on from what this ledger holds"
            )


def last_rests(path: Path, root: RunId) -> list[tuple[RunId, int, str]]:
    """What the last line that names runs of this tree says of them: run, seq, head."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return []
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                for line in _lines_with(data, root):
                    content = content_of(line)
                    if content is None:
                        continue
                    return [rest for rest in _rests(content) if rest[0] == root or rest[0].startswith(f"{root}.")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise no_access(path, error) from error
    return []


def accepted(claims: Claims, head_at: HeadAt) -> dict[RunId, int]:
    """Runs whose anchors do not hold: up to which fact they do."""
    found: dict[RunId, int] = {}
    for run, anchored in claims.runs.items():
        if run in claims.vacuumed:
            continue
        held = 0
        for seq, head in anchored:
            at = head_at(run, seq)
            if at is None or at.hex() != head:
                found[run] = held
                break
            held = seq
    return found


def _lines_with(data: mmap.mmap, root: RunId) -> Iterator[bytes]:
    """Lines in which a run of the tree is named, the last one first."""
    end = len(data)
    while True:
        at = max(data.rfind(f'"{root}"'.encode(), 0, end), data.rfind(f'"{root}.'.encode(), 0, end))
        if at < 0:
            return
        start, stop = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
        if stop >= 0:
            yield data[start:stop]
        end = start


def _rests(content: dict[str, Any]) -> list[tuple[RunId, int, str]]:
    return [(run, seq, head) for run, seq, head in content.get("runs", ())]
