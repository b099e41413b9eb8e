"""What a program leaves behind when it has ended: acts and child runs that had begun in branches it gave up.

An earlier leg was killed while they were under way. Each is brought to its end by its effect kind, without the
program; what cannot be known parks the run. Live there are none: what is given up then has its time to end.
"""

from contextlib import suppress
from typing import Final

from magsag.domain.effects import EFFECTFUL, Effect
from magsag.domain.errors import StepFailed, Stopped
from magsag.domain.facts import ParkedOn, StepStatus
from magsag.domain.ids import StepId
from magsag.domain.manifests import Agent
from magsag.engine.run import Run, Step
from magsag.services.gate.gate import Gate
from magsag.services.programs.children import ChildRuns
from magsag.services.steps.attempt import ChildPlace
from magsag.services.steps.seat import Scope, Seat

_FINAL: Final = frozenset({ParkedOn.DOUBT, ParkedOn.DIVERGENCE})
"""reasons that a program cannot outrun by ending"""
_VERBS: Final = {"g": "gather", "m": "map", "r": "race", "t": "timeout"}
"""how `services.programs.branching` marks branches in the ids of steps"""
_NOTES: Final = frozenset(_VERBS.values())


class Leftovers:
    """Clears up for all runs of this process."""

    def __init__(self, gate: Gate, children: ChildRuns) -> None:
        self._gate = gate
        self._children = children

    def require_reached(self, seat: Seat) -> None:
        """What is on record has to be asked for again: an ask that is silently forgotten is an approval lost.

        Not of a flow, whose planner cannot stray, nor of a fork, whose recorded values may have been set, nor in
        branches that were decided: what a lost one had begun need not come again. Parks on divergence.
        """
        started, manifest = seat.run.started, seat.targets.entry.manifest
        is_told_all = seat.leg.resumed and not seat.root().given_up_at
        if not is_told_all or not isinstance(manifest, Agent) or manifest.flow is not None:
            return
        if started is None or started.forked_from is not None:
            return
        for step in seat.run.steps.values():
            if step.proposal is None or step.proposal.call in _NOTES or step.id in seat.reached:
                continue
            if not _is_decided(seat.run, step.id):
                was = f"{step.proposal.call} {step.proposal.target}"
                said = f"the record has {was}, which is {step.status}; the program has ended and did not ask for it"
                seat.park(ParkedOn.DIVERGENCE, step.id, f"step {step.id}: {said}")
                return

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


def _is_decided(run: Run, id: StepId) -> bool:
    """Whether a race, a timeout or a failed gather around this step has been decided, by the record."""
    prefix = ""
    for part in id.split("/")[:-1]:
        mark = part.partition(".")[0]
        verb = _VERBS.get(mark[:1])
        if verb is None or StepId(f"{prefix}{verb}.{mark[1:]}") in run.steps:
            return True
        prefix += f"{part}/"
    return False
