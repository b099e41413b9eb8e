"""Ends the process of an act from here, whatever has become of its watcher, and knows when nothing shows that it did.

Outside a sandbox an act may stop its watcher, or kill it. Everything descends from the watcher as long as that lives.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from magsag.adapters.sandbox.enter import descendants
from magsag.ports.sandbox import Escaped, NoAnswer

_REAP_SECONDS: Final = 2.0
_SWEEPS: Final = 50
"""how often what keeps starting others is killed before it is given up"""
_PIECE: Final = 65536


class Watched:
    """However we leave, the process has ended first. Raises Escaped where that cannot be shown, NoAnswer for faults."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        let_go: Callable[[], None],
        said: Sequence[Mapping[str, Any]],
        is_wrapped: bool,
    ) -> None:
        """`let_go` of its life; what its watcher has `said`; `is_wrapped`: with its first process all of it ends."""
        self._process = process
        self._let_go = let_go
        self._said = said
        self._is_wrapped = is_wrapped
        self._is_swept = False

    async def __aenter__(self) -> "Watched":
        return self

    @property
    def is_gone(self) -> bool:
        """Whether nothing is left of what has ended: its watcher saw to it, or nothing had begun."""
        has_begun = any("began" in one for one in self._said)
        return self._process.returncode == 0 or self._is_swept or self._is_wrapped or not has_begun

    async def all(self, *acts: Coroutine[Any, Any, Any]) -> Sequence[Any]:
        """What all of them give; when one fails, the others have ended before that is told."""
        tasks = [asyncio.ensure_future(act) for act in acts]
        try:
            return await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            raise

    async def __aexit__(self, kind: object, error: BaseException | None, *_: object) -> None:
        if error is None:
            return
        self._let_go()
        try:
            if not await self._has_ended():
                self._sweep()
                with suppress(ProcessLookupError):
                    os.kill(self._process.pid, signal.SIGCONT)
                await self._has_ended()
        finally:
            if self._process.returncode is None:
                self._sweep()
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
        if not self.is_gone:
            raise Escaped("its watcher has ended, and nothing shows that all that it has started is gone") from error
        if isinstance(error, Exception) and not isinstance(error, NoAnswer):
            raise NoAnswer(str(error)) from error

    async def _has_ended(self) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(_REAP_SECONDS):
                await self.all(drained(self._process.stdout), drained(self._process.stderr), self._process.wait())
        return self._process.returncode is not None

    def _sweep(self) -> None:
        """Kill all that descends from the watcher, until there is nobody."""
        for _ in range(_SWEEPS):
            left = list(_living(self._process.pid))
            self._is_swept = not left
            for number in left:
                with suppress(OSError):
                    os.kill(number, signal.SIGKILL)
            if not left:
                return


def _living(of: int) -> Iterator[int]:
    """Descendants without those that have ended and only wait to be noticed."""
    for number in descendants(of):
        with suppress(OSError):
            with open(f"/proc/{number}/stat", "rb") as stat:
                has_ended = stat.read().rpartition(b")")[2].split()[0] == b"Z"
            if not has_ended or len(os.listdir(f"/proc/{number}/task")) > 1:
                yield number


async def kept(stream: asyncio.StreamReader | None, most: int) -> bytes:
    """Read to the end, keep the first bytes."""
    kept = bytearray()
    while stream is not None and (piece := await stream.read(_PIECE)):
        kept += piece[: max(0, most - len(kept))]
    return bytes(kept)


async def drained(stream: asyncio.StreamReader | None) -> None:
    """Read to the end, keep nothing."""
    await kept(stream, 0)
