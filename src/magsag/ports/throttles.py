"""Where throttles live: what breakers, rates and concurrency of skills, agents and providers know, shared by processes.

What a body says is decided in `policy.throttle`; a store only sees to it that each version follows the one before.
A throttle is written, not synced: a process may die, a power cut costs what was counted in its last moments.
"""

from typing import Protocol

from magsag.domain.frozen import frozen


@frozen
class ThrottleRow:
    """A throttle as it stands. Each version takes the place of the one before."""

    name: str
    """e.g. `skill:send-offer`"""
    version: int
    """1 for a new one"""
    body: bytes
    """JSON"""


class Throttles(Protocol):
    """Compare and set, by name. Raises StoreBroken as `ports.ledger` says."""

    def throttle(self, name: str) -> tuple[int, ThrottleRow | None]:
        """The time by the store's clock, in microseconds since 1970, and the throttle; None for one never put."""

    def put_throttle(self, row: ThrottleRow) -> bool:
        """Put it if it follows the version that stands; False, and nothing has happened, when it does not."""

    def throttles(self) -> list[ThrottleRow]:
        """All of them, by name."""
