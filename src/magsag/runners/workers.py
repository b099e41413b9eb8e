"""A worker: drives every run of a store that is due and has no live driver, side by side, until it is told to stop.

It holds no truth. Which runs want a leg is asked of the ledger again and again, so a run that was never submitted, a
wake that was lost and a driver that was killed cost a moment and nothing else. Any number of workers share a store:
of two that take the same run one is told that it is busy.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from magsag.domain.errors import LedgerClosed, StoreAway, StoreBroken
from magsag.domain.ids import RunId
from magsag.ports.clock import Clock
from magsag.ports.ledger import Wakes
from magsag.ports.runner import Busy, Legs, Parked, Told, Yielded

SWEEP_SECONDS: Final = 0.5
"""how often the ledger is asked without a hint: the end of a lease and the death of a process write nothing"""
_AHEAD: Final = 4
"""so many runs are found at once for each that can be driven, so that a long queue is not sorted for each leg"""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 300.0
_PATIENCE: Final = 30.0
"""seconds between two looks at a store that cannot be reached, at most"""
_log = logging.getLogger("magsag.worker")


@dataclass(slots=True)
class _Held:
    """A run that is left alone for a while: its leg raised or led nowhere, or somebody else was faster."""

    until: float
    pause: float


class Worker:
    """One per process. `told` hears how each leg ended, or the exception that it ended with."""

    def __init__(
        self,
        legs: Legs,
        wakes: Wakes,
        name: str,
        concurrency: int,
        told: Callable[[RunId, Told | Exception], None],
        refresh: Callable[[], None],
        clock: Clock,
    ) -> None:
        """`refresh` is called before each look at the ledger: what a process that lives long must read again."""
        self._legs = legs
        self._wakes = wakes
        self._name = name
        self._concurrency = concurrency
        self._told = told
        self._refresh = refresh
        self._clock = clock
        self._stop = asyncio.Event()
        self._found: deque[RunId] = deque()
        self._driving: dict[RunId, asyncio.Task[None]] = {}
        self._held: dict[RunId, _Held] = {}
        self._listening: asyncio.Future[None] | None = None
        self._pause = 0.0
        self._away: StoreAway | None = None

    def interrupt(self) -> None:
        """Start nothing more and ask the legs to yield; acts under way end first."""
        self._stop.set()

    async def serve(self, once: bool = False) -> None:
        """Drive until interrupted; with `once` until nothing is due that has not failed here already.

        Returns when all leases are given back. Raises StoreBroken with `once` alone: else it tries again; LedgerClosed
        always.
        """
        try:
            while not self._stop.is_set():
                self._start(self._look(once), once)
                if once and not self._driving:
                    return
                await self._rest(once)
        finally:
            self._stop.set()
            if self._driving:
                await asyncio.wait(self._driving.values())

    def _look(self, once: bool) -> int:
        """Find what is due, when nothing found earlier is left; how many more can be driven."""
        if once and self._away is not None:
            raise self._away
        free = self._concurrency - len(self._driving)
        if free <= 0 or self._found:
            return free
        try:
            self._refresh()
            limit = _AHEAD * self._concurrency + len(self._held)
            found = self._legs.due(limit)
        except StoreBroken as error:
            if once or isinstance(error, LedgerClosed):
                raise
            self._pause = min(_PATIENCE, self._pause * 2 or _FIRST_PAUSE)
            _log.warning("the store cannot be asked, again in %g s: %s", self._pause, error)
            return 0
        self._pause = 0.0
        if len(found) < limit:
            self._forget(found)
        # Each worker begins elsewhere, so that two of them seldom reach for the same run.
        self._found.extend(sorted(found, key=lambda run: crc32(f"{self._name} {run}".encode())))
        return free

    def _forget(self, due: list[RunId]) -> None:
        """Holds that are over, of runs that are not due any more."""
        now, wanting = asyncio.get_running_loop().time(), set(due)
        self._held = {run: held for run, held in self._held.items() if now < held.until or run in wanting}

    def _start(self, free: int, once: bool) -> None:
        """Begin the legs of what was found, as far as there is room."""
        now = asyncio.get_running_loop().time()
        while self._found and free > 0:
            run = self._found.popleft()
            held = self._held.get(run)
            if run in self._driving or (held is not None and (now < held.until or (once and held.pause))):
                continue
            self._driving[run] = asyncio.ensure_future(self._leg(run))
            free -= 1

    async def _leg(self, run: RunId) -> None:
        """One leg. A run that cannot be driven is left alone for a while, longer each time; the others go on."""
        loop = asyncio.get_running_loop()
        try:
            told: Told | Exception = await self._legs.drive(run, self._stop)
        except Exception as error:
            told = self._put_off(run, error)
        else:
            self._held.pop(run, None)
            # Nothing has come of the leg of a run that parks and is due already: whatever it lacks, haste is no help.
            if isinstance(told, Busy) or (isinstance(told, Parked) and told.due <= self._clock.now()):
                self._held[run] = _Held(loop.time() + SWEEP_SECONDS / 2, 0.0)
            if isinstance(told, Parked):
                self._found.extendleft(told.children)  # what this process wrote itself is no news to its listening
        finally:
            del self._driving[run]
        self._told(run, told)

    def _put_off(self, run: RunId, error: Exception) -> Told | Exception:
        """Say why a leg raised. A store that went away is no fault of the run, which wants another leg."""
        before = self._held.get(run)
        pause = min(_LONGEST_PAUSE, 2 * before.pause if before and before.pause else _FIRST_PAUSE)
        self._held[run] = _Held(asyncio.get_running_loop().time() + pause, pause)
        if isinstance(error, StoreAway):
            self._away = error
            _log.warning("the store went away, it is driven again when that is back: %s", error, extra={"run": run})
            return Yielded()
        _log.error("it cannot be driven, again in %g s: %s", pause, error, extra={"run": run})
        return error

    async def _rest(self, once: bool) -> None:
        """Until a leg has ended, somebody has written, it is time to look again, or there is a word to stop."""
        loop = asyncio.get_running_loop()
        stopped = loop.create_task(self._stop.wait())
        for_what: set[asyncio.Future[Any]] = {stopped, *self._driving.values()}
        if not once and not self._pause:
            if self._listening is None:
                self._listening = loop.run_in_executor(None, self._listen)
            for_what.add(self._listening)
        await asyncio.wait(for_what, timeout=self._pause or None, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self._listening is not None and self._listening.done():
            self._listening.result()
            self._listening = None
            self._found.clear()  # others are at work: what was found may be theirs by now

    def _listen(self) -> None:
        """In a thread of its own. Hints may be lost, so a store that gives none costs a moment."""
        try:
            self._wakes.wait(SWEEP_SECONDS)
        except StoreBroken:
            time.sleep(SWEEP_SECONDS)
