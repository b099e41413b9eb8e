"""Facts that a program's own order needs: who won a race, which time ran out, what a flow skipped."""

import asyncio
from typing import Any

from magsag.domain import facts
from magsag.domain.effects import Effect
from magsag.domain.errors import StepFailed, Stopped
from magsag.domain.facts import Decision, ParkedOn, Verdict
from magsag.domain.frozen import frozen
from magsag.domain.ids import StepId
from magsag.domain.values import decode, encode_known
from magsag.domain.verdicts import BUILT_IN
from magsag.ports.clock import Clock
from magsag.services.gate.outcomes import error_bytes
from magsag.services.recording.recorder import Recorder
from magsag.services.steps.moment import spoken
from magsag.services.steps.seat import Scope, Seat


@frozen
class Note:
    """What the program decided by itself, with its place in the order of the ledger."""

    value: Any
    """the branch that won or failed; whether the time ran out"""
    told: int
    """the order of the last outcome that its branches had been told of by then"""
    order: int
    at: int


class Notes:
    """Notes for all runs of this process."""

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        self._recorder = recorder
        self._clock = clock

    def noted(self, seat: Seat, id: StepId) -> Note | None:
        """What the record says, if it says anything."""
        step = seat.run.steps.get(id)
        if step is None or step.output is None:
            return None
        said: Any = decode(step.output)
        return Note(said["decided"], said["told"] or step.order, step.order, step.at)

    def note(self, seat: Seat, id: StepId, call: str, value: Any, told: int = 0) -> Note:
        """Put it on record; `told` is left out where branches are told as outcomes come."""
        now = self._clock.now()
        verdict = Verdict(Decision.ALLOW, "allow-without-effects", BUILT_IN, "", seat.targets.policies.hash)
        fact = facts.StepDone(
            at=now,
            step=id,
            proposal=facts.Proposal(call, call, Effect.WAIT),
            verdict=verdict,
            attempt=1,
            took=0,
            input=b"null",
            output=encode_known({"decided": value, "told": told}),
        )
        self._recorder.keep(seat.leg.tree, seat.run, fact)
        order = seat.run.steps[id].order
        return Note(value, told or order, order, now)

    def skip(self, seat: Seat, id: StepId, why: str) -> None:
        """A flow's step does not run; a resume finds it skipped already."""
        if id not in seat.run.steps:
            fact = facts.StepSkipped(at=self._clock.now(), step=id, why=why)
            self._recorder.keep(seat.leg.tree, seat.run, fact)

    def fail(self, seat: Seat, id: StepId, error: StepFailed) -> None:
        """A flow's step failed before it could be proposed: its expressions gave no input."""
        if id not in seat.run.steps:
            fact = facts.StepFailed(
                at=self._clock.now(), step=id, type=error.type, attempt=0, output=error_bytes(error)
            )
            self._recorder.keep(seat.leg.tree, seat.run, fact)

    def due(self, seat: Seat, scope: Scope, seconds: float) -> int:
        """When a timer ends. A resumed leg counts from what the program has seen, since it has been here before."""
        return (scope.now if seat.leg.resumed else self._clock.now()) + int(seconds * 1e6)

    async def sleep_until(self, seat: Seat, id: StepId, due: int) -> None:
        """Wait for a point in time, in microseconds since 1970. Raises Stopped when the run parks meanwhile."""
        while (left := due - seat.leg.time(self._clock.now())) > 0:
            if not await seat.leg.strands.rest(seat.run.id, None, left / 1e6):
                reason = f"its time is over at {spoken(due)}"
                seat.park(ParkedOn.TIME, id, reason, due)
                raise Stopped(reason)

    async def forever(self, seat: Seat) -> None:
        """Wait for being cancelled."""
        seat.leg.strands.end()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            seat.leg.strands.begin()


def is_note(proposal: facts.Proposal) -> bool:
    """Whether a step is such a note: nobody proposed it and nobody judged it."""
    return proposal.effect is Effect.WAIT and proposal.call == proposal.target != "sleep"
