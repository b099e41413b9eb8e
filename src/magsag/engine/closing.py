"""What is left to say of the steps of a run that ends. Pure.

A step that was held, waits for another attempt, or acted without effect is cancelled. An act with an effect that has
no outcome may have happened: that is said, and nothing is guessed. Only a transactional one has not, for certain: its
act and its outcome are one commit.
"""

from collections.abc import Iterator
from typing import Any, Final

from magsag.domain import facts
from magsag.domain.effects import EFFECTFUL, Effect
from magsag.domain.errors import ErrorType, StepFailed
from magsag.domain.facts import RunStatus, StepCancelled, StepFact, StepInDoubt, StepStatus
from magsag.domain.values import decode
from magsag.engine.run import Run
from magsag.engine.table import ENDS

_NOTHING_HAPPENED: Final = b'{"type":"raised","message":"its run ended before it acted","details":{},"step":null}'


def closing(run: Run, at: int) -> list[StepFact]:
    """The facts that close every open step; a step in doubt stays in doubt."""
    return list(_facts(run, at))


def expired(deadline: int) -> StepFailed:
    """Why a run ends at its deadline (microseconds since 1970)."""
    return StepFailed(ErrorType.TIMEOUT, "its time is over: it did not end by its deadline", {"deadline": deadline})


def has_expired(run: Run) -> bool:
    """Whether its deadline ended the run."""
    if run.ended is None or run.ended.output is None or run.started is None or run.started.deadline is None:
        return False
    error: Any = decode(run.ended.output)
    return run.ended.status is RunStatus.FAILED and error["details"] == {"deadline": run.started.deadline}


def _facts(run: Run, at: int) -> Iterator[StepFact]:
    for step in run.steps.values():
        if step.status in ENDS or step.status is StepStatus.IN_DOUBT:
            continue
        effect = step.proposal.effect if step.proposal is not None else None
        if step.status is not StepStatus.STARTED or effect not in EFFECTFUL:
            yield StepCancelled(at=at, step=step.id)
        elif effect is Effect.TRANSACTIONAL:
            error = ErrorType.RAISED
            yield facts.StepFailed(at=at, step=step.id, type=error, attempt=step.attempt, output=_NOTHING_HAPPENED)
        else:
            yield StepInDoubt(at=at, step=step.id, reason="its run ended before its outcome was known")
