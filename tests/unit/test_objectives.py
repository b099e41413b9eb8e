"""Objectives at work: new runs are warned about, asked for or refused, root and child alike, from the ledger."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.approval import Acting, Answer, Proof
from magsag.domain.breaking import BreakerMoved, BreakerState
from magsag.domain.errors import ErrorType, Refused
from magsag.domain.facts import Decision, ParkedOn, RunStarted, RunStatus, StepStatus, Verdict
from magsag.domain.ids import RunId
from magsag.domain.settings import Features
from magsag.domain.verdicts import START
from magsag.policy.breaker import state_of
from magsag.ports.ledger import TicketQuery
from magsag.ports.measures import EndedRun
from magsag.ports.throttles import ThrottleRow
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Order
from magsag.services.gate.objectives import Objectives
from magsag.services.people.approvals import Decision as Says
from magsag.services.steps.throttles import throttle_of
from tests.unit.world import KINDS, Bench, agent

PEOPLE = "kind: people\nschema: 1\npeople:\n  - {id: maria, proof: os_user}\n"
BODY = """
await ctx.skill("pure", payload)
if payload == "boom":
    raise ValueError("boom")
return payload
"""
ABOVE = 'return await ctx.delegate("main", payload)'
Make = Callable[..., Bench]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(action: str = "block", **settings: Any) -> Bench:
        slo = f"{{success_rate: 0.5, window: 1h, min_runs: 2, action: {action}}}"
        breaker = {"breaker": "{failures: 9, open: 1h}"} if action == "open_breaker" else {}
        main = agent("main", BODY, "skill:pure", slo=slo, **breaker)
        files = {**KINDS, **main, **agent("above", ABOVE, "agent:main")}
        return Bench(tmp_path, {**files, "people.yaml": PEOPLE}, **{"actor": "tester", **settings})

    return made


def run(bench: Bench, id: str, payload: object = "fine", program: str = "agent:main") -> RunResult:
    return bench.time.run(bench.app.runs.run(Order(program, payload, run_id=id)))


def missed(bench: Bench) -> None:
    for id in ("bad1", "bad2"):
        assert run(bench, id, "boom").status is RunStatus.FAILED


def decide(bench: Bench, answer: Answer) -> str:
    (view,) = bench.app.approvals.list(TicketQuery(waiting=True))
    if view.step == START:
        assert bench.app.approvals.show(view.id).arguments == "fine"  # whoever decides sees what it would start with
    by = Acting("maria", Proof.OS_USER)
    bench.app.approvals.decide(view.id, Says(by, answer))
    return view.id


def recorded(bench: Bench) -> Verdict:
    """What the start of the run `r` was told."""
    first = bench.facts()[0]
    assert isinstance(first, RunStarted)
    assert first.verdict is not None
    return first.verdict


def test_new_runs_are_refused_once_an_objective_is_missed(make: Make) -> None:
    bench = make()
    assert run(bench, "good").status is RunStatus.SUCCEEDED
    missed(bench)
    refused = run(bench, "r")
    assert refused.status is RunStatus.DENIED
    assert refused.error is not None
    assert refused.error.type is ErrorType.DENIED
    assert "success_rate 0.333333 is less than 0.5" in refused.error.message
    assert "bad2, bad1" in refused.error.message
    assert refused.error.details == {"rule": "slo:success_rate", "place": "agents/main/main/agent.yaml:8"}


def test_a_refusal_is_on_record_and_counts_for_nothing(make: Make) -> None:
    bench = make()
    missed(bench)
    for id in ("r", "s", "t"):
        assert run(bench, id).status is RunStatus.DENIED
    assert (recorded(bench).decision, bench.kinds()) == (Decision.DENY, ["RunStarted", "RunEnded"])
    entry = bench.app.shelf.entry("agent:main")
    report = Objectives(bench.store, bench.app.clock).report(entry)
    assert report is not None
    assert report.runs == 2


def test_runs_start_again_when_the_bad_ones_have_left_the_window(make: Make) -> None:
    bench = make()
    missed(bench)
    assert run(bench, "r").status is RunStatus.DENIED
    bench.time.passed += 3_600
    assert run(bench, "s").status is RunStatus.SUCCEEDED


def test_a_warning_lets_the_run_go_on_and_is_on_record(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    bench = make("warn")
    missed(bench)
    with caplog.at_level(logging.WARNING, "magsag.slo"):
        assert run(bench, "r").status is RunStatus.SUCCEEDED
    assert "agent:main: success_rate 0 is less than 0.5" in caplog.text
    verdict = recorded(bench)
    assert (verdict.decision, verdict.rule) == (Decision.ALLOW, "slo:success_rate")


def test_a_start_that_asks_waits_for_its_approval(make: Make) -> None:
    bench = make("ask")
    missed(bench)
    parked = run(bench, "r")
    assert parked.status is RunStatus.PARKED
    assert [(reason.on, reason.step) for reason in parked.reasons] == [(ParkedOn.APPROVAL, START)]
    ticket = decide(bench, Answer.APPROVE)
    assert bench.resume().status is RunStatus.SUCCEEDED
    step = bench.step(START)
    assert (step.status, step.approval) == (StepStatus.SUCCEEDED, ticket)
    assert bench.resume().output == "fine"


def test_a_start_that_people_refuse_never_began(make: Make) -> None:
    bench = make("ask")
    missed(bench)
    run(bench, "r")
    decide(bench, Answer.DENY)
    assert bench.resume().status is RunStatus.DENIED
    report = Objectives(bench.store, bench.app.clock).report(bench.app.shelf.entry("agent:main"))
    assert report is not None
    assert report.runs == 2


def test_without_approvals_a_start_that_asks_is_refused(make: Make) -> None:
    bench = make("ask", features=Features(approvals=False))
    missed(bench)
    refused = run(bench, "r")
    assert refused.status is RunStatus.DENIED
    assert refused.error is not None
    assert "approvals are switched off" in refused.error.message


def test_a_delegation_is_refused_at_the_gate(make: Make) -> None:
    bench = make()
    missed(bench)
    refused = run(bench, "r", program="agent:above")
    assert refused.status is RunStatus.DENIED
    step = bench.step("main#1")
    assert step.verdict.rule == "slo:success_rate"
    assert bench.store.row(RunId("r.main#1")) is None


def test_a_delegation_that_asks_opens_a_ticket(make: Make) -> None:
    bench = make("ask")
    missed(bench)
    assert run(bench, "r", program="agent:above").status is RunStatus.PARKED
    decide(bench, Answer.APPROVE)
    assert bench.resume().status is RunStatus.SUCCEEDED


class Shared(MemoryStore):
    """A store whose clock the test moves."""

    at = 1_700_000_000_000_000

    def throttle(self, name: str) -> tuple[int, ThrottleRow | None]:
        return self.at, super().throttle(name)[1]

    def state(self) -> BreakerState:
        row = self.throttle("agent:main")[1]
        assert row is not None
        return state_of(throttle_of(row).breaker, self.at)


def with_breaker(make: Make) -> tuple[Bench, Shared]:
    bench, store = make("open_breaker"), Shared()
    bench.store, bench.app = store, bench.process(store)
    missed(bench)
    return bench, store


def test_an_open_breaker_lets_one_run_in_a_while_through(make: Make) -> None:
    bench, store = with_breaker(make)
    first, second = run(bench, "r"), run(bench, "s")
    assert (first.status, second.status, store.state()) == (RunStatus.DENIED, RunStatus.DENIED, BreakerState.OPEN)
    assert first.error is not None
    assert "its breaker is open, the next run may try at 2023-11-14T23:13:20" in first.error.message
    store.at += 3_600_000_000
    assert [run(bench, id).status for id in ("t", "u")] == [RunStatus.SUCCEEDED, RunStatus.DENIED]


def moves(bench: Bench, id: str) -> list[tuple[str, str, BreakerState]]:
    found = [fact for fact in bench.facts(id) if isinstance(fact, BreakerMoved)]
    return [(fact.step, fact.name, fact.state) for fact in found]


def test_a_breaker_that_a_start_opens_or_tries_is_on_record(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    bench, store = with_breaker(make)
    with caplog.at_level(logging.WARNING, "magsag.throttle"):
        assert [run(bench, id).status for id in ("r", "s")] == [RunStatus.DENIED] * 2
    said = "breaker agent:main opened: agent:main: success_rate 0 is less than 0.5"
    assert [record.message.startswith(said) for record in caplog.records if record.name == "magsag.throttle"] == [True]
    assert bench.kinds("r") == ["RunStarted", "BreakerMoved", "RunEnded"]
    store.at += 3_600_000_000
    run(bench, "t")
    opened, tried = [(START, "agent:main", state) for state in (BreakerState.OPEN, BreakerState.HALF_OPEN)]
    closed = (START, "agent:main", BreakerState.CLOSED)
    assert [moves(bench, id) for id in "rst"] == [[opened], [], [tried, closed]]


def test_a_breaker_that_a_delegation_opens_is_on_record(make: Make) -> None:
    bench, _ = with_breaker(make)
    run(bench, "r", program="agent:above")
    assert moves(bench, "r") == [("main#1", "agent:main", BreakerState.OPEN)]


def test_an_open_breaker_is_asked_at_the_gate(make: Make) -> None:
    bench, store = with_breaker(make)
    refused = run(bench, "r", program="agent:above")
    assert refused.error is not None
    assert (refused.error.type, store.state()) == (ErrorType.UNAVAILABLE, BreakerState.OPEN)
    store.at += 3_600_000_000
    assert run(bench, "s", program="agent:above").status is RunStatus.SUCCEEDED
    assert store.state() is BreakerState.CLOSED
    assert run(bench, "t", program="agent:above").status is RunStatus.FAILED


def test_child_runs_count(make: Make) -> None:
    bench = make()
    for id in ("a", "b"):
        assert run(bench, id, "boom", program="agent:above").status is RunStatus.FAILED
    bench.time.passed += 1
    assert run(bench, "r").status is RunStatus.DENIED


def test_a_fork_is_a_new_run_too(make: Make) -> None:
    bench = make()
    missed(bench)
    with pytest.raises(Refused, match="starts no run"):
        bench.app.forks.fork(RunId("bad1"), "pure#1", id="f")
    assert bench.store.row(RunId("f")) is None


def test_flows_have_objectives_too(tmp_path: Path) -> None:
    slo = "{success_rate: 0.5, min_runs: 2, action: block}"
    flow = f"kind: flow\nschema: 1\nslug: pay\nversion: 1.0.0\nslo: {slo}\n"
    steps = 'steps:\n  - {id: act, uses: "agent:main", with: =input}\n'
    bench = Bench(tmp_path, {**agent("main", BODY, "skill:pure"), **KINDS, "flows/pay.yaml": flow + steps})
    for id in ("a", "b"):
        assert run(bench, id, "boom", "flow:pay").status is RunStatus.FAILED
    refused = run(bench, "r", "fine", "flow:pay")
    assert refused.error is not None
    assert refused.error.details == {"rule": "slo:success_rate", "place": "flows/pay.yaml:5"}
    assert run(bench, "s").status is RunStatus.SUCCEEDED


class Asked(MemoryStore):
    """A store that counts how often ended runs are asked for."""

    looks = 0

    def ended_runs(self, program: str, since: int, limit: int) -> list[EndedRun]:
        self.looks += 1
        return super().ended_runs(program, since, limit)


def test_what_has_no_objectives_asks_nothing_and_delegations_share_a_look(make: Make) -> None:
    bench, store = make(), Asked()
    bench.store, bench.app = store, bench.process(store)
    many = "return await ctx.map(lambda one: ctx.delegate('main', one), payload)"
    bench.files = {**bench.files, **agent("above", many, "agent:main")}
    bench.app = bench.process(store)
    assert run(bench, "none", [], "agent:above").status is RunStatus.SUCCEEDED
    assert store.looks == 0
    assert run(bench, "many", list(range(50)), "agent:above").status is RunStatus.SUCCEEDED
    assert store.looks == 1


def test_a_run_is_measured_once(make: Make) -> None:
    class Counting(MemoryStore):
        reads = 0

        def read(self, run: RunId, after: int = 0) -> Any:
            self.reads += 1
            return super().read(run, after)

    bench, store = make(), Counting()
    bench.store = store
    bench.app = bench.process(store)
    missed(bench)
    objectives, entry = Objectives(store, bench.app.clock), bench.app.shelf.entry("agent:main")
    first = objectives.report(entry)
    before = store.reads
    assert Objectives(store, bench.app.clock).report(entry) == first
    assert store.reads == before
    assert objectives.report(bench.app.shelf.entry("agent:above")) is None
