"""What a touched step needs next: `wanted`, which is the whole recovery table."""

import pytest

from magsag.domain.effects import DECLARABLE, Effect
from magsag.domain.facts import Proposal, StepStatus
from magsag.domain.ids import StepId
from magsag.engine.recovery import Wanted, wanted
from magsag.engine.run import Step


def step(status: StepStatus, effect: Effect | None = Effect.READ) -> Step:
    proposal = Proposal("skill", "skill:a@1.0.0", effect) if effect else None
    return Step(StepId("a#1"), status, proposal)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (StepStatus.NEW, Wanted.JUDGE),
        (StepStatus.WAITING, Wanted.JUDGE),
        (StepStatus.HELD, Wanted.DECISION),
        (StepStatus.IN_DOUBT, Wanted.PERSON),
        (StepStatus.SUCCEEDED, Wanted.RETURN),
        (StepStatus.FAILED, Wanted.RETURN),
        (StepStatus.CANCELLED, Wanted.RETURN),
        (StepStatus.SKIPPED, Wanted.RETURN),
    ],
)
@pytest.mark.parametrize("effect", [*DECLARABLE, Effect.DELEGATE, Effect.WAIT])
def test_whatever_is_not_started_wants_the_same_for_all_effects(
    status: StepStatus, expected: Wanted, effect: Effect
) -> None:
    assert wanted(step(status, effect)) is expected


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        (Effect.PURE, Wanted.PERFORM),
        (Effect.READ, Wanted.PERFORM),
        (Effect.IDEMPOTENT, Wanted.PERFORM),
        (Effect.DELEGATE, Wanted.PERFORM),
        (Effect.WAIT, Wanted.PERFORM),
        (Effect.TRANSACTIONAL, Wanted.PERFORM),
        (Effect.RECONCILABLE, Wanted.LOOK_UP),
        (Effect.UNREPEATABLE, Wanted.DOUBT),
    ],
)
def test_an_intent_without_outcome_is_repeated_only_where_that_is_harmless(effect: Effect, expected: Wanted) -> None:
    assert wanted(step(StepStatus.STARTED, effect)) is expected


def test_every_status_and_every_effect_has_an_answer() -> None:
    assert all(wanted(step(status, effect)) for status in StepStatus for effect in Effect)


def test_an_act_of_unknown_effect_counts_as_unrepeatable() -> None:
    assert wanted(step(StepStatus.STARTED, None)) is Wanted.DOUBT
