"""What all child runs share, whether they stay in the leg of their parent or are trees of their own."""

from hashlib import sha256
from typing import Any

from magsag.domain import facts
from magsag.domain.errors import ErrorType, StepFailed
from magsag.domain.ids import child_run_id
from magsag.domain.values import decode
from magsag.policy.delegation import Handed, handed_down
from magsag.ports.clock import Clock
from magsag.services.steps.attempt import ChildPlace
from magsag.services.steps.beginnings import started_of
from magsag.services.steps.target import ChildAct


def started_below(
    place: ChildPlace, clock: Clock, input: bytes, lineage: tuple[str, ...] | None = None
) -> facts.RunStarted:
    """The first fact of the child run of a step."""
    above, act = started_of(place.seat.run), place.target.act
    assert isinstance(act, ChildAct)
    given = Handed(place.seat.lineage, above.requester, above.environment, above.mode, above.deadline)
    handed = handed_down(given, act.entry.ref, _own_deadline(place))
    return facts.RunStarted(
        at=clock.now(),
        program=act.entry.ref,
        bundle=above.bundle,
        actor=above.program,
        requester=handed.requester,
        environment=handed.environment,
        mode=handed.mode,
        seed=sha256(f"{above.seed}\n{place.step}\n{place.attempt}".encode()).hexdigest()[:32],
        trace_id=above.trace_id,
        span_id=clock.chance(8).hex(),
        parent_span_id=above.span_id,
        parent=place.seat.run.id,
        parent_step=place.step,
        deadline=handed.deadline,
        lineage=lineage,
        bounds=(place.seat.bounds or None) if lineage is not None else None,
        input=input,
    )


def _own_deadline(place: ChildPlace) -> int | None:
    """That of the delegation."""
    return place.seat.run.steps[place.step].act_by if place.target.timeout_seconds is not None else None


def error_below(place: ChildPlace, ended: facts.RunEnded) -> StepFailed:
    """What the delegating step fails with, when its child run did not succeed."""
    error: Any = decode(ended.output or b"{}")
    inside = error.get("step")
    details = {**error.get("details", {}), "run": child_run_id(place.seat.run.id, place.step, place.attempt)}
    return StepFailed(
        error.get("type", ErrorType.RAISED),
        error.get("message", "the child run failed"),
        details,
        f"{place.step}/{inside}" if inside else place.step,
    )
