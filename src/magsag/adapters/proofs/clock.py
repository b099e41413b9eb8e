"""A proof's clock stands still, so that what a program makes of the time is the same in each process.

It is put forward where a run waits: no proof sleeps for days. Chance is the same in each process too.
"""

from hashlib import sha256


class StandingClock:
    """Time and chance of one process of a proof."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._drawn = 0

    def now(self) -> int:
        """Microseconds since 1970, UTC."""
        return self._at

    def chance(self, count: int) -> bytes:
        """The same bytes for the same call of each process: what a program draws is no difference between runs."""
        self._drawn += 1
        drawn = b""
        while len(drawn) < count:
            drawn += sha256(f"{self._drawn} {len(drawn)}".encode()).digest()
        return drawn[:count]

    def put_forward(self, at: int) -> None:
        """Let it be so late; it never goes back."""
        self._at = max(self._at, at)
