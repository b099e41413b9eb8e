"""What a breaker does with the next call, and the fact that this has changed."""

from enum import StrEnum

from magsag.domain.approval import Proof
from magsag.domain.frozen import frozen
from magsag.domain.ids import StepId


class BreakerState(StrEnum):
    """What a breaker does with the next call."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@frozen(kw_only=True)
class BreakerMoved:
    """A step of the run, or its start, changed a breaker, which all runs share. It says nothing of how that ended.

    Somebody who closes it by hand stands in the run whose call had opened it.
    """

    at: int
    step: StepId
    name: str
    """whose breaker, e.g. `skill:send-offer`"""
    state: BreakerState
    reason: str
    by: str | None = None
    """the person who closed it by hand"""
    proof: Proof | None = None
    people: str | None = None
    """content hash of the people in force"""
