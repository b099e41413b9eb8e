"""What a touched step needs next. On resume this is the whole recovery table.

A step that has an intent and no outcome may have acted. By its effect kind: `pure` and `read` run again,
`idempotent` runs again with the same key, `transactional` runs again since its act and its outcome are one,
`reconcilable` is looked up, `delegate` goes on with the child run, all else is in doubt.
"""

from enum import StrEnum
from typing import assert_never

from magsag.domain.effects import Effect
from magsag.domain.facts import StepStatus
from magsag.engine.run import Step


class Wanted(StrEnum):
    """What a step needs next."""

    JUDGE = "judge"
    """the gate decides, then it starts"""
    DECISION = "decision"
    """a person decides on its approval"""
    PERFORM = "perform"
    """act again: its kind makes that harmless"""
    LOOK_UP = "look_up"
    """ask outside whether it happened, once nobody of ours can still be acting"""
    DOUBT = "doubt"
    """say on record that nobody can tell whether it happened"""
    PERSON = "person"
    """a person resolves the doubt"""
    RETURN = "return"
    """it has ended: answer from the record"""


def wanted(step: Step) -> Wanted:
    """What this step needs when a program touches it."""
    match step.status:
        case StepStatus.NEW | StepStatus.WAITING:
            return Wanted.JUDGE
        case StepStatus.HELD:
            return Wanted.DECISION
        case StepStatus.STARTED:
            return _recover(step)
        case StepStatus.IN_DOUBT:
            return Wanted.PERSON
        case StepStatus.SUCCEEDED | StepStatus.FAILED | StepStatus.CANCELLED | StepStatus.SKIPPED:
            return Wanted.RETURN
        case _:
            assert_never(step.status)


def _recover(step: Step) -> Wanted:
    effect = step.proposal.effect if step.proposal else Effect.UNREPEATABLE
    match effect:
        case Effect.PURE | Effect.READ | Effect.IDEMPOTENT | Effect.TRANSACTIONAL | Effect.DELEGATE | Effect.WAIT:
            return Wanted.PERFORM
        case Effect.RECONCILABLE:
            return Wanted.LOOK_UP
        case Effect.UNREPEATABLE:
            return Wanted.DOUBT
        case _:
            assert_never(effect)
