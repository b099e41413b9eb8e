"""Durable waits: sleeps and signals as steps, parked when nothing else goes on, over when the record says so."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.domain import facts
from magsag.domain.effects import Level
from magsag.domain.errors import Invalid
from magsag.domain.facts import ParkedOn, RunStatus, StepStatus
from magsag.domain.ids import RunId
from magsag.domain.settings import Features
from magsag.engine.chain import seal
from magsag.ports.ledger import Change, Write
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Order
from magsag.services.past.replay import Replayed
from magsag.services.steps.beginnings import new_run
from magsag.testing import History
from tests.unit.world import KINDS, USES, WORLD, Bench, Files, agent, skill

Make = Callable[..., Bench]
IMPORTS = "from datetime import timedelta\nfrom magsag.domain.errors import StepFailed"
R = RunId("r")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    WORLD.reset()

    def made(body: str, files: Files | None = None, **manifest: object) -> Bench:
        uses = f"{USES}, agent:helper" if any("helper" in path for path in files or ()) else USES
        own = agent("main", body, uses, IMPORTS, **manifest)
        return Bench(tmp_path, {**KINDS, **own, **(files or {})}, sound=False)

    return made


def on(result: RunResult) -> list[tuple[ParkedOn, str]]:
    return [(reason.on, reason.step) for reason in result.reasons]


def signal(bench: Bench, event: str, payload: object = None, run: str = "r") -> None:
    bench.process().events.signal(RunId(run), event, payload, "ann")


def later(bench: Bench, seconds: float) -> RunResult:
    """Another process, so much later."""
    bench.time.passed += seconds
    return bench.resume()


def replayed(bench: Bench, run: RunId = R) -> Replayed:
    return asyncio.run(bench.process().replay.replay(run))


def due(bench: Bench) -> int:
    row = bench.store.row(R)
    assert row is not None
    assert row.due is not None
    return row.due


class TestSleep:
    def test_a_short_sleep_is_slept(self, make: Make) -> None:
        bench = make('await ctx.sleep(0.9)\nreturn await ctx.skill("pure", 1)')
        assert bench.run().output == 1
        assert 0.9 <= bench.time.passed < 1
        assert bench.kinds() == ["RunStarted", "StepStarted", "StepSucceeded", "StepDone", "RunEnded"]

    def test_a_long_sleep_parks_until_its_time(self, make: Make) -> None:
        bench = make("await ctx.sleep(timedelta(hours=1))\nreturn 7")
        result = bench.run()
        assert (result.status, on(result)) == (RunStatus.PARKED, [(ParkedOn.TIME, "sleep#1")])
        assert bench.time.passed < 1
        begun = bench.time.clock.now() - int(bench.time.passed * 1e6)
        assert due(bench) == result.reasons[0].due == bench.step("sleep#1").act_by
        assert 3_600_000_000 <= due(bench) - begun < 3_601_000_000

    def test_it_is_over_by_the_clock_however_often_it_was_looked_at(self, make: Make) -> None:
        bench = make("await ctx.sleep(3600)\nreturn 7")
        bench.run()
        at = due(bench)
        assert later(bench, 1800).status is RunStatus.PARKED
        assert due(bench) == at
        assert later(bench, 1801).output == 7

    def test_what_is_left_when_it_is_short_is_slept(self, make: Make) -> None:
        bench = make("await ctx.sleep(10)\nreturn 7")
        bench.run()
        assert later(bench, 9.5).output == 7

    def test_nothing_is_no_wait(self, make: Make) -> None:
        bench = make("await ctx.sleep(0)\nreturn 7")
        assert bench.run().output == 7

    @pytest.mark.parametrize("length", ["-1", "float('nan')", "'long'", "True", "timedelta(days=50000)"])
    def test_what_is_no_length_of_time_is_refused(self, make: Make, length: str) -> None:
        result = make(f"await ctx.sleep({length})").run()
        assert result.error is not None
        assert "ctx.sleep: " in result.error.message

    def test_a_clock_that_steps_back_in_a_leg_wakes_what_was_due(self, make: Make) -> None:
        bench = make('await ctx.skill("look", 1)\nawait ctx.sleep(100)\nreturn 7')
        bench.run()
        bench.time.passed += 101

        def back(*_: Any) -> None:
            raise AssertionError("it is on record")

        WORLD.on_act = back
        app = bench.process()
        run, clock = app.drive, bench.time.clock
        assert run.due(1) == ["r"]
        taken = run._take(R)
        clock.advance(-3600)
        assert isinstance(taken, tuple)
        run.begun(*taken)
        assert later(bench, 0).status in (RunStatus.PARKED, RunStatus.RUNNING)
        clock.advance(3600)
        assert later(bench, 1).output == 7


class TestSignals:
    BODY = 'return await ctx.wait_for("paid")'

    def test_a_signal_that_comes_later_ends_the_wait(self, make: Make) -> None:
        bench = make(self.BODY)
        assert on(bench.run()) == [(ParkedOn.EVENT, "event:paid#1")]
        signal(bench, "paid", {"amount": 3})
        assert bench.process().drive.due(1) == ["r"]
        assert bench.resume().output == {"amount": 3}

    def test_a_signal_that_came_before_counts(self, make: Make) -> None:
        bench = make('await ctx.sleep(60)\nreturn [await ctx.wait_for("paid"), await ctx.wait_for("paid")]')
        bench.run()
        signal(bench, "paid", 1)
        signal(bench, "shipped", 9)
        signal(bench, "paid", 2)
        assert later(bench, 61).output == [1, 2]

    def test_one_signal_satisfies_one_wait(self, make: Make) -> None:
        bench = make('return await ctx.gather(ctx.wait_for("paid"), ctx.wait_for("paid"))')
        assert len(bench.run().reasons) == 2
        signal(bench, "paid", 1)
        assert on(bench.resume()) == [(ParkedOn.EVENT, "g1.1/event:paid#1")]
        signal(bench, "paid", 2)
        assert bench.resume().output == [1, 2]

    def test_another_event_ends_nothing(self, make: Make) -> None:
        bench = make(self.BODY)
        bench.run()
        signal(bench, "shipped")
        assert bench.resume().status is RunStatus.PARKED

    def test_when_the_time_is_over_the_step_fails(self, make: Make) -> None:
        bench = make('return await ctx.wait_for("paid", timeout=30)')
        result = bench.run()
        assert result.reasons[0].due == due(bench)
        ended = later(bench, 31)
        assert ended.error is not None
        assert (ended.error.type, ended.error.step) == ("timeout", "event:paid#1")

    def test_a_signal_after_the_time_is_kept_for_the_next_wait(self, make: Make) -> None:
        body = """
        try:
            return await ctx.wait_for("paid", 30)
        except StepFailed:
            return ["late", await ctx.wait_for("paid")]
        """
        bench = make(body)
        bench.run()
        bench.time.passed += 31
        signal(bench, "paid", 5)
        assert bench.resume().output == ["late", 5]

    def test_a_signal_in_time_counts_though_nobody_looked(self, make: Make) -> None:
        bench = make('return await ctx.wait_for("paid", 30)')
        bench.run()
        signal(bench, "paid", 5)
        assert later(bench, 100).output == 5

    def test_a_driver_that_is_live_hears_it(self, make: Make) -> None:
        async def tell(name: str, payload: Any, ctx: Any) -> Any:
            await asyncio.sleep(2)
            signal(bench, "paid", 5)
            await asyncio.sleep(2)
            return payload

        WORLD.on_act = tell
        bench = make('return await ctx.gather(ctx.wait_for("paid"), ctx.skill("look", 1))')
        assert bench.run().output == [5, 1]
        assert bench.time.passed < 5

    def test_a_signal_while_it_parks_makes_it_due(self, make: Make) -> None:
        bench = make(self.BODY)
        heard: list[facts.Fact] = []

        def hear(run: RunId, fact: facts.Fact) -> None:
            heard.append(fact)
            if isinstance(fact, facts.RunParked):
                signal(bench, "paid", 5)

        bench.app.recorder.heard = hear
        assert bench.run().status is RunStatus.PARKED
        assert bench.process().drive.due(1) == ["r"]
        assert bench.resume().output == 5

    def test_a_large_payload_comes_back_whole(self, make: Make) -> None:
        bench = make('return len((await ctx.wait_for("paid"))["text"])')
        bench.run()
        signal(bench, "paid", {"text": "x" * 100_000})
        assert bench.resume().output == 100_000

    @pytest.mark.parametrize("event", ["", "a b", "-x", "x" * 129])
    def test_a_name_that_is_none_is_refused(self, make: Make, event: str) -> None:
        bench = make(self.BODY)
        bench.run()
        with pytest.raises(Invalid, match="use letters"):
            signal(bench, event)

    def test_unknown_and_ended_runs_take_no_signal(self, make: Make) -> None:
        bench = make("return 1")
        bench.run()
        with pytest.raises(Invalid, match="has ended already: succeeded"):
            signal(bench, "paid")
        with pytest.raises(Invalid, match="is not in the ledger"):
            signal(bench, "paid", run="x")


class TestSideBySide:
    def test_all_reasons_are_told_and_the_earliest_counts(self, make: Make) -> None:
        bench = make('return await ctx.gather(ctx.sleep(90), ctx.sleep(60), ctx.wait_for("paid"))')
        result = bench.run()
        assert {one for one, _ in on(result)} == {ParkedOn.TIME, ParkedOn.EVENT}
        assert due(bench) == bench.step("g1.1/sleep#1").act_by

    def test_while_a_branch_works_the_others_wait_in_the_leg(self, make: Make) -> None:
        """The sleep wins at its time, though the act goes on."""

        async def slow(name: str, payload: Any, ctx: Any) -> Any:
            await asyncio.sleep(60)
            return payload

        WORLD.on_act = slow
        bench = make('return (await ctx.race(ctx.skill("look", 1), ctx.sleep(10)))[0]')
        assert bench.run().output == 1
        assert 10 <= bench.time.passed < 11

    def test_a_race_of_waits_is_won_by_the_first(self, make: Make) -> None:
        bench = make('return list(await ctx.race(ctx.wait_for("paid"), ctx.sleep(3600)))')
        assert len(bench.run().reasons) == 2
        assert later(bench, 3601).output == [1, None]
        assert bench.step("r1.0/event:paid#1").status is StepStatus.CANCELLED

    def test_a_timeout_around_a_wait_runs_out_while_parked(self, make: Make) -> None:
        bench = make('return await ctx.timeout(60, ctx.wait_for("paid"))')
        result = bench.run()
        assert {step for _, step in on(result)} == {"t1/event:paid#1", "timeout.1"}
        assert later(bench, 30).status is RunStatus.PARKED
        error = later(bench, 31).error
        assert error is not None
        assert (error.type, error.step) == ("timeout", "timeout.1")

    def test_a_wait_within_a_timeout_may_come_first(self, make: Make) -> None:
        bench = make('return await ctx.timeout(60, ctx.wait_for("paid"))')
        bench.run()
        signal(bench, "paid", 5)
        assert bench.resume().output == 5

    def test_a_bounded_map_of_sleeps_keeps_its_bound(self, make: Make) -> None:
        bench = make("return await ctx.map(lambda n: ctx.sleep(100, key=str(n)), range(5), concurrency=2)")
        assert len(bench.run().reasons) == 2
        assert len(later(bench, 101).reasons) == 2
        assert len(later(bench, 101).reasons) == 1
        assert later(bench, 101).output == [None] * 5

    def test_a_wait_beside_a_doubt_waits_on(self, make: Make) -> None:
        body = 'return await ctx.gather(ctx.skill("once", 1), ctx.sleep(100))'
        bench = make(body, {"policies/allow.yaml": "kind: policy\nschema: 1\nrules: []\n"})
        result = bench.run()
        assert {one for one, _ in on(result)} == {ParkedOn.APPROVAL, ParkedOn.TIME}
        assert due(bench) == bench.step("g1.1/sleep#1").act_by


class TestChildren:
    HELPER = agent("helper", 'return [payload, await ctx.wait_for("paid")]')

    def test_a_child_waits_and_is_signalled_by_its_own_id(self, make: Make) -> None:
        bench = make('return await ctx.delegate("helper", 1)', self.HELPER)
        result = bench.run()
        assert on(result) == [(ParkedOn.EVENT, "helper#1/event:paid#1")]
        assert result.reasons[0].run == "r.helper#1"
        signal(bench, "paid", 5, run="r.helper#1")
        assert bench.process().drive.due(1) == ["r"]
        assert bench.resume().output == [1, 5]

    def test_a_live_driver_hears_the_signal_of_a_child(self, make: Make) -> None:
        async def tell(name: str, payload: Any, ctx: Any) -> Any:
            await asyncio.sleep(2)
            signal(bench, "paid", 5, run="r.g1.0/helper#1")
            await asyncio.sleep(2)
            return payload

        WORLD.on_act = tell
        bench = make('return await ctx.gather(ctx.delegate("helper", 1), ctx.skill("look", 1))', self.HELPER)
        assert bench.run().output == [[1, 5], 1]

    def test_two_children_in_a_map_have_signals_of_their_own(self, make: Make) -> None:
        bench = make('return await ctx.map(lambda n: ctx.delegate("helper", n), [1, 2])', self.HELPER)
        assert len(bench.run().reasons) == 2
        signal(bench, "paid", "b", run="r.m1.1/helper#1")
        assert len(bench.resume().reasons) == 1
        signal(bench, "paid", "a", run="r.m1.0/helper#1")
        assert bench.resume().output == [[1, "a"], [2, "b"]]

    def test_a_delegation_times_out_while_its_child_is_parked(self, make: Make) -> None:
        helper = agent("helper", 'return await ctx.wait_for("paid")', timeout="60s")
        bench = make('return await ctx.delegate("helper", 1)', helper)
        bench.run()
        assert due(bench) == bench.step("helper#1").act_by
        error = later(bench, 61).error
        assert error is not None
        assert (error.type, error.step) == ("timeout", "helper#1")
        assert bench.state("r.helper#1").status is RunStatus.CANCELLED

    def test_a_doubt_below_a_delegation_whose_time_is_over_is_not_looked_at_without_end(self, make: Make) -> None:
        async def hangs(name: str, payload: Any, ctx: Any) -> Any:
            await asyncio.sleep(3600)

        WORLD.on_act = hangs
        helper = agent("helper", 'return await ctx.skill("once", 1)', "skill:once", timeout="60s")
        bench = make(
            'return await ctx.delegate("helper", 1)', {**skill("once", "unrepeatable", timeout="5s"), **helper}
        )
        assert bench.run().status is RunStatus.PARKED
        for seconds in (61, 1):
            result = later(bench, seconds)
            assert {kind for kind, _ in on(result)} == {ParkedOn.DOUBT}
            assert due(bench) > bench.time.clock.now()

    def test_a_child_that_ended_in_time_counts_when_its_parent_comes_late(self, make: Make) -> None:
        helper = agent("helper", "return payload + 1", timeout="60s")
        bench = make('return await ctx.delegate("helper", 1)', helper)
        history = History(bench.app)
        assert bench.run().output == 2
        at = next(n for n, (_, fact) in enumerate(history.facts) if isinstance(fact, facts.StepSucceeded))
        other = bench.on(history.cut(at))
        assert later(other, 100).output == 2


class TestDeadline:
    def test_a_parked_run_ends_at_its_deadline(self, make: Make) -> None:
        bench = make('return await ctx.wait_for("paid")', timeout="60s")
        bench.run()
        started = bench.state().started
        assert started is not None
        assert due(bench) == started.deadline == started.at + 60_000_000
        result = later(bench, 61)
        assert result.status is RunStatus.FAILED
        assert result.error is not None
        assert (result.error.type, result.error.step) == ("timeout", None)
        assert bench.step("event:paid#1").status is StepStatus.CANCELLED
        assert replayed(bench).difference is None

    def test_a_run_that_is_driven_ends_at_its_deadline(self, make: Make) -> None:
        async def slow(name: str, payload: Any, ctx: Any) -> Any:
            await asyncio.sleep(50)
            return payload

        WORLD.on_act = slow
        bench = make('await ctx.skill("look", 1)\nawait ctx.skill("idem", 2)\nreturn 3', timeout="60s")
        result = bench.run()
        assert result.error is not None
        assert (result.status, result.error.type) == (RunStatus.FAILED, "timeout")
        assert bench.step("idem#1").status is StepStatus.SUCCEEDED, "an act with an effect ends as it does"
        assert 100 <= bench.time.passed < 101
        assert replayed(bench).difference is None

    def test_children_inherit_the_least(self, make: Make) -> None:
        helper = agent(
            "helper", 'await ctx.sleep(10)\nreturn await ctx.delegate("inner", 1)', "agent:inner", timeout="90s"
        )
        inner = agent("inner", 'return await ctx.wait_for("paid")')
        bench = make('return await ctx.delegate("helper", 1)', {**helper, **inner}, timeout="60s")
        bench.run()
        assert later(bench, 11).status is RunStatus.PARKED
        deadlines = [bench.state(run).started for run in ("r", "r.helper#1", "r.helper#1.inner#1")]
        assert len({one.deadline for one in deadlines if one is not None}) == 1
        assert later(bench, 61).error is not None
        assert bench.state("r.helper#1.inner#1").status is RunStatus.CANCELLED

    def test_a_run_that_ends_in_time_has_ended(self, make: Make) -> None:
        assert make("await ctx.sleep(0.5)\nreturn 1", timeout="60s").run().output == 1


def test_each_loop_of_a_process_is_watched(make: Make) -> None:
    """A first loop ended between two looks; a driver in a second one hears signals all the same."""

    async def tell(name: str, payload: Any, ctx: Any) -> Any:
        await asyncio.sleep(1)
        signal(bench, "paid", 6, run="s")
        await asyncio.sleep(1)
        return payload

    bench = make('return await ctx.gather(ctx.wait_for("paid"), ctx.skill("look", 1))')
    bench.run()
    WORLD.on_act = tell
    assert bench.time.run(bench.app.runs.run(Order("agent:main", None, run_id="s"))).output == [6, 1]
    assert bench.time.passed < 3


class TestLaterReading:
    BODY = """
    first = await ctx.wait_for("paid")
    await ctx.sleep(60)
    return [first, list(await ctx.race(ctx.wait_for("shipped"), ctx.sleep(3600)))]
    """

    def driven(self, make: Make) -> Bench:
        bench = make(self.BODY)
        bench.run()
        signal(bench, "paid", 5)
        bench.resume()
        later(bench, 61)
        return bench

    def test_parked_and_ended_runs_replay(self, make: Make) -> None:
        bench = self.driven(make)
        assert len(bench.state().reasons) == 2
        assert replayed(bench).difference is None
        signal(bench, "shipped", 6)
        assert bench.resume().output == [5, [0, 6]]
        assert replayed(bench).difference is None

    def test_a_parked_timeout_replays(self, make: Make) -> None:
        bench = make('return await ctx.timeout(60, ctx.gather(ctx.wait_for("paid"), ctx.sleep(3600)))')
        bench.run()
        assert replayed(bench).difference is None
        later(bench, 61)
        assert replayed(bench).difference is None

    def test_a_signal_moves_no_order_that_a_program_saw(self, make: Make) -> None:
        """It is heard late by a driver that races: on a resume the race is told the same."""

        async def tell(name: str, payload: Any, ctx: Any) -> Any:
            if payload == "tell":
                signal(bench, "paid", 5)
            return payload

        WORLD.on_act = tell
        body = """
        await ctx.skill("look", "tell")
        won = await ctx.race(ctx.skill("look", "a"), ctx.skill("look", "b"), ctx.sleep(9))
        return [list(won), await ctx.wait_for("paid"), await ctx.wait_for("more")]
        """
        bench = make(body)
        assert bench.run().status is RunStatus.PARKED
        signal(bench, "more", 6)
        assert bench.resume().output == [[0, "a"], 5, 6]
        assert replayed(bench).difference is None

    def test_a_fork_takes_what_was_told_before(self, make: Make) -> None:
        bench = self.driven(make)
        signal(bench, "shipped", 6)
        bench.resume()
        app = bench.process()
        app.forks.fork(R, "sleep#1", id="f")
        result = bench.time.run(app.runs.resume(RunId("f")))
        assert on(result) == [(ParkedOn.TIME, "sleep#1")]
        assert bench.state("f").signals == {"paid": []}


class TestGoverned:
    def test_a_wait_is_judged_and_its_input_compared(self, make: Make) -> None:
        bench = make('return await ctx.wait_for("paid", 30)')
        bench.run()
        step = bench.step("event:paid#1")
        assert (step.proposal.call, step.proposal.target, step.proposal.effect) == ("wait_for", "event:paid", "wait")
        assert step.verdict.rule == "allow-without-effects"
        assert step.input == b'{"event":"paid","timeout":30}'

    def test_a_broken_policy_denies_a_wait(self, make: Make) -> None:
        bench = make("await ctx.sleep(30)", {"policies/allow.yaml": "kind: policy\nschema: 1\nrules: [{}]\n"})
        assert bench.run().status is RunStatus.DENIED

    def test_without_a_ledger_nothing_waits(self, tmp_path: Path) -> None:
        files = {**KINDS, **agent("main", "await ctx.sleep(1)", USES)}
        result = Bench(tmp_path, files, features=Features(durable=False)).run()
        assert result.status is RunStatus.DENIED

    def test_cancelling_a_parked_run_cancels_its_waits(self, make: Make) -> None:
        bench = make('return await ctx.wait_for("paid")')
        bench.run()
        assert bench.time.run(bench.process().runs.cancel(R, "ann")).status is RunStatus.CANCELLED
        assert bench.step("event:paid#1").status is StepStatus.CANCELLED


class TestKilled:
    """A process dies between any two facts, and the next one goes on."""

    BODY = """
    first = await ctx.wait_for("paid")
    both = await ctx.gather(ctx.sleep(60), ctx.wait_for("shipped"), ctx.skill("idem", 1))
    won = await ctx.race(ctx.wait_for("never"), ctx.sleep(90))
    late = await ctx.timeout(30, ctx.wait_for("never", timeout=20)) if first == 0 else "in time"
    return [first, both, list(won), late]
    """
    EXPECTED: Final = [5, [None, 6, 1], [1, None], "in time"]

    def to_the_end(self, bench: Bench, told: set[str]) -> RunResult:
        """Resume it, tell it what it has not been told, and let time pass, until it has ended."""
        for _ in range(12):
            bench.time.passed += 31
            result = bench.resume(bench.app)
            if result.status is not RunStatus.PARKED:
                return result
            for event, payload in (("paid", 5), ("shipped", 6)):
                if event not in told:
                    bench.app.events.signal(R, event, payload, "ann")
                    told.add(event)
        raise AssertionError("it does not come to its end")

    def test_a_run_that_waits_comes_to_the_same_end_from_every_prefix(self, make: Make) -> None:
        bench = make(self.BODY)
        bench.run()
        assert self.to_the_end(bench, set()).output == self.EXPECTED
        recorded = bench.facts()
        kinds = [type(fact).__name__ for fact in recorded]
        assert kinds.count("SignalReceived") == 2
        assert kinds.count("RunParked") > 3
        began = bench.time.passed
        for count in range(1, len(recorded)):
            other = bench.on(prefix(bench, recorded[:count]))
            other.time.passed = began
            told = {fact.event for fact in recorded[:count] if isinstance(fact, facts.SignalReceived)}
            assert self.to_the_end(other, told).output == self.EXPECTED, count
            done = [fact.step for fact in other.facts() if isinstance(fact, facts.StepSucceeded)]
            assert len(done) == len(set(done)), count
            assert asyncio.run(other.app.replay.replay(R)).difference is None, count


def prefix(bench: Bench, recorded: list[facts.Fact]) -> MemoryStore:
    """A ledger that holds these facts of the run `r` alone."""
    store = MemoryStore()
    started = recorded[0]
    assert isinstance(started, facts.RunStarted)
    store.put_bundle(started.bundle, bench.store.bundle(started.bundle) or b"")
    for number, fact in enumerate(recorded):
        create = new_run(started, R) if number == 0 else None
        change = Change(RunStatus.PARKED, fact.on, fact.due, fact.at) if isinstance(fact, facts.RunParked) else None
        is_waking = isinstance(fact, facts.SignalReceived)
        if number and isinstance(recorded[number - 1], facts.RunParked) and not is_waking:
            change = change or Change(RunStatus.RUNNING, updated=fact.at)
        sealed = seal(fact, number.to_bytes(16, "big"))
        store.write([Write(R, R, [sealed], None, create, change, wake=fact.at if is_waking else None)], Level.SYNCED)
    return store
