"""Lets outcomes through in the order of the ledger, one per settled turn of the loop.

What a program can see of order inside `race` and `timeout` must be the same live and in replay. Live, outcomes
are recorded as they come and pass here in that order, also when one takes longer to be written than the next. In
replay many are known at once; the lowest passes, the program runs until it asks again, then the next.
"""

import asyncio
from heapq import heappop, heappush
from typing import Final

LAST: Final = float("inf")
"""the order of what passes when nothing else waits: a timer"""
_FIRST_TURNS: Final = 2
_TURNS_PER_LEVEL: Final = 3
"""turns of the loop until the end of a branch has woken what waits for it"""


class Turnstile:
    """One per program that races."""

    def __init__(self, depth: int = 0) -> None:
        """`depth`: how deep the branches of the program are known to go."""
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._coming: set[int] = set()
        self._arrivals = 0
        self._depth = depth
        self._turning = False
        self.passed = 1
        """the highest order that has passed; 1 is the run's own beginning"""

    def announce(self, order: int) -> None:
        """An outcome of this order is on its way to the disk; nothing after it passes before it is there."""
        self._coming.add(order)

    def arrived(self, order: int) -> None:
        """It is there, or was given up."""
        self._coming.discard(order)
        self._start()

    async def wait(self, order: float, depth: int) -> None:
        """Wait for one's turn: `order` is the outcome's place in the ledger, `depth` how many branches it is in."""
        passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._arrivals += 1
        self._depth = max(self._depth, depth)
        heappush(self._waiting, (order, self._arrivals, passed))
        self._start()
        await passed

    def _start(self) -> None:
        if not self._turning and self._waiting:
            self._turning = True
            self._turn(self._settling)

    @property
    def _settling(self) -> int:
        """Turns until whatever was woken has asked for its next step or ended."""
        return _FIRST_TURNS + _TURNS_PER_LEVEL * self._depth

    def _turn(self, left: int) -> None:
        loop = asyncio.get_running_loop()
        if left:
            loop.call_soon(self._turn, left - 1)
            return
        while self._waiting:
            order, _, passed = self._waiting[0]
            if passed.done():
                heappop(self._waiting)
            elif self._coming and min(self._coming) < order:
                break
            else:
                heappop(self._waiting)
                passed.set_result(None)
                if order != LAST:
                    self.passed = max(self.passed, int(order))
                loop.call_soon(self._turn, self._settling)
                return
        self._turning = False
