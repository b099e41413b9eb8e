"""What a program leaves behind when it has ended: acts and child runs that had begun in branches it gave up.

An earlier leg was killed while they were under way. Each is brought to its end by its effect kind, without the
program; what cannot be known parks the run. Live there are none: what is given up then has its time to end.
"""

from contextlib import suppress
from typing import Final

from magsag.domain.effects import EFFECTFUL, Effect
from magsag.domain.errors import StepFailed, Stopped
from magsag.domain.facts import ParkedOn, StepStatus
from magsag.engine.run import Step
from magsag.services.attempt import ChildPlace
from magsag.services.children import ChildRuns
from magsag.services.gate import Gate
from magsag.services.seat import Scope, Seat

_FINAL: Final = frozenset({ParkedOn.DOUBT, ParkedOn.DIVERGENCE})
"""reasons that a program cannot outrun by ending"""


class Leftovers:
    """Clears up for all runs of this process."""

    def __init__(self, gate: Gate, children: ChildRuns) -> None:
        self._gate = gate
        self._children = children

    async def clear(self, seat: Seat) -> None:
        """Raises Stopped when the run cannot end: a step of it, or of a run below, is in doubt or diverged."""
        if not seat.leg.resumed and not seat.reasons:
            return
        parked = [reason.step for reason in seat.reasons]
        for step in list(seat.run.steps.values()):
            waits = any(id == step.id or id.startswith(f"{step.id}/") for id in parked)
            if step.proposal is not None and not waits:
                await self._clear(seat, step, step.proposal.effect)
        if any(reason.on in _FINAL for reason in seat.reasons):
            raise Stopped("a step that the program gave up has no certain end")
        seat.reasons.clear()

    async def _clear(self, seat: Seat, step: Step, effect: Effect) -> None:
        begun = step.status is StepStatus.STARTED
        if step.status is StepStatus.IN_DOUBT or (begun and effect in EFFECTFUL):
            with suppress(StepFailed, Stopped):
                await self._gate.recover(seat, step)
        elif begun and effect is Effect.DELEGATE and step.proposal is not None:
            target = seat.targets.recorded(step.proposal)
            branch = Scope(above=Scope(given_up_at=seat.run.order, cancelled=True))
            await self._children.give_up(ChildPlace(seat, branch, step.id, target, step.attempt), self.clear)
