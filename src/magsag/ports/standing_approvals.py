"""What people approved beforehand, as stores keep it. What it says stands in the fact that made it, in its run.

A row changes in `Ledger.write` alone, together with the fact that says why; an intent that leans on one is declined
there when it was revoked, or its time is over.
"""

from typing import Protocol

from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId


@frozen
class StandingRow:
    """A standing approval as it stands. Each version takes the place of the one before."""

    id: str
    run: RunId
    """whose facts tell it"""
    root: RunId
    step: StepId
    target: str
    """exact reference of what may be done"""
    is_revoked: bool
    version: int
    """1 for a new one"""
    made: int
    until: int
    """microseconds since 1970, as `made`"""


@frozen
class Leaning:
    """An intent that goes by a standing approval: its write stands only while that is in force, in this version."""

    id: str
    version: int
    at: int
    """when it is written: microseconds since 1970"""


@frozen
class StandingQuery:
    """Which standing approvals; what is None does not narrow. The oldest first."""

    target: str | None = None
    prefix: str | None = None
    """how the id begins"""
    in_force_at: int | None = None
    limit: int | None = 50


class StandingReads(Protocol):
    """What was approved beforehand."""

    def standing_approvals(self, query: StandingQuery) -> list[StandingRow]:
        """Those that match, the oldest first. Raises StoreBroken."""


@frozen
class KeptStanding:
    """A standing approval on its way into another ledger."""

    row: StandingRow


def is_in_force(held: StandingRow | None, leaning: Leaning) -> bool:
    """Whether an intent may lean on what stands."""
    return held is not None and held.version == leaning.version and not held.is_revoked and held.until > leaning.at


def follows(held: StandingRow | None, row: StandingRow) -> bool:
    """Whether a row takes the place of the version that stands."""
    return row.version == (0 if held is None else held.version) + 1
