"""The local runner: drives runs in this process, and the detached child runs that they wait for."""

import asyncio

from magsag.domain.ids import RunId
from magsag.ports.runner import Busy, Finished, Legs, Parked, Told, Yielded

_LOOK_SECONDS = 0.2


class LocalRunner:
    """Drives each submitted run at once; waits while another process is at it."""

    def __init__(self, legs: Legs) -> None:
        self._legs = legs
        self._stop = asyncio.Event()

    async def submit(self, run: RunId) -> Told:
        """Drive the run until it ends, parks or yields; what the last leg told.

        A run that waits for detached child runs goes on here as soon as one of them has ended.
        """
        while not self._stop.is_set():
            told = await self._legs.drive(run, self._stop)
            if not isinstance(told, Parked) or not told.children:
                return told
            ended = await asyncio.gather(*(self._below(child) for child in told.children))
            if not any(ended):
                return told
        return Yielded()

    async def _below(self, child: RunId) -> bool:
        """Whether the child run has ended; it is driven as far as that can be done now."""
        while isinstance(told := await self.submit(child), Busy):
            if self._stop.is_set():
                return False
            await asyncio.sleep(min(_LOOK_SECONDS, told.seconds))
        return isinstance(told, Finished)

    def interrupt(self) -> None:
        """Ask the legs of this process to yield; a later `submit` yields at once."""
        self._stop.set()
