"""The store-wide chain of anchors, kept outside the database: one line for each commit in which runs came to rest.

    {"n": 7, "at": 1790000000000000, "runs": [["run", 12, "head"]], "prev": "...", "hash": "..."}
    {"n": 8, "at": ..., "vacuumed": ["run"], "prev": "...", "hash": "..."}
    {"n": 9, "at": ..., "runs": [...], "imported": [["run", 12]], "prev": "...", "hash": "..."}
    {"n": 10, "at": ..., "accepted": [["run", 10]], "by": "ann", "prev": "...", "hash": "..."}

`"anew": true` in its first line: the file was gone, though the ledger knew of ends that it held.

A line's hash is over its bytes before `hash`; `prev` is the hash of the line before. Whoever cuts a run's tail or
rewrites it must rewrite this file too; copy it elsewhere, and that shows as well. A line is appended after its
commit, without a sync of its own. What the ledger must hold because of it: `adapters.store.checking`.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from pydantic_core import to_json

from magsag.adapters.store.claims import Claims, claimed_hash, claims_of, content_of, held_against, lines_at
from magsag.adapters.store.failures import held_elsewhere, no_access, require_file
from magsag.adapters.store.filelock import lock_within, unlock
from magsag.domain.ids import RunId

Rest = tuple[RunId, int, bytes]
"""a run, the seq of its last fact, its head"""
_TAIL_BYTES: Final = 1 << 16
LOCK_AT: Final = 0x7FFF0000
"""the byte that stands for the file, far behind what is in it"""
_BRIEF_SECONDS: Final = 0.02
"""how long a file is waited for that was waited for in vain"""
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)


class Anchors:
    """The file of anchors. Callers serialise threads; processes are kept apart by a file lock."""

    def __init__(self, path: Path, patience_seconds: float) -> None:
        """`patience_seconds` is how long other processes are waited for."""
        self.path = path
        self._patience_seconds = patience_seconds
        self._is_stuck = False
        self._descriptor = -1
        self._size = -1
        self._n = 0
        self._hash = ""

    @contextmanager
    def held(self) -> Iterator[None]:
        """The file is open and ours while the block runs. Raises StoreBroken: before the block when the file is not to
        be had, and for an OSError of what is done with it there."""
        if not self._take(self._patience_seconds):
            raise held_elsewhere(self.path)
        try:
            yield
        except OSError as error:
            raise no_access(self.path, error) from error
        finally:
            unlock(self._descriptor, LOCK_AT)

    @contextmanager
    def held_if_free(self) -> Iterator[bool]:
        """As `held`, but where another process does not let go of it the block runs without, and is told so.

        Once that was so, it is not waited for at length before it was had again. Raises StoreBroken.
        """
        is_ours = self._take(_BRIEF_SECONDS if self._is_stuck else self._patience_seconds)
        self._is_stuck = not is_ours
        try:
            yield is_ours
        finally:
            if is_ours:
                unlock(self._descriptor, LOCK_AT)

    @contextmanager
    def still(self) -> Iterator[None]:
        """Nobody is between a commit and its line while the block runs; a missing file stays missing."""
        if not self.path.exists():
            yield
            return
        with self.held():
            yield

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever written to it; call it inside `held`."""
        return os.fstat(self._descriptor).st_size == 0

    def append(self, runs: Sequence[Rest], anew: bool = False, imported: Sequence[tuple[str, int]] = ()) -> None:
        """One line for the runs of a commit; call it inside `held`. `anew`: lines before were lost. Raises OSError.

        `imported` are those that came with this commit from another ledger, and with how many facts.
        """
        lost = {"anew": True} if anew else {}
        came = {"imported": [[run, seq] for run, seq in imported]} if imported else {}
        self._append({"runs": [[run, seq, head.hex()] for run, seq, head in runs], **came, **lost})

    def append_vacuumed(self, runs: Iterable[RunId]) -> None:
        """From here on the ledger need not hold these runs; call it inside `held`. Raises OSError."""
        self._append({"vacuumed": list(runs)})

    def take_over(self, lines: bytes) -> None:
        """The chain of another ledger goes on here; call it inside `held`. Raises OSError."""
        self._write(lines)
        self._size = -1

    def forget(self) -> None:
        """Nothing was ever anchored; call it inside `held`. Raises OSError."""
        os.ftruncate(self._descriptor, 0)
        self._size = -1

    def append_accepted(self, runs: Mapping[RunId, int], by: str) -> None:
        """From here on the ledger need not hold more of these runs than up to a fact, says a person. Raises OSError."""
        self._append({"accepted": [[run, seq] for run, seq in runs.items()], "by": by})

    def claims(self, copy: Path | None = None) -> Claims:
        """Read and verify the whole file, against a `copy` that was kept elsewhere where there is one."""
        data = lines_at(self.path)
        if copy is not None and (held := lines_at(copy)) is not None:
            return held_against(held, copy, data, self.path)
        return Claims(exists=False) if data is None else claims_of(data, self.path)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _take(self, seconds: float) -> bool:
        try:
            if self._descriptor < 0 or not self._is_in_place():
                self._open()
            return lock_within(self._descriptor, seconds, LOCK_AT)
        except OSError as error:
            raise no_access(self.path, error) from error

    def _open(self) -> None:
        self.close()
        require_file(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, _FLAGS, 0o644)
        self._size = -1

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _append(self, content: dict[str, object]) -> None:
        self._catch_up()
        record = to_json({"n": self._n + 1, "at": time.time_ns() // 1000, **content, "prev": self._hash})
        digest = sha256(record).hexdigest()
        line = b'%s,"hash":"%s"}\n' % (record[:-1], digest.encode())
        self._write(line)
        self._size, self._n, self._hash = self._size + len(line), self._n + 1, digest

    def _write(self, lines: bytes) -> None:
        """All of it, or nothing."""
        size = os.fstat(self._descriptor).st_size
        if (done := os.write(self._descriptor, lines)) != len(lines):
            os.ftruncate(self._descriptor, size)
            raise OSError(f"only {done} of {len(lines)} bytes of an anchor could be written")

    def _catch_up(self) -> None:
        """Know the last line, whoever wrote it; a line that was torn off by a crash is dropped."""
        size = os.fstat(self._descriptor).st_size
        if size == self._size:
            return
        last, end = self._last_line(size)
        if end < size:
            os.ftruncate(self._descriptor, end)
        self._size, self._n, self._hash = end, 0, ""
        if last:
            content = content_of(last)
            self._n = content["n"] if content else 0
            self._hash = claimed_hash(last)

    def _last_line(self, size: int) -> tuple[bytes, int]:
        """The last whole line and where it ends."""
        length = _TAIL_BYTES
        while True:
            start = max(0, size - length)
            os.lseek(self._descriptor, start, os.SEEK_SET)
            data = os.read(self._descriptor, size - start)
            end = data.rfind(b"\n") + 1
            begin = data.rfind(b"\n", 0, max(0, end - 1)) + 1
            if start == 0 or (end and begin):
                return data[begin:end].rstrip(b"\n"), start + end
            length *= 4
