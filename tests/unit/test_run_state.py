"""What a run is after each fact: `evolve`."""

from dataclasses import replace

import pytest

from magsag.domain.errors import ErrorType
from magsag.domain.facts import (
    CancelRequested,
    Fact,
    ParkedOn,
    ParkReason,
    PayloadErased,
    RunEnded,
    RunParked,
    RunScored,
    RunStatus,
    SignalReceived,
    StepStatus,
)
from magsag.domain.ids import RunId, StepId
from magsag.engine.evolve import evolve
from magsag.engine.run import Run, Step, wake
from magsag.engine.table import CHANGES_NOTHING, ENDS, STEP_MOVES, Illegal
from tests.unit.examples import (
    ALLOWED,
    ASKED,
    CANCELLED,
    DECIDED,
    DONE,
    ERROR,
    FACTS,
    FAILED,
    HELD,
    IN_DOUBT,
    LATE,
    LOOK,
    PAY,
    RESOLVED,
    RUN_STARTED,
    SKIPPED,
    STARTED,
    STEP,
    STEP_FACTS,
    SUCCEEDED,
    WILL_RETRY,
)

PARKED = RunParked(at=50, on=ParkedOn.DOUBT, due=99, reasons=(ParkReason(ParkedOn.DOUBT, STEP, "unknown"),))
WAY_TO: dict[StepStatus, tuple[Fact, ...]] = {
    StepStatus.NEW: (),
    StepStatus.HELD: (HELD,),
    StepStatus.STARTED: (STARTED,),
    StepStatus.WAITING: (STARTED, WILL_RETRY),
    StepStatus.IN_DOUBT: (STARTED, IN_DOUBT),
    StepStatus.SUCCEEDED: (STARTED, SUCCEEDED),
    StepStatus.FAILED: (STARTED, FAILED),
    StepStatus.CANCELLED: (HELD, CANCELLED),
    StepStatus.SKIPPED: (SKIPPED,),
}


def after(*facts: Fact) -> Run:
    run = Run(RunId("r"))
    for fact in facts:
        evolve(run, fact)
    return run


def step_after(*facts: Fact) -> Step:
    return after(*facts).steps[STEP]


@pytest.mark.parametrize("fact", STEP_FACTS, ids=lambda fact: type(fact).__name__)
@pytest.mark.parametrize("status", StepStatus)
def test_a_run_takes_exactly_the_facts_that_the_table_allows(status: StepStatus, fact: Fact) -> None:
    run = after(RUN_STARTED, *WAY_TO[status])
    is_guarded = status is StepStatus.STARTED and fact is CANCELLED  # the step is unrepeatable
    if type(fact) in CHANGES_NOTHING or (type(fact) in STEP_MOVES[status] and not is_guarded):
        evolve(run, fact)
    else:
        with pytest.raises(Illegal):
            evolve(run, fact)
        assert run.steps.get(STEP, Step(STEP)).status is status


@pytest.mark.parametrize("status", StepStatus)
def test_each_status_is_reached_by_its_facts(status: StepStatus) -> None:
    run = after(RUN_STARTED, *WAY_TO[status])
    assert run.steps.get(STEP, Step(STEP)).status is status


def test_a_run_knows_how_it_began() -> None:
    run = after(RUN_STARTED)
    assert (run.status, run.started, run.at, run.count) == (RunStatus.RUNNING, RUN_STARTED, 1_000, 1)


def test_a_run_starts_and_ends_once() -> None:
    ended = RunEnded(at=10, status=RunStatus.SUCCEEDED, output=b"1")
    with pytest.raises(Illegal, match="started twice"):
        after(RUN_STARTED, RUN_STARTED)
    with pytest.raises(Illegal, match="ended twice"):
        after(RUN_STARTED, ended, ended)


def test_an_end_is_the_last_word_on_the_status() -> None:
    run = after(RUN_STARTED, PARKED, RunEnded(at=60, status=RunStatus.DENIED, output=ERROR))
    assert (run.status, run.parked, run.reasons) == (RunStatus.DENIED, None, ())


def test_a_parked_run_says_what_it_waits_for_until_a_leg_wakes_it() -> None:
    run = after(RUN_STARTED, PARKED)
    assert (run.status, run.reasons) == (RunStatus.PARKED, PARKED.reasons)
    wake(run)
    assert (run.status, run.reasons) == (RunStatus.RUNNING, ())


def test_waking_changes_nothing_in_a_run_that_has_ended() -> None:
    run = after(RUN_STARTED, RunEnded(at=60, status=RunStatus.FAILED, output=ERROR))
    wake(run)
    assert run.status is RunStatus.FAILED


def test_the_first_who_asked_to_cancel_is_remembered() -> None:
    assert after(RUN_STARTED, CancelRequested(at=2, by="ann"), CancelRequested(at=3, by="ben")).cancel_by == "ann"


