"""A ledger that is behind its anchors: an old copy was put back, or a tail was cut. Its runs would act a second time.

Decides, before a run is driven, whether the last anchor of its tree still holds; and what a person accepts, who has
looked outside. `data check` looks at everything; here only the last word on one tree is looked for, from the end.
"""

import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from magsag.adapters.store.claims import Claims, content_of
from magsag.adapters.store.failures import no_access
from magsag.domain.errors import StoreBroken
from magsag.domain.ids import RunId

HeadAt = Callable[[RunId, int], bytes | None]
"""the chain of a run at a seq, as the ledger has it now; None when it does not reach so far"""


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
