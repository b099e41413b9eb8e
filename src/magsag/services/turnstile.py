"""Lets outcomes through in the order of the ledger, one per settled turn of the loop.

What a program can see of order inside `race` and `timeout` must be the same live and in replay. Live, outcomes
are recorded as they come and pass here in that order. In replay many are known at once; the lowest passes,
the program runs until it asks again, then the next.
"""

import asyncio
from heapq import heappop, heappush
from typing import Final

SETTLED_TURNS: Final = 5
"""turns after which whatever an outcome woke has asked for its next step or ended"""


class Turnstile:
    """One per program that races."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._arrivals = 0
        self._turning = False

    async def wait(self, order: float) -> None:
        """Wait for one's turn; `order` is the outcome's place in the ledger."""
        passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrivals += 1
        heappush(self._waiting, (order, self._arrivals, passed))
        if not self._turning:
            self._turning = True
            self._turn(SETTLED_TURNS)
        await passed

    def _turn(self, left: int) -> None:
        loop = asyncio.get_running_loop()
        if left:
            loop.call_soon(self._turn, left - 1)
            return
        while self._waiting:
            _, _, passed = heappop(self._waiting)
            if not passed.done():
                passed.set_result(None)
                loop.call_soon(self._turn, SETTLED_TURNS)
                return
        self._turning = False