def test_scores_are_kept_in_their_order() -> None:
    scored = next(fact for fact in FACTS if isinstance(fact, RunScored))
    assert after(RUN_STARTED, scored, scored).scores == [scored, scored]


ERASED = PayloadErased(at=9, seq=2, by="ann")
TOLD = SignalReceived(at=9, event="paid", by="ann", input=b"1")


@pytest.mark.parametrize("fact", [LATE, DECIDED, TOLD, ERASED, CancelRequested(at=9, by="ann")])
def test_what_is_appended_beside_the_driver_has_no_place_in_the_order(fact: Fact) -> None:
    """A leg folds it late or never, a resume folds it where it stands: both tell the program the same."""
    done = replace(DONE, step=StepId("look#2"))
    live, resumed = after(RUN_STARTED, STARTED, FAILED, done), after(RUN_STARTED, STARTED, FAILED, fact, done)
    assert (live.order, live.steps[done.step].order) == (resumed.order, resumed.steps[done.step].order) == (4, 4)


def test_erasing_a_payload_changes_no_state() -> None:
    run = after(RUN_STARTED, DONE, PayloadErased(at=9, seq=2, by="ann"))
    assert (run.status, run.steps[STEP].output) == (RunStatus.RUNNING, b"2")


def test_one_fact_makes_a_whole_pure_or_read_step() -> None:
    step = step_after(RUN_STARTED, DONE)
    assert (step.status, step.proposal, step.verdict) == (StepStatus.SUCCEEDED, LOOK, ALLOWED)
    assert (step.input, step.output, step.started_at, step.at, step.order) == (b"1", b"2", 4_300, 5_000, 2)


def test_an_intent_keeps_what_recovery_needs() -> None:
    step = step_after(RUN_STARTED, STARTED)
    assert (step.key, step.act_by, step.attempt, step.started_at) == ("k", 9_000, 1, 3_000)
    assert (step.proposal, step.input) == (PAY, b'{"cents":5}')


def test_a_later_intent_keeps_the_input_and_the_time_of_the_first() -> None:
    again = replace(STARTED, at=8_500, attempt=2, input=None)
    step = step_after(RUN_STARTED, STARTED, WILL_RETRY, again)
    assert (step.input, step.attempt, step.started_at, step.at) == (b'{"cents":5}', 2, 3_000, 8_500)


def test_a_held_step_knows_the_rule_that_asks() -> None:
    step = step_after(RUN_STARTED, HELD)
    assert (step.verdict, step.input, step.started_at) == (ASKED, b'{"cents":5}', 0)


def test_a_waiting_step_knows_when_and_why() -> None:
    step = step_after(RUN_STARTED, STARTED, WILL_RETRY)
    assert (step.due, step.error_type, step.output) == (8_000, ErrorType.RATE_LIMIT, ERROR)


def test_a_step_that_failed_before_it_started_brings_its_own_proposal() -> None:
    denied = replace(FAILED, type=ErrorType.DENIED, proposal=PAY, verdict=ASKED, input=b"{}")
    step = step_after(RUN_STARTED, denied)
    assert (step.proposal, step.verdict, step.input) == (PAY, ASKED, b"{}")
    assert (step.error_type, step.status) == (ErrorType.DENIED, StepStatus.FAILED)


def test_a_failure_after_the_intent_keeps_the_proposal_and_the_verdict() -> None:
    step = step_after(RUN_STARTED, STARTED, FAILED)
    assert (step.proposal, step.verdict, step.output) == (PAY, ALLOWED, ERROR)


def test_a_doubt_that_was_resolved_as_failed_has_an_error() -> None:
    step = step_after(RUN_STARTED, STARTED, IN_DOUBT, replace(RESOLVED, how=StepStatus.FAILED, output=ERROR))
    assert (step.status, step.error_type, step.output) == (StepStatus.FAILED, ErrorType.RAISED, ERROR)


def test_a_doubt_that_was_resolved_as_waiting_is_due_at_once() -> None:
    step = step_after(RUN_STARTED, STARTED, IN_DOUBT, replace(RESOLVED, how=StepStatus.WAITING, output=None))
    assert (step.status, step.due) == (StepStatus.WAITING, RESOLVED.at)


def test_a_late_outcome_is_never_adopted() -> None:
    step = step_after(RUN_STARTED, STARTED, FAILED, LATE)
    assert (step.status, step.output, step.at, step.order) == (StepStatus.FAILED, ERROR, FAILED.at, 3)


def test_a_steps_order_is_its_place_among_the_facts_of_the_run() -> None:
    other = replace(DONE, step=StepId("look#2"))
    run = after(RUN_STARTED, STARTED, other, SUCCEEDED)
    assert [step.order for step in run.steps.values()] == [4, 3]
    assert all(step.status in ENDS for step in run.steps.values())
