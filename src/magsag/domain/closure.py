"""Why a ledger is closed to drivers: it goes, or went, to another place, or is being filled from one.

At most one of two ledgers with the same runs may ever act, so the old one is closed for good before the new one opens.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import assert_never

from magsag.domain.frozen import frozen


class Course(StrEnum):
    """How far a move has come."""

    FILLING = "filling"
    """this is the new ledger, and it is not whole yet"""
    LEAVING = "leaving"
    """this is the old one while the two are compared; it may still be opened again"""
    LEFT = "left"
    """this is the old one; the new one acts now"""


@frozen
class Closure:
    """A closed ledger: it is read, nobody starts or drives runs in it."""

    course: Course
    elsewhere: str
    """the other ledger, as `describe` names it: without its password"""
    since: int
    """microseconds since 1970"""

    def why(self) -> str:
        """What happened, and the next move."""
        on = datetime.fromtimestamp(self.since / 1e6, UTC).strftime("%Y-%m-%d %H:%M UTC")
        match self.course:
            case Course.FILLING:
                return (
                    f"this ledger is not whole: it is being filled from {self.elsewhere} since {on}; "
                    "run `magsag data migrate` there again"
                )
            case Course.LEAVING:
                return (
                    f"this ledger is being moved to {self.elsewhere} since {on}; run `magsag data migrate --to` again, "
                    "or `magsag data migrate --cancel` to stay here"
                )
            case Course.LEFT:
                return f"this ledger was moved to {self.elsewhere} on {on}: nothing runs here any more, use that one"
            case _:
                assert_never(self.course)
