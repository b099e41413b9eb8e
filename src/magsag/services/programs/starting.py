"""Whether a root run goes on to its program: what its objectives said when it was put on record.

A refused one ends there. One that has to be approved takes a step of its own first, which is asked for like any other:
ticket, time limit, record. Child runs are judged where they are delegated to.
"""

from typing import Any

from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType, StepFailed
from magsag.domain.facts import Decision, Proposal, Verdict
from magsag.domain.verdicts import START
from magsag.policy.judge import settled
from magsag.services.gate.gate import Gate
from magsag.services.steps.beginnings import started_of
from magsag.services.steps.seat import Seat
from magsag.services.steps.targets import FunctionAct, Target


async def admit(gate: Gate, seat: Seat) -> None:
    """Return when the program may run. Raises StepFailed(denied), or Stopped while an approval is waited for."""
    started = started_of(seat.run)
    verdict = started.verdict
    if verdict is None or verdict.decision is Decision.ALLOW:
        return
    if verdict.decision is Decision.DENY:
        raise refusal(started.program, verdict)
    await gate.step(seat, seat.root(), START, _start(started.program, verdict), [])


def refusal(program: str, verdict: Verdict) -> StepFailed:
    """The error of a start that objectives refuse."""
    said = f"{program} starts no run: {verdict.reason}; see {verdict.place}, or wait until these runs leave the window"
    return StepFailed(ErrorType.DENIED, said, {"rule": verdict.rule, "place": verdict.place})


def _start(program: str, verdict: Verdict) -> Target:
    """A step that does nothing, once it may."""
    found = settled(verdict)
    return Target("start", Proposal("start", program, Effect.PURE), found, FunctionAct(_begin, True, False, True))


async def _begin(*_: Any) -> None:
    return None
