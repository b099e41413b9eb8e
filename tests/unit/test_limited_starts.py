"""Breaker and rate of an agent at the starts of its runs, whoever starts and drives them."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.breaking import BreakerMoved, BreakerState
from magsag.domain.effects import Level
from magsag.domain.errors import ErrorType, Invalid, Refused, StepFailed, StoreBroken
from magsag.domain.facts import Fact, ParkedOn, RunStarted, RunStatus, StepStatus
from magsag.domain.ids import RunId
from magsag.domain.verdicts import START
from magsag.engine.chain import seal
from magsag.ports.ledger import Change, Declined, Write, Written
from magsag.ports.throttles import ThrottleRow
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Order
from magsag.services.gate.objectives import Objectives
from magsag.services.steps.beginnings import new_run
from magsag.services.steps.throttles import ThrottleStates, throttle_of
from magsag.testing import FrozenClock
from tests.unit.world import KINDS, WORLD, Bench, agent

BREAKER = "{failures: 2, open: 1h}"
BODY = """
await ctx.skill("look", payload)
if payload == "long":
    await ctx.sleep(60)
if payload == "boom":
    raise ValueError("boom")
return payload
"""
Make = Callable[..., Bench]


class Clocked(MemoryStore):
    """Its throttles go by the clock of the test."""

    clock: FrozenClock
    dies_at_ends = False
    """the process dies before the end of a run is on record"""

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        if self.dies_at_ends and any(fact.kind == "RunEnded" for item in writes for fact in item.facts):
            raise StoreBroken("the process is killed")
        return super().write(writes, level)

    def throttle(self, name: str) -> tuple[int, ThrottleRow | None]:
        return self.clock.now(), super().throttle(name)[1]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Bench] = []

    def bench(body: str = BODY, files: dict[str, str] | None = None, **manifest: str) -> Bench:
        above = agent("above", 'return await ctx.delegate("main", payload)', "agent:main")
        program = agent("main", body, "skill:look", **manifest)
        store = Clocked()
        made.append(Bench(tmp_path / f"p{len(made)}", {**KINDS, **program, **above, **(files or {})}, store))
        store.clock = made[-1].time.clock
        return made[-1]

    WORLD.reset()
    yield bench
    for one in made:
        one.close()


def run(bench: Bench, id: str, payload: object = "fine", program: str = "agent:main") -> RunResult:
    """In a process of its own."""
    return bench.time.run(bench.process().runs.run(Order(program, payload, run_id=id)))


def resumed(bench: Bench, id: str) -> RunResult:
    return bench.time.run(bench.process().runs.resume(RunId(id)))


def broken(bench: Bench) -> None:
    for id in ("bad1", "bad2"):
        assert run(bench, id, "boom").status is RunStatus.FAILED
    WORLD.calls.clear()


def moves(bench: Bench, id: str) -> list[BreakerState]:
    return [fact.state for fact in bench.facts(id) if isinstance(fact, BreakerMoved)]


def state(bench: Bench) -> BreakerState:
    view = ThrottleStates(bench.store).view("agent:main")
    assert view is not None
    return view.state


def test_runs_that_fail_open_the_breaker_and_the_next_run_does_not_begin(make: Make) -> None:
    bench = make(breaker=BREAKER)
    broken(bench)
    assert moves(bench, "bad2") == [BreakerState.OPEN]
    refused = run(bench, "r")
    assert (refused.status, WORLD.calls) == (RunStatus.DENIED, [])
    assert refused.error is not None
    assert (refused.error.type, refused.error.step) == (ErrorType.UNAVAILABLE, START)
    assert "agent:main is not tried: its breaker is open since 20" in refused.error.message
    assert str(refused.error.details["half_open"]) > str(refused.error.details["since"])
    assert bench.kinds() == ["RunStarted", "StepFailed", "RunEnded"]
    assert bench.store.check() == []


def test_it_is_shared_with_those_who_delegate(make: Make) -> None:
    bench = make(breaker=BREAKER)
    assert run(bench, "a", "boom").status is RunStatus.FAILED
    assert run(bench, "b", "boom", "agent:above").status is RunStatus.FAILED
    refused = run(bench, "c")
    assert (refused.status, state(bench)) == (RunStatus.DENIED, BreakerState.OPEN)
    below = run(bench, "d", program="agent:above")
    assert below.error is not None
    assert below.error.type is ErrorType.UNAVAILABLE
    assert len(WORLD.calls) == 2


def test_after_its_time_one_run_tries_and_its_end_closes_it(make: Make) -> None:
    bench = make(breaker=BREAKER)
    broken(bench)
    bench.time.passed += 3601
    assert run(bench, "worse", "boom").status is RunStatus.FAILED
    assert moves(bench, "worse") == [BreakerState.HALF_OPEN, BreakerState.OPEN]
    assert run(bench, "early").status is RunStatus.DENIED
    bench.time.passed += 3601
    assert run(bench, "better").status is RunStatus.SUCCEEDED
    assert moves(bench, "better") == [BreakerState.HALF_OPEN, BreakerState.CLOSED]
    assert run(bench, "again").status is RunStatus.SUCCEEDED


def test_what_is_under_way_when_the_time_is_over_is_the_only_one_that_tries(make: Make) -> None:
    bench = make(breaker=BREAKER)
    broken(bench)
    bench.time.passed += 3601
    others: list[RunResult] = []

    async def act(name: str, payload: Any, ctx: Any) -> Any:
        if not others:
            others.append(await bench.process().runs.run(Order("agent:main", "fine", run_id="other")))
        return payload

    WORLD.on_act = act
    assert run(bench, "probe").status is RunStatus.SUCCEEDED
    assert [one.status for one in others] == [RunStatus.DENIED]
    assert state(bench) is BreakerState.CLOSED


@pytest.mark.parametrize("program", ["agent:main", "agent:above"])
def test_one_that_tries_and_parks_keeps_its_place_until_it_ends(make: Make, program: str) -> None:
    bench = make(breaker=BREAKER)
    broken(bench)
    bench.time.passed += 3601
    assert run(bench, "probe", "long", program).status is RunStatus.PARKED
    early = run(bench, "early")
    assert early.error is not None
    assert (early.status, early.error.details["breaker"]) == (RunStatus.DENIED, "half_open")
    bench.time.passed += 61
    assert resumed(bench, "probe").status is RunStatus.SUCCEEDED
    assert moves(bench, "probe") == [BreakerState.HALF_OPEN, BreakerState.CLOSED]


def test_one_that_tries_and_parks_for_long_is_not_waited_for(make: Make) -> None:
    bench = make(breaker=BREAKER)
    broken(bench)
    bench.time.passed += 3601
    assert run(bench, "probe", "long").status is RunStatus.PARKED
    bench.time.passed += 301
    assert run(bench, "other").status is RunStatus.SUCCEEDED
    assert resumed(bench, "probe").status is RunStatus.SUCCEEDED
    assert state(bench) is BreakerState.CLOSED


def test_a_refused_start_counts_for_no_objective_and_no_breaker(make: Make) -> None:
    bench = make(breaker="{failures: 3, open: 1s}", rate="{calls: 2, per: 1h}", slo="{success_rate: 0.5}")
    assert [run(bench, id).status for id in "abcdef"] == [RunStatus.SUCCEEDED] * 2 + [RunStatus.DENIED] * 4
    report = Objectives(bench.store, bench.app.clock).report(bench.app.shelf.entry("agent:main"))
    assert report is not None
    assert (report.runs, state(bench)) == (2, BreakerState.CLOSED)


def test_a_rate_refuses_a_start_and_says_when_to_come_back(make: Make) -> None:
    bench = make(rate="{calls: 2, per: 60s}")
    results = [run(bench, id) for id in "abc"]
    assert [one.status for one in results] == [RunStatus.SUCCEEDED, RunStatus.SUCCEEDED, RunStatus.DENIED]
    error = results[2].error
    assert error is not None
    assert (error.type, error.details["retry_after"]) == (ErrorType.RATE_LIMIT, 30.0)
    bench.time.passed += 30
    assert run(bench, "d").status is RunStatus.SUCCEEDED


def test_with_retry_a_start_waits_parked_until_its_rate_lets_it_go(make: Make) -> None:
    bench = make(rate="{calls: 1, per: 60s}", retry="{attempts: 2}")
    assert run(bench, "a").status is RunStatus.SUCCEEDED
    waits = bench.run("fine")
    assert [(one.on, one.step) for one in waits.reasons] == [(ParkedOn.TIME, START)]
    assert bench.onward(waits).status is RunStatus.SUCCEEDED
    assert len(WORLD.calls) == 2


def test_a_run_that_is_left_to_a_worker_is_asked_when_it_begins(make: Make) -> None:
    bench = make(rate="{calls: 2, per: 1h}")
    for id in "abc":
        bench.time.run(bench.app.runs.submit(Order("agent:main", "fine", run_id=id)))
    assert bench.store.throttles() == []
    assert [resumed(bench, id).status for id in "cba"] == [RunStatus.SUCCEEDED] * 2 + [RunStatus.DENIED]


def test_a_run_that_goes_on_in_a_later_leg_takes_nothing_again_and_counts_once(make: Make) -> None:
    body = BODY.replace('payload == "long"', "True")
    bench = make(body, breaker=BREAKER, rate="{calls: 2, per: 1h}")
    for id in ("a", "b"):
        assert run(bench, id, "boom").status is RunStatus.PARKED
        for _ in range(3):
            assert resumed(bench, id).status is RunStatus.PARKED
    bench.time.passed += 61
    assert [resumed(bench, id).status for id in ("a", "b")] == [RunStatus.FAILED] * 2
    assert moves(bench, "b") == [BreakerState.OPEN]
    (row,) = bench.store.throttles()
    assert throttle_of(row).full_at - bench.time.clock.now() == pytest.approx(3_539e6, abs=2e6)


def test_an_end_counts_once_though_the_process_died_before_it_was_on_record(make: Make) -> None:
    bench = make(breaker=BREAKER)
    store = bench.store
    assert isinstance(store, Clocked)
    store.dies_at_ends = True
    for _ in range(3):
        with pytest.raises(StoreBroken, match="is killed"):
            run(bench, "r", "boom")
    store.dies_at_ends = False
    assert resumed(bench, "r").status is RunStatus.FAILED
    assert state(bench) is BreakerState.CLOSED
    assert run(bench, "s", "boom").status is RunStatus.FAILED
    assert state(bench) is BreakerState.OPEN


@pytest.mark.parametrize("error", [StepFailed("denied", "no"), StepFailed("input_contract", "no")])
def test_an_end_that_says_nothing_of_the_agent_does_not_count(make: Make, error: StepFailed) -> None:
    bench = make(breaker="{failures: 1, open: 1h}")

    def act(*_: Any) -> None:
        raise error

    WORLD.on_act = act
    assert run(bench, "a").error is not None
    assert run(bench, "b").error is not None
    assert (len(WORLD.calls), bench.store.throttles()) == (2, [])


def test_a_run_whose_time_is_over_has_failed(make: Make) -> None:
    bench = make("await ctx.sleep(100)", breaker="{failures: 1, open: 1h}", timeout="30s")
    parked = bench.run("fine")
    bench.time.passed += 31
    assert bench.onward(parked).error is not None
    assert run(bench, "s").status is RunStatus.DENIED


def test_a_cancelled_run_says_nothing_of_its_agent(make: Make) -> None:
    bench = make(breaker="{failures: 1, open: 1h}")
    bench.run("long")
    bench.time.run(bench.process().runs.cancel(RunId("r"), "ann"))
    assert bench.store.throttles() == []


def test_a_slow_run_counts_as_failed(make: Make) -> None:
    bench = make(breaker="{failures: 1, open: 1h, slow: 2s}")

    async def act(name: str, payload: Any, ctx: Any) -> Any:
        await asyncio.sleep(3)
        return payload

    WORLD.on_act = act
    assert run(bench, "a").status is RunStatus.SUCCEEDED
    assert run(bench, "b").status is RunStatus.DENIED


def test_refused_and_limited_runs_replay_to_the_same(make: Make) -> None:
    bench = make(breaker=BREAKER, rate="{calls: 2, per: 60s}", retry="{attempts: 2}")
    run(bench, "a")
    run(bench, "b", "boom")
    bench.run("fine")
    run(bench, "long", "long")
    for id in ("a", "b", "r", "long"):
        assert asyncio.run(bench.app.replay.replay(RunId(id))).difference is None
    bench.time.passed += 60
    run(bench, "c", "boom")
    bench.time.passed += 60
    assert run(bench, "refused").status is RunStatus.DENIED
    assert asyncio.run(bench.app.replay.replay(RunId("refused"))).difference is None


def test_a_fork_asks_the_limits_of_a_start(make: Make) -> None:
    bench = make(rate="{calls: 2, per: 1h}", breaker=BREAKER)
    assert bench.run("fine").status is RunStatus.SUCCEEDED
    forks = bench.app.forks
    forks.fork(RunId("r"), "look#1", id="f")
    with pytest.raises(Refused, match="the next call may go in 1800"):
        forks.fork(RunId("r"), "look#1", id="g")
    assert bench.store.row(RunId("g")) is None
    bench.time.passed += 3600
    assert resumed(bench, "f").status is RunStatus.SUCCEEDED
    broken(bench)
    with pytest.raises(Refused, match="its breaker is open since"):
        forks.fork(RunId("r"), "look#1", id="h")
    assert bench.state("f").steps[START].status is StepStatus.SUCCEEDED


def probe(bench: Bench) -> str:
    return throttle_of(bench.store.throttles()[0]).breaker.probe


@pytest.mark.parametrize("step", ["look#1", "@start"])
def test_a_fork_that_is_refused_takes_nothing(make: Make, step: str) -> None:
    slo = "{success_rate: 0.9, min_runs: 1, action: open_breaker}"
    bench = make(breaker="{failures: 9, open: 1h}", rate="{calls: 3, per: 100h}", slo=slo)
    assert bench.run("fine").status is RunStatus.SUCCEEDED
    assert run(bench, "bad", "boom").status is RunStatus.FAILED
    assert run(bench, "early").status is RunStatus.DENIED
    bench.time.passed += 3601
    stood, forks = bench.store.throttles(), bench.app.forks
    with pytest.raises(Invalid):
        forks.fork(RunId("r"), step, ["nothing.there=1"], id="f")
    assert bench.store.throttles() == stood
    forks.fork(RunId("r"), step, id="f")
    assert probe(bench) == "f @start 1"


def test_a_fork_that_its_rate_refuses_does_not_stay_the_one_that_tries(make: Make) -> None:
    slo = "{success_rate: 0.9, min_runs: 1, action: open_breaker}"
    bench = make(breaker="{failures: 9, open: 1h}", rate="{calls: 2, per: 100h}", slo=slo)
    assert bench.run("fine").status is RunStatus.SUCCEEDED
    assert run(bench, "bad", "boom").status is RunStatus.FAILED
    assert run(bench, "early").status is RunStatus.DENIED
    bench.time.passed += 3601
    with pytest.raises(Refused, match="the next call may go in"):
        bench.app.forks.fork(RunId("r"), "look#1", id="f")
    assert probe(bench) == ""


def test_what_has_no_limits_takes_no_step_for_them(make: Make) -> None:
    bench = make()
    assert bench.run("fine").status is RunStatus.SUCCEEDED
    assert (START in bench.state().steps, bench.store.throttles()) == (False, [])


def earlier(bench: Bench) -> MemoryStore:
    """A store with the run `r` as a version recorded it that had no limits of starts."""

    def unlimited(fact: Fact) -> Fact:
        return replace(fact, limited=None) if isinstance(fact, RunStarted) else fact

    old = [unlimited(fact) for fact in bench.facts() if getattr(fact, "step", None) != START]
    store = Clocked()
    store.clock = bench.time.clock
    started = old[0]
    assert isinstance(started, RunStarted)
    row = new_run(started, RunId("r"))
    sealed = [seal(fact, bytes(16)) for fact in old]
    change = Change(RunStatus.PARKED, ParkedOn.TIME, 0, 0)
    store.write([Write(RunId("r"), RunId("r"), sealed, create=row, change=change)], Level.SYNCED)
    bundle = bench.store.bundle(started.bundle)
    assert bundle is not None
    store.put_bundle(started.bundle, bundle)
    return store


def test_a_run_that_an_earlier_version_began_is_not_asked_in_its_middle(make: Make) -> None:
    bench = make(rate="{calls: 1, per: 1h}")
    bench.run("long")
    store = earlier(bench)
    bench.time.passed += 61
    other = bench.process(store)
    assert bench.time.run(other.runs.resume(RunId("r"))).status is RunStatus.SUCCEEDED
    assert store.throttles() == []


def test_a_fork_of_a_run_that_an_earlier_version_began_is_asked_and_counts(make: Make) -> None:
    bench = make(breaker=BREAKER, rate="{calls: 1, per: 1h}")
    bench.run("long")
    other = bench.process(earlier(bench))
    other.forks.fork(RunId("r"), "sleep#1", id="f")
    assert bench.time.run(other.runs.resume(RunId("f"))).status is RunStatus.PARKED
    other.forks.fork(RunId("r"), "sleep#1", id="g")
    assert bench.time.run(other.runs.resume(RunId("g"))).status is RunStatus.DENIED
    bench.time.passed += 61
    assert bench.time.run(other.runs.resume(RunId("f"))).status is RunStatus.SUCCEEDED
    assert asyncio.run(other.replay.replay(RunId("f"))).difference is None


def test_that_it_tries_is_on_record_though_its_objectives_spoke(make: Make) -> None:
    bench = make(breaker="{failures: 1, open: 1h}", slo="{success_rate: 0.9, min_runs: 1}")
    assert run(bench, "bad", "boom").status is RunStatus.FAILED
    bench.time.passed += 3601
    assert run(bench, "probe").status is RunStatus.SUCCEEDED
    verdict = bench.state("probe").started
    assert verdict is not None
    assert verdict.verdict is not None
    assert moves(bench, "probe") == [BreakerState.HALF_OPEN, BreakerState.CLOSED]
