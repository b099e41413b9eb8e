"""A proof's clock stands still, so that what a program makes of the time is the same in each process.

It is put forward where a run would wait: no proof sleeps for days. Chance is the same in each process too.
"""

from hashlib import sha256

from magsag.services.proofs.bench import Moment


class StandingClock:
    """Time and chance of one process of a proof."""

    def __init__(self, moment: Moment) -> None:
        self._at = moment.at
        self._ahead = moment.ahead if moment.lookups else 0
        self._lookups = moment.lookups
        self._drawn = 0

    def now(self) -> int:
        """Microseconds since 1970, UTC."""
        return max(self._at, self._ahead)

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

    def looked_up(self) -> None:
        """A lookup was asked; after the last one nothing waits any more, and the time is what it was."""
        self._lookups -= 1
        if self._lookups <= 0:
            self._ahead = 0
