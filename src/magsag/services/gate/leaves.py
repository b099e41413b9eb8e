"""Leave of whole runs: a run that people start asks the limits of its program, and its end is told to them.

The first step of the run asks (`services.programs.starting`); from then on the leave is the seat's as long as the leg
lasts. A run that goes on in a later leg took it in an earlier one: it takes nothing again, and its end counts then,
once, though a process may die between that and the fact of its end.
"""

import logging
from typing import Any

from magsag.domain.errors import Broken, ErrorType
from magsag.domain.facts import RunStatus, StepStatus
from magsag.domain.values import decode
from magsag.domain.verdicts import START
from magsag.engine.run import Run
from magsag.policy.breaker import FAILURES
from magsag.policy.throttle import Declared
from magsag.ports.clock import Clock
from magsag.services.gate.throttling import Throttling
from magsag.services.steps.attempt import Acted, Attempt, caller_of
from magsag.services.steps.limits import limits_of
from magsag.services.steps.seat import Ended, Seat

_log = logging.getLogger("magsag.throttle")
_GOOD = frozenset({RunStatus.SUCCEEDED, RunStatus.PARTIAL})


class Leaves:
    """Leave of the runs of this process."""

    def __init__(self, throttling: Throttling, clock: Clock) -> None:
        self._throttling = throttling
        self._clock = clock

    def kept(self, attempt: Attempt) -> Acted:
        """The start goes through, and does nothing itself: what it was let do lasts until the run ends."""
        attempt.seat.leave, attempt.admission = attempt.admission, None
        return Acted(None)

    def ended(self, seat: Seat, ended: Ended | None) -> None:
        """The leg is over. One that parks has not ended: if it tries whether a breaker can close, its place is kept."""
        throttled = limits_of_start(seat)
        if ended is None or throttled is None or not _has_begun(seat.run) or not throttled.limits.end_counts:
            return
        try:
            leave = seat.leave or self._throttling.taken_up(throttled, caller_of(seat.run.id, START, 1))
        except Broken as error:
            _log.warning("%s: how run %s ended could not be counted: %s", throttled.name, seat.run.id, error)
            return
        seat.leave, seconds = None, (self._clock.now() - seat.leg.began) / 1e6
        self._throttling.settle(seat, START, throttled, leave, _failed(ended), seconds)


def limits_of_start(seat: Seat) -> Declared | None:
    """What limits the start of this run; None for a child run, which was limited where it was delegated to."""
    is_limited = seat.run.started is not None and seat.run.started.limited
    return limits_of(seat.targets.entry.manifest) if is_limited else None


def _has_begun(run: Run) -> bool:
    start = run.steps.get(START)
    return start is not None and start.status is StepStatus.SUCCEEDED


def _failed(ended: Ended) -> bool | None:
    """What the end of a run says of its program; None when it says nothing."""
    if ended.status is RunStatus.CANCELLED:
        return None
    if ended.status in _GOOD:
        return False
    error: Any = decode(ended.output)
    return True if ErrorType(error["type"]) in FAILURES else None
