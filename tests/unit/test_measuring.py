"""What one ended run shows: time without people, cost of the tree, waits for approvals."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from magsag.domain.effects import Effect
from magsag.domain.facts import Decision, Fact, Proposal, RunStatus, StepHeld, StepInDoubt, StepResolved, StepStatus
from magsag.domain.ids import RunId, StepId
from magsag.domain.measures import Measure, Shown
from magsag.domain.verdicts import START
from magsag.engine.measuring import measured
from tests.unit.ledgers import BEGIN, BUILT_IN, MS, began, done, ended, failed, started, succeeded

R = RunId("r")
PAY = "skill:pay@1.0.0"


def shown(*facts: Fact, **below: list[Fact]) -> Measure:
    tree = {R: list(facts), **{RunId(id.replace("__", "#").replace("_", ".")): found for id, found in below.items()}}
    found = measured(R, lambda id: tree.get(id, []))
    assert found is not None
    return found


def held(step: str, at: int) -> StepHeld:
    proposal = Proposal("skill", PAY, Effect.UNREPEATABLE)
    return StepHeld(at=BEGIN + at * MS, step=StepId(step), proposal=proposal, verdict=BUILT_IN, attempt=1, input=b"1")


def start(step: str, at: int, **more: Any) -> Fact:
    return started(step, PAY, Effect.UNREPEATABLE, at=at, **more)


def test_a_run_takes_from_its_start_to_its_end() -> None:
    found = shown(began(at=100), done("a#1", "skill:a@1.0.0", at=150), ended(at=400))
    assert found == Measure(R, Shown.GOOD, BEGIN + 400 * MS, 300 * MS, 0, ())


def test_a_run_that_has_not_ended_shows_nothing() -> None:
    assert measured(R, lambda id: [began()]) is None
    assert measured(R, lambda id: []) is None


def test_every_end_but_success_is_bad() -> None:
    for status in set(RunStatus) - {RunStatus.RUNNING, RunStatus.PARKED}:
        wanted = Shown.GOOD if status is RunStatus.SUCCEEDED else Shown.BAD
        assert shown(began(), ended(status)).shown is wanted


def test_waiting_for_an_approval_is_no_time_of_the_run() -> None:
    found = shown(began(), held("pay#1", 100), start("pay#1", 700), succeeded("pay#1", 800), ended(at=1_000))
    assert (found.took, found.waits) == (400 * MS, (600 * MS,))


def test_a_doubt_is_waiting_for_a_person_and_no_approval() -> None:
    doubt = StepInDoubt(at=BEGIN + 200 * MS, step=StepId("pay#1"), reason="who knows")
    told = StepResolved(at=BEGIN + 500 * MS, step=StepId("pay#1"), how=StepStatus.FAILED, by="ann")
    found = shown(began(), start("pay#1", 100), doubt, told, ended(at=1_000))
    assert (found.took, found.waits) == (700 * MS, ())


def test_waits_side_by_side_are_taken_out_once() -> None:
    facts = [held("a#1", 100), held("b#1", 300), start("a#1", 500), start("b#1", 600), ended(at=1_000)]
    found = shown(began(), *facts)
    assert (found.took, found.waits) == (500 * MS, (300 * MS, 400 * MS))


def test_an_ask_that_nobody_answered_is_waited_for_until_the_end() -> None:
    found = shown(began(), held("a#1", 100), ended(RunStatus.CANCELLED, at=900))
    assert (found.took, found.waits) == (100 * MS, (800 * MS,))
    found = shown(began(), held("a#1", 100), failed("a#1", at=300), ended(RunStatus.DENIED, at=900))
    assert (found.took, found.waits) == (700 * MS, (200 * MS,))


def test_an_ask_that_is_asked_anew_is_one_wait() -> None:
    found = shown(began(), held("a#1", 100), held("a#1", 200), start("a#1", 400), ended(at=900))
    assert found.waits == (300 * MS,)


def test_what_child_runs_cost_and_wait_for_counts_above() -> None:
    paid = done("m#1", "model:smart", Effect.READ, spent={"usd": 5, "tokens": 9})
    child: list[Fact] = [began(parent="r.b#1", at=60), held("pay#1", 100), start("pay#1", 300), paid, ended(at=400)]
    found = shown(began(), started("b#1", "agent:b@1.0.0"), paid, ended(at=1_000), r_b__1=child)
    assert (found.nano_usd, found.took, found.waits) == (10, 800 * MS, (200 * MS,))


def test_a_detached_child_run_is_another_tree() -> None:
    detached = started("b#1", "agent:b@1.0.0")
    detached = replace(detached, proposal=replace(detached.proposal, call="detach"))
    paid = done("m#1", "model:smart", Effect.READ, spent={"usd": 5})
    found = shown(began(), detached, ended(), r_b__1=[began(parent="r.b#1"), paid, ended()])
    assert found.nano_usd == 0


def test_of_a_fork_only_what_it_did_itself_counts() -> None:
    first = replace(began(), forked_from=RunId("o"), forked_at=BEGIN + 500 * MS)
    old, new = (done(f"m#{at}", "model:smart", Effect.READ, at=at, spent={"usd": at}) for at in (100, 600))
    found = shown(first, old, new, ended(at=700))
    assert (found.took, found.nano_usd) == (200 * MS, 600)


def test_a_run_that_was_not_let_through_counts_for_nothing() -> None:
    for decision in Decision:
        first = replace(began(), verdict=replace(BUILT_IN, decision=decision, rule="slo:p95_ms"))
        wanted = Shown.BAD if decision is Decision.ALLOW else Shown.REFUSED
        assert shown(first, ended(RunStatus.DENIED)).shown is wanted
    asked = replace(began(), verdict=replace(BUILT_IN, decision=Decision.ASK, rule="slo:p95_ms"))
    assert shown(asked, held(START, 10), succeeded(START, at=20), ended(RunStatus.FAILED)).shown is Shown.BAD


def test_a_dry_run_shows_nothing() -> None:
    assert shown(replace(began(), mode="dry_run"), ended()).shown is Shown.DRY


@given(st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 1_000)), max_size=12))
def test_the_time_is_what_no_wait_covers(spans: list[tuple[int, int]]) -> None:
    facts: list[Fact] = []
    covered: set[int] = set()
    for number, (one, other) in enumerate(spans):
        first, last = sorted((one, other))
        facts += [held(f"s#{number}", first), start(f"s#{number}", last)]
        covered |= set(range(first, last))
    found = shown(began(), *facts, ended(at=1_000))
    assert found.took == (1_000 - len(covered)) * MS
