"""The rare ways through the gate: legs that stop, leases that are lost, acts and records that are out of order."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.effects import Level
from magsag.domain.errors import Retryable, StepFailed
from magsag.domain.facts import ParkedOn, RunStatus, StepSkipped, StepStatus
from magsag.domain.ids import RunId, StepId
from magsag.ports.ledger import Declined, Store, Write, Written
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Order
from magsag.testing import History
from tests.unit.world import KINDS, USES, WORLD, Bench, agent, skill

R = RunId("r")
Make = Callable[..., Bench]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    WORLD.reset()

    def made(body: str, store: Store | None = None, **files_and_settings: Any) -> Bench:
        files = files_and_settings.pop("files", {})
        child = agent("child", 'return await ctx.skill("look", payload)', USES)
        main = agent("main", body, f"{USES}, agent:child")
        bench = Bench(tmp_path, {**KINDS, **child, **main, **files}, store, **files_and_settings)
        bench.time.at_most = 120
        return bench

    return made


def stopped(bench: Bench, after: float) -> None:
    """Drive the run and ask for the leg back after some seconds."""

    async def drive() -> None:
        stop = asyncio.Event()
        await bench.app.runs.start(Order("agent:main", None, run_id="r"))
        driving = asyncio.ensure_future(bench.app.drive.drive(R, stop))
        await asyncio.sleep(after)
        stop.set()
        await driving

    bench.time.run(drive())


class Robbed:
    """Passes everything on; right after a commit of that kind somebody else has the lease, and the clock differs."""

    def __init__(self, kind: str, seconds: float) -> None:
        self._store = MemoryStore()
        self._kind = kind
        self._seconds = seconds
        self.bench: Bench | None = None

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        answers = self._store.write(writes, level)
        if self.bench is not None and any(fact.kind == self._kind for write in writes for fact in write.facts):
            self.bench.time.clock.advance(self._seconds)
            self._store.renew(self._store.owner(), -1)
            self._store.acquire(R, "another", 1000)
        return answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class TestStopping:
    FILES = skill("idem", "idempotent", retry="{attempts: 5, backoff: 8s}")

    def test_an_effect_that_fails_while_the_leg_stops_is_tried_again_in_the_next(self, make: Make) -> None:
        async def act(name: str, payload: Any, ctx: Any) -> Any:
            if len(WORLD.calls) == 1:
                await asyncio.sleep(5)
                raise Retryable("unavailable", "not now")
            return payload

        WORLD.on_act = act
        bench = make('return await ctx.skill("idem", 7)', files=self.FILES)
        stopped(bench, 1)
        assert bench.step("idem#1").status is StepStatus.WAITING
        assert bench.resume().output == 7

    def test_a_step_that_waits_for_its_next_attempt_waits_on_in_the_next_leg(self, make: Make) -> None:
        def act(name: str, payload: Any, ctx: Any) -> Any:
            if len(WORLD.calls) == 1:
                raise Retryable("unavailable", "not now")
            return payload

        WORLD.on_act = act
        bench = make('return await ctx.skill("idem", 7)', files=self.FILES)
        stopped(bench, 2)
        assert bench.step("idem#1").status is StepStatus.WAITING
        assert bench.resume().output == 7

    def test_a_child_run_goes_on_in_the_next_leg(self, make: Make) -> None:
        async def act(name: str, payload: Any, ctx: Any) -> Any:
            await asyncio.sleep(5 if len(WORLD.calls) == 1 else 0)
            return payload

        WORLD.on_act = act
        bench = make('return await ctx.delegate("child", 7)')
        stopped(bench, 1)
        assert bench.state("r.child#1").status is RunStatus.RUNNING
        assert bench.resume().output == 7


class TestLosingTheLease:
    """Nobody gives the lease back in these, so the run is asked for in vain until the test has had enough."""

    @pytest.mark.parametrize("seconds", [100, -3600])
    def test_whoever_stood_still_between_intent_and_act_does_not_act(self, make: Make, seconds: float) -> None:
        """Also where the clock was set back meanwhile, so that the intent looks new."""
        store = Robbed("StepStarted", seconds)
        bench = make('return await ctx.skill("once", 7)', cast(Store, store))
        store.bench = bench
        with pytest.raises(TimeoutError):
            bench.run()
        assert not WORLD.calls

    def test_an_outcome_that_comes_too_late_is_shown_and_not_adopted(self, make: Make) -> None:
        def act(name: str, payload: Any, ctx: Any) -> Any:
            bench.store.renew(bench.store.owner(), -1)
            bench.store.acquire(R, "another", 100_000)
            return {"paid": payload}

        WORLD.on_act = act
        bench = make('return await ctx.skill("once", 7)')
        with pytest.raises(TimeoutError):
            bench.run()
        assert bench.kinds() == ["RunStarted", "StepStarted", "LateOutcome"]
        assert bench.step("once#1").late == (b'{"paid":7}',)

    def test_what_a_read_gave_too_late_is_dropped(self, make: Make) -> None:
        def act(name: str, payload: Any, ctx: Any) -> Any:
            bench.store.renew(bench.store.owner(), -1)
            bench.store.acquire(R, "another", 100_000)
            return payload

        WORLD.on_act = act
        bench = make('return await ctx.skill("look", 7)', durability="every_step")
        with pytest.raises(TimeoutError):
            bench.run()
        assert bench.kinds() == ["RunStarted"]


class TestOddActs:
    def test_an_effect_that_cancels_itself_has_failed(self, make: Make) -> None:
        def act(name: str, payload: Any, ctx: Any) -> Any:
            raise asyncio.CancelledError

        WORLD.on_act = act
        result = make('return await ctx.skill("once", 7)').run()
        assert result.error is not None
        assert result.error.message == "the act cancelled itself"

    def test_an_error_whose_details_are_no_json_keeps_its_message(self, make: Make) -> None:
        def act(name: str, payload: Any, ctx: Any) -> Any:
            raise StepFailed("unavailable", "gone \ud800", {"what": object()})

        WORLD.on_act = act
        result = make('return await ctx.skill("once", 7)').run()
        assert result.error is not None
        assert (result.error.message, result.error.details) == ("'gone \\ud800'", {})


class TestOddRecords:
    def test_a_step_that_was_skipped_and_now_is_to_run_parks(self, make: Make) -> None:
        flow = "kind: flow\nschema: 1\nslug: only\nversion: 1.0.0\nsteps:\n  - {id: first, uses: 'skill:pure'}\n"
        bench = make("pass", files={"flows/only.yaml": flow})
        history = History(bench.app)
        bench.run(1, "flow:only")
        run, done = history.facts[1]
        history.facts[1] = run, StepSkipped(at=done.at, step=StepId("first"), why="when is false")
        result = bench.on(history.cut(2)).resume()
        assert [reason.on for reason in result.reasons] == [ParkedOn.DIVERGENCE]
        assert "the record has it skipped, now it is to run" in result.reasons[0].reason

    def test_a_branch_that_failed_and_now_succeeds_parks(self, make: Make) -> None:
        body = """
        from tests.unit.world import WORLD
        async def one():
            await ctx.skill("pure", 1)
            WORLD.ask(ctx)
        return await ctx.gather(one())
        """

        def failing(ctx: Any) -> Any:
            raise ValueError("today")

        bench = make(body)
        WORLD.ask = failing
        history = History(bench.app)
        assert bench.run().status is RunStatus.FAILED
        WORLD.ask = lambda ctx: None
        result = bench.on(history.cut(len(history.facts) - 1)).resume()
        assert [reason.on for reason in result.reasons] == [ParkedOn.DIVERGENCE]
        assert "the record has branch 0 failing, and now it succeeds" in result.reasons[0].reason

    @pytest.mark.parametrize(
        ("call", "on"),
        [
            ('race(ctx.skill("once", 1), ctx.skill("idem", 1))', {ParkedOn.APPROVAL}),
            ('timeout(9, ctx.skill("once", 1))', {ParkedOn.APPROVAL, ParkedOn.TIME}),
        ],
    )
    def test_when_all_branches_wait_the_run_waits(self, make: Make, call: str, on: set[ParkedOn]) -> None:
        asks = {"policies/allow.yaml": "kind: policy\nschema: 1\nrules: []\n"}
        result = make(f"return await ctx.{call}", files=asks).run()
        assert {reason.on for reason in result.reasons} == on

    @pytest.mark.parametrize("call", ["race", "gather"])
    def test_a_branch_that_diverges_parks_whatever_the_note_says(self, make: Make, call: str) -> None:
        body = f"""
        from tests.unit.world import WORLD
        return list(await ctx.{call}(WORLD.ask(ctx), ctx.skill("look", 5)))
        """

        def act(name: str, payload: Any, ctx: Any) -> Any:
            if call == "gather":
                raise StepFailed("unavailable", "gone")
            return payload

        WORLD.on_act = act
        bench = make(body)
        WORLD.ask = lambda ctx: ctx.skill("pure", 1)
        history = History(bench.app)
        bench.run()
        WORLD.ask = lambda ctx: ctx.skill("pure", 2)
        result = bench.on(history.cut(len(history.facts) - 1)).resume()
        assert [reason.on for reason in result.reasons] == [ParkedOn.DIVERGENCE]


class TestForgottenSteps:
    """A program that takes another way on a resume, past what is on record."""

    ASKS: ClassVar = {"policies/allow.yaml": "kind: policy\nschema: 1\nrules: []\n"}
    BODY: ClassVar = "from tests.unit.world import WORLD\n"

    def again(self, make: Make, body: str) -> RunResult:
        """A leg that parks on an ask, then one in which the program has changed its mind."""
        bench = make(self.BODY + body, files=self.ASKS)
        WORLD.ask = lambda ctx: ctx.skill("once", 1)
        assert {reason.on for reason in bench.run().reasons} == {ParkedOn.APPROVAL}
        WORLD.ask = lambda ctx: ctx.skill("pure", 1)
        return bench.resume()

    @pytest.mark.parametrize(
        "body",
        [
            "return await WORLD.ask(ctx)",
            'return await ctx.gather(WORLD.ask(ctx), ctx.skill("look", 5))',
            'await WORLD.ask(ctx)\nraise ValueError("another end")',
        ],
    )
    def test_an_ask_is_not_lost_by_ending(self, make: Make, body: str) -> None:
        result = self.again(make, body)
        assert [reason.on for reason in result.reasons] == [ParkedOn.DIVERGENCE]
        assert "has skill skill:once@1.0.0, which is held; the program has ended" in result.reasons[0].reason

    def test_what_was_asked_for_again_goes_on_waiting(self, make: Make) -> None:
        bench = make(self.BODY + "return await WORLD.ask(ctx)", files=self.ASKS)
        WORLD.ask = lambda ctx: ctx.skill("once", 1)
        bench.run()
        assert {reason.on for reason in bench.resume().reasons} == {ParkedOn.APPROVAL}

    def test_an_outcome_on_record_is_not_passed_by(self, make: Make) -> None:
        bench = make(self.BODY + 'await WORLD.ask(ctx)\nreturn await ctx.skill("once", 1)', files=self.ASKS)
        WORLD.ask = lambda ctx: ctx.skill("look", 1)
        bench.run()
        WORLD.ask = lambda ctx: ctx.skill("pure", 1)
        result = bench.resume()
        assert {reason.on for reason in result.reasons} == {ParkedOn.APPROVAL}  # it has not ended yet

    def test_a_branch_that_lost_need_not_come_again(self, make: Make) -> None:
        body = 'await ctx.race(WORLD.ask(ctx), ctx.skill("look", 5))\nreturn await ctx.skill("once", 2)'
        result = self.again(make, body)
        assert {reason.on for reason in result.reasons} == {ParkedOn.APPROVAL}


def test_a_delegation_is_tried_again_as_another_child_run(make: Make) -> None:
    def act(name: str, payload: Any, ctx: Any) -> Any:
        if len(WORLD.calls) == 1:
            raise StepFailed("unavailable", "gone")
        return payload

    WORLD.on_act = act
    child = agent("child", 'return await ctx.skill("look", payload)', USES, retry="{attempts: 2, backoff: 1s}")
    bench = make('return await ctx.delegate("child", 7)', files=child)
    assert bench.run().output == 7
    assert (bench.state("r.child#1").status, bench.state("r.child#1~2").status) == (
        RunStatus.FAILED,
        RunStatus.SUCCEEDED,
    )
