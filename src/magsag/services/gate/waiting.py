"""`ctx.sleep` and `ctx.wait_for`: whether a wait is over, by the record, the clock and the signals on record.

A wait has its absolute time on record from its beginning, so a resume waits for what is left of it. A signal that came
before the wait began counts; one that came after the wait's time does not, and is there for the next wait.
"""

from typing import Any

from magsag.domain.errors import ErrorType, StepFailed
from magsag.domain.facts import ParkedOn
from magsag.engine.run import Run, Signal
from magsag.ports.clock import Clock
from magsag.services.recording.large import Values
from magsag.services.steps.attempt import Attempt
from magsag.services.steps.moment import spoken
from magsag.services.steps.target import WaitAct


class Waits:
    """Waits for all runs of this process."""

    def __init__(self, values: Values, clock: Clock) -> None:
        self._values = values
        self._clock = clock

    async def over(self, attempt: Attempt, act: WaitAct) -> Any:
        """What was told, None for a sleep. Raises StepFailed(timeout); Stopped when the run parks on it."""
        seat, event = attempt.seat, act.event
        due = seat.run.steps[attempt.id].act_by
        while True:
            now = seat.leg.time(self._clock.now())
            signal = _first(seat.run, event)
            if signal is not None and (not due or signal.at <= due):
                return self._values.decode(seat.leg.tree, signal.input)
            if due and due <= now:
                if event is None:
                    return None
                raise StepFailed(ErrorType.TIMEOUT, f"no signal {event} came within {act.seconds:g} s")
            left = (due - now) / 1e6 if due else None
            if not await seat.leg.strands.rest(seat.run.id, event, left):
                raise attempt.park(_on(event), _reason(event, due), due or None, event)


def _first(run: Run, event: str | None) -> Signal | None:
    signals = run.signals.get(event) if event is not None else None
    return signals[0] if signals else None


def _on(event: str | None) -> ParkedOn:
    return ParkedOn.TIME if event is None else ParkedOn.EVENT


def _reason(event: str | None, due: int) -> str:
    if event is None:
        return f"it sleeps until {spoken(due)}"
    return f"it waits for the signal {event}" + (f", until {spoken(due)} at most" if due else "")
