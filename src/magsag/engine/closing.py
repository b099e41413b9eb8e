"""What is left to say of the steps of a run that ends. Pure.

A step that was held, waits for another attempt, or acted without effect is cancelled. An act with an effect that has
no outcome may have happened: that is said, and nothing is guessed.
"""

from collections.abc import Iterator

from magsag.domain.effects import EFFECTFUL
from magsag.domain.facts import StepCancelled, StepFact, StepInDoubt, StepStatus
from magsag.engine.run import Run
from magsag.engine.table import ENDS


def closing(run: Run, at: int) -> list[StepFact]:
    """The facts that close every open step; a step in doubt stays in doubt."""
    return list(_facts(run, at))


def _facts(run: Run, at: int) -> Iterator[StepFact]:
    for step in run.steps.values():
        if step.status in ENDS or step.status is StepStatus.IN_DOUBT:
            continue
        if step.status is StepStatus.STARTED and (step.proposal is None or step.proposal.effect in EFFECTFUL):
            yield StepInDoubt(at=at, step=step.id, reason="its run ended before its outcome was known")
        else:
            yield StepCancelled(at=at, step=step.id)
