"""Every status by every fact: what `engine.table` allows, and that nothing else happens."""

from dataclasses import replace
from typing import Final, get_args

import pytest

from magsag.domain import facts
from magsag.domain.effects import DECLARABLE, EFFECTFUL, Effect
from magsag.domain.facts import StepFact, StepStatus
from magsag.engine.table import ENDS, STEP_MOVES, Illegal, move
from tests.unit.examples import CANCELLED, RESOLVED, STEP_FACTS

S = StepStatus
# Written a second time on purpose: a slip in the table has to be made twice to pass.
EXPECTED: Final = {
    (S.NEW, facts.StepHeld): S.HELD,
    (S.NEW, facts.StepStarted): S.STARTED,
    (S.NEW, facts.StepDone): S.SUCCEEDED,
    (S.NEW, facts.StepFailed): S.FAILED,
    (S.NEW, facts.StepCancelled): S.CANCELLED,
    (S.NEW, facts.StepSkipped): S.SKIPPED,
    (S.HELD, facts.StepHeld): S.HELD,
    (S.HELD, facts.StepStarted): S.STARTED,
    (S.HELD, facts.StepFailed): S.FAILED,
    (S.HELD, facts.StepInDoubt): S.IN_DOUBT,
    (S.HELD, facts.StepCancelled): S.CANCELLED,
    (S.STARTED, facts.StepStarted): S.STARTED,
    (S.STARTED, facts.StepSucceeded): S.SUCCEEDED,
    (S.STARTED, facts.StepFailed): S.FAILED,
    (S.STARTED, facts.StepWillRetry): S.WAITING,
    (S.STARTED, facts.StepInDoubt): S.IN_DOUBT,
    (S.STARTED, facts.StepCancelled): S.CANCELLED,
    (S.WAITING, facts.StepHeld): S.HELD,
    (S.WAITING, facts.StepStarted): S.STARTED,
    (S.WAITING, facts.StepDone): S.SUCCEEDED,
    (S.WAITING, facts.StepFailed): S.FAILED,
    (S.WAITING, facts.StepInDoubt): S.IN_DOUBT,
    (S.WAITING, facts.StepCancelled): S.CANCELLED,
    (S.IN_DOUBT, facts.StepResolved): S.SUCCEEDED,
}
"""with the facts of `tests.unit.examples`; a doubt is resolved there as succeeded"""


CHANGES_NOTHING = facts.LateOutcome | facts.ApprovalDecided | facts.StandingApproved | facts.StandingRevoked


@pytest.mark.parametrize("fact", STEP_FACTS, ids=lambda fact: type(fact).__name__)
@pytest.mark.parametrize("status", StepStatus)
def test_a_fact_moves_a_step_as_the_table_says_or_is_refused(status: StepStatus, fact: StepFact) -> None:
    changes_nothing = isinstance(fact, CHANGES_NOTHING)
    expected = status if changes_nothing else EXPECTED.get((status, type(fact)))
    if expected is None:
        with pytest.raises(Illegal, match=type(fact).__name__):
            move(status, fact, Effect.PURE)
    else:
        assert move(status, fact, Effect.PURE) is expected


def test_the_examples_hold_every_fact_of_a_step() -> None:
    assert {type(fact) for fact in STEP_FACTS} == set(get_args(StepFact))


def test_the_table_names_every_status() -> None:
    assert set(STEP_MOVES) == set(StepStatus)


def test_nothing_follows_an_end() -> None:
    assert {status for status, moves in STEP_MOVES.items() if not moves} == ENDS


@pytest.mark.parametrize("how", StepStatus)
def test_a_doubt_ends_as_a_person_said_and_in_no_other_way(how: StepStatus) -> None:
    fact = replace(RESOLVED, how=how)
    if how in (S.SUCCEEDED, S.FAILED, S.WAITING):
        assert move(S.IN_DOUBT, fact, Effect.UNREPEATABLE) is how
    else:
        with pytest.raises(Illegal, match="cannot be resolved"):
            move(S.IN_DOUBT, fact, Effect.UNREPEATABLE)


@pytest.mark.parametrize("effect", [*DECLARABLE, Effect.DELEGATE, Effect.WAIT, None])
def test_a_started_act_is_cancelled_only_when_it_has_no_effect(effect: Effect | None) -> None:
    if effect in EFFECTFUL:
        with pytest.raises(Illegal, match="ends as its act did"):
            move(S.STARTED, CANCELLED, effect)
    else:
        assert move(S.STARTED, CANCELLED, effect) is S.CANCELLED


@pytest.mark.parametrize("status", [S.NEW, S.HELD, S.WAITING])
def test_what_has_not_started_can_be_cancelled_whatever_its_effect(status: StepStatus) -> None:
    assert move(status, CANCELLED, Effect.UNREPEATABLE) is S.CANCELLED
