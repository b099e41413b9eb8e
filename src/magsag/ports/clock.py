"""Time and chance, handed in."""

from typing import Protocol


class Clock(Protocol):
    """The only source of time and chance inside the services."""

    def now(self) -> int:
        """Microseconds since 1970, UTC."""

    def chance(self, count: int) -> bytes:
        """`count` bytes fit for keys."""
