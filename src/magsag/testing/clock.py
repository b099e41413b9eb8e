"""A clock that stands still until it is told to go on, and chance that is the same in every run."""

from collections.abc import Callable
from hashlib import sha256
from typing import Final

START: Final = 1_900_000_000_000_000
"""some day in March 2030, in microseconds since 1970"""


class FrozenClock:
    """Time and chance for tests. With `passing`, seconds that it gives are added to the start."""

    def __init__(self, start: int = START, passing: Callable[[], float] | None = None) -> None:
        self._at = start
        self._passing = passing
        self._drawn = 0

    def now(self) -> int:
        """Microseconds since 1970, UTC."""
        return self._at + (int(self._passing() * 1e6) if self._passing is not None else 0)

    def chance(self, count: int) -> bytes:
        """Bytes that no other call of this clock gives."""
        self._drawn += 1
        drawn = b""
        while len(drawn) < count:
            drawn += sha256(b"%d:%d" % (self._drawn, len(drawn))).digest()
        return drawn[:count]

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._at += int(seconds * 1e6)
