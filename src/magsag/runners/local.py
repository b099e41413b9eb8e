"""The local runner: drives runs in this process."""

import asyncio

from magsag.domain.ids import RunId
from magsag.ports.runner import Legs, Told, Yielded


class LocalRunner:
    """Drives each submitted run at once; waits while another process is at it."""

    def __init__(self, legs: Legs) -> None:
        self._legs = legs
        self._stop = asyncio.Event()

    async def submit(self, run: RunId) -> Told:
        """Drive one leg of the run; what the leg told."""
        if self._stop.is_set():
            return Yielded()
        return await self._legs.drive(run, self._stop)

    def interrupt(self) -> None:
        """Ask the legs of this process to yield; a later `submit` yields at once."""
        self._stop.set()
