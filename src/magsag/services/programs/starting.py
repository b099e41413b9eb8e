"""Whether a root run goes on to its program: what its objectives said when it was put on record, and its limits now.

One that its objectives refuse ends there. One that has to be approved, or whose program has a breaker or a rate, takes
a step of its own first, which is judged like any other: ticket, time limit, leave, record. So whoever drives the run
asks, and a run that is left to a worker asks when it begins. Child runs are judged where they are delegated to.
"""

from collections.abc import Awaitable
from typing import Any

from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType, StepFailed
from magsag.domain.facts import Decision, Proposal, Verdict
from magsag.domain.manifests import Agent
from magsag.domain.verdicts import BUILT_IN, START
from magsag.policy.judge import ALLOW_WITHOUT_EFFECTS, settled
from magsag.policy.throttle import Declared
from magsag.services.gate.gate import Gate
from magsag.services.gate.leaves import limits_of_start
from magsag.services.steps.beginnings import started_of
from magsag.services.steps.seat import Ended, Seat
from magsag.services.steps.target import ONCE, FunctionAct, Target


async def watched(gate: Gate, seat: Seat, program: Awaitable[Ended]) -> Ended:
    """Run it, and let its limits know how it ended."""
    ended: Ended | None = None
    try:
        ended = await program
        return ended
    finally:
        gate.leaves.ended(seat, ended)


async def admit(gate: Gate, seat: Seat) -> None:
    """Return when the program may run. Raises StepFailed of the step `@start`, or denied; Stopped while it waits."""
    started = started_of(seat.run)
    verdict, limits = started.verdict, limits_of_start(seat)
    if verdict is not None and verdict.decision is Decision.DENY:
        raise refusal(started.program, verdict)
    if limits is None and (verdict is None or verdict.decision is Decision.ALLOW):
        return
    await gate.step(seat, seat.root(), START, _start(seat, limits), [])


def is_refusal(error: StepFailed) -> bool:
    """Whether the program was not let begin, or denied something that it could not do without."""
    return error.type is ErrorType.DENIED or error.step == START


def refusal(program: str, verdict: Verdict) -> StepFailed:
    """The error of a start that objectives refuse."""
    said = f"{program} starts no run: {verdict.reason}; see {verdict.place}, or wait until these runs leave the window"
    return StepFailed(ErrorType.DENIED, said, {"rule": verdict.rule, "place": verdict.place})


def _start(seat: Seat, limits: Declared | None) -> Target:
    """A step that does nothing, once it may. Where a rate refuses it, it waits as a delegation to the agent does."""
    started, manifest = started_of(seat.run), seat.targets.entry.manifest
    plain = Verdict(Decision.ALLOW, ALLOW_WITHOUT_EFFECTS, BUILT_IN, "", seat.targets.policies.hash)
    agent = manifest if isinstance(manifest, Agent) else None
    return Target(
        "start",
        Proposal("start", started.program, Effect.PURE),
        settled(started.verdict or plain),
        FunctionAct(_begin, True, False, True),
        timeout_seconds=agent.timeout if agent is not None else None,
        retry=agent.retry or ONCE if agent is not None and limits is not None else ONCE,
        throttled=limits,
    )


async def _begin(*_: Any) -> None:
    return None
