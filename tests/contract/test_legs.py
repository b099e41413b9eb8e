"""Legs on both stores: busy, cancelled, fenced, broken; and what another process finds."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.adapters.store.sqlite import SqliteStore
from magsag.app import App
from magsag.domain.effects import Level
from magsag.domain.errors import Invalid, StoreBroken
from magsag.domain.facts import CancelRequested, ParkedOn, RunStatus, StepStarted, StepStatus
from magsag.domain.ids import RunId, StepId, child_run_id
from magsag.engine.chain import seal, unseal
from magsag.ports.ledger import Declined, Lease, RunQuery, Store, Write, Written
from magsag.ports.runner import Busy, Finished, Parked, Yielded
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Order
from magsag.services.steps.beginnings import read_run
from magsag.testing import breaking, build_app, forgetful
from magsag.testing.breaking import BreakingStore
from tests.unit.world import KINDS, USES, WORLD, agent

R = RunId("r")
Open = Callable[[], Store]


@pytest.fixture(params=["memory", "sqlite"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the store as another process would; the one in memory is one process."""
    WORLD.reset()
    memory, stores = MemoryStore(), list[Store]()

    def open_store() -> Store:
        store: Store = memory if request.param == "memory" else SqliteStore(tmp_path / "ledger.db")
        stores.append(store)
        return store

    yield open_store
    for store in stores:
        store.close()


@pytest.fixture
def make(opened: Open, tmp_path: Path) -> Callable[..., App]:
    """A process on the same store; the agent `main` has this body."""

    def made(body: str, store: Store | None = None, **settings: Any) -> App:
        files = {**KINDS, **agent("main", body, f"{USES}, agent:child"), **agent("child", CHILD, USES)}
        return build_app(tmp_path, files, store=store or opened(), **settings)

    return made


Make = Callable[..., App]
CHILD = 'return await ctx.skill("look", payload)'
LOOK = 'return await ctx.skill("look", 1)'


def run(app: App) -> RunResult:
    return asyncio.run(app.runs.run(Order("agent:main", None, run_id="r")))


def resume(app: App) -> RunResult:
    return asyncio.run(app.runs.resume(R))


def state(app: App, id: str = "r") -> Any:
    found = read_run(app.store, RunId(id))
    assert found is not None
    return found


async def hanging(name: str, payload: Any, ctx: Any) -> Any:
    await asyncio.sleep(60)


def hang_first(seconds: float = 60) -> None:
    """The first act hangs; later ones answer."""
    seen: list[str] = []

    async def act(name: str, payload: Any, ctx: Any) -> Any:
        seen.append(name)
        if len(seen) == 1:
            await asyncio.sleep(seconds)
        return payload

    WORLD.on_act = act


async def begun(app: App, step: str = "look") -> "asyncio.Task[RunResult]":
    """A run that is at its first act."""
    task = asyncio.ensure_future(app.runs.run(Order("agent:main", None, run_id="r")))
    while not WORLD.count(step):
        await asyncio.sleep(0.005)
    return task


class TestTold:
    def test_an_ended_run_is_told_again(self, make: Make) -> None:
        app = make(LOOK)
        assert run(app).output == 1
        again = asyncio.run(make(LOOK).drive.drive(R, asyncio.Event()))
        assert again == Finished(RunStatus.SUCCEEDED)
        assert WORLD.count().total() == 1

    def test_a_parked_run_tells_when_to_look_again(self, make: Make, tmp_path: Path) -> None:
        app = make('return await ctx.skill("once", 1)')
        (tmp_path / "catalog/policies/allow.yaml").write_text("kind: policy\nschema: 1\nrules: []\n")
        del app.__dict__["catalog"]
        assert run(app).status is RunStatus.PARKED
        told = asyncio.run(app.drive.drive(R, asyncio.Event()))
        assert isinstance(told, Parked)
        row = app.store.row(R)
        assert row is not None
        assert (row.parked_on, row.due) == (ParkedOn.APPROVAL, told.due)
        assert app.drive.due(10) == []

    def test_an_unknown_run_is_refused_by_name(self, make: Make) -> None:
        with pytest.raises(Invalid, match="run nobody is not in the ledger"):
            asyncio.run(make(LOOK).drive.drive(RunId("nobody"), asyncio.Event()))

    def test_a_child_run_is_not_driven_alone(self, make: Make) -> None:
        app = make('return await ctx.delegate("child", 1)')
        run(app)
        with pytest.raises(Invalid, match="is a part of run r"):
            asyncio.run(app.drive.drive(RunId("r.child#1"), asyncio.Event()))

    def test_several_loops_one_after_the_other_share_an_app(self, make: Make) -> None:
        app = make(LOOK)
        for number in range(3):
            order = Order("agent:main", None, run_id=f"run-{number}")
            assert asyncio.run(app.runs.run(order)).output == 1

    def test_a_loop_that_died_does_not_hold_up_the_next(self, make: Make) -> None:
        app = make(LOOK)

        async def abandoned() -> None:
            hang_first()
            await begun(app)

        asyncio.run(abandoned())
        WORLD.reset()
        order = Order("agent:main", None, run_id="other")
        assert asyncio.run(asyncio.wait_for(app.runs.run(order), 5)).output == 1


class TestStopping:
    def test_a_leg_that_is_asked_to_stop_yields_and_can_go_on(self, make: Make) -> None:
        app = make('return [await ctx.skill("look", 1), await ctx.skill("once", 2)]')

        async def stopped() -> object:
            hang_first()
            task = await begun(app)
            task.cancel()
            await asyncio.wait({task})
            return app.runs.result(R).status

        assert asyncio.run(stopped()) is RunStatus.RUNNING
        assert app.store.row(R) is not None
        assert StepStatus.CANCELLED not in {step.status for step in state(app).steps.values()}
        assert resume(make('return [await ctx.skill("look", 1), await ctx.skill("once", 2)]')).output == [1, 2]

    def test_an_effect_under_way_is_not_broken_off(self, make: Make) -> None:
        app = make('return [await ctx.skill("once", 1), await ctx.skill("look", 2)]')

        async def stopped() -> None:
            hang_first(0.3)
            task = await begun(app, "once")
            task.cancel()
            await asyncio.wait({task})

        asyncio.run(stopped())
        assert state(app).steps["once#1"].status is StepStatus.SUCCEEDED
        assert resume(make('return [await ctx.skill("once", 1), await ctx.skill("look", 2)]')).output == [1, 2]
        assert WORLD.count("once").total() == 1

    def test_a_stop_is_told(self, make: Make) -> None:
        app = make(LOOK)

        async def stopped() -> object:
            hang_first()
            await app.runs.start(Order("agent:main", None, run_id="r"))
            stop = asyncio.Event()
            driving = asyncio.ensure_future(app.drive.drive(R, stop))
            while not WORLD.calls:
                await asyncio.sleep(0.005)
            stop.set()
            return await asyncio.wait_for(driving, 2)

        assert asyncio.run(stopped()) == Yielded()


class TestCancelling:
    NESTED = 'return await ctx.gather(ctx.delegate("child", 1), ctx.skill("look", 2))'

    def test_a_request_from_another_process_reaches_every_descendant_within_a_second(self, make: Make) -> None:
        WORLD.on_act = hanging
        driver, other = make(self.NESTED), make(self.NESTED)

        async def cancelled() -> tuple[RunResult, float]:
            task = await begun(driver)
            await asyncio.sleep(0.1)
            began = asyncio.get_running_loop().time()
            fact = CancelRequested(at=1, by="maria")
            other.store.write([Write(R, R, [seal(fact, bytes(16))])], Level.SYNCED)
            return await task, asyncio.get_running_loop().time() - began

        result, seconds = asyncio.run(cancelled())
        assert (result.status, seconds < 1) == (RunStatus.CANCELLED, True)
        assert result.error is not None
        assert result.error.message == "cancelled by maria"
        rows = driver.store.rows(RunQuery(root=R, roots_only=False, limit=None))
        assert {row.status for row in rows} == {RunStatus.CANCELLED}
        assert {step.status for step in state(driver).steps.values()} == {StepStatus.CANCELLED}
        assert driver.store.check() == []

    def test_a_run_that_nobody_drives_is_cancelled_at_once_and_starts_nothing(self, make: Make) -> None:
        app = make(self.NESTED)
        asyncio.run(app.runs.start(Order("agent:main", None, run_id="r")))
        assert asyncio.run(app.runs.cancel(R, "maria")).status is RunStatus.CANCELLED
        assert not WORLD.calls

    def test_cancelling_an_ended_run_is_refused(self, make: Make) -> None:
        app = make(LOOK)
        run(app)
        with pytest.raises(Invalid, match="has ended already: succeeded"):
            asyncio.run(app.runs.cancel(R, "maria"))

    def test_code_that_swallows_its_cancellation_takes_no_further_step(self, make: Make) -> None:
        body = """
        for n in range(3):
            try:
                await ctx.skill("look", n)
            except BaseException:
                pass
        try:
            await ctx.skill("once", "after all")
        except BaseException:
            pass
        return "done"
        """
        app = make(body)
        WORLD.on_act = hanging

        async def cancelled() -> RunResult:
            task = await begun(app)
            asyncio.get_running_loop().call_later(0.1, app.store.write, *_request())
            return await task

        assert asyncio.run(cancelled()).status is RunStatus.CANCELLED
        assert WORLD.count().total() == 1


class Odd:
    """Passes everything on; facts that somebody appended to the run `bad` cannot be read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, run: RunId, after: int = 0) -> Any:
        if run == "bad" and after:
            raise TypeError("odd on purpose")
        return self._store.read(run, after)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class TestListening:
    def test_one_run_that_cannot_be_read_ends_its_leg_and_not_the_watch(self, make: Make, opened: Open) -> None:
        WORLD.on_act = hanging
        app = make(LOOK, Odd(opened()))

        async def cancelled() -> list[Any]:
            ids = [RunId("bad"), RunId("good")]
            tasks = [asyncio.ensure_future(app.runs.run(Order("agent:main", None, run_id=id))) for id in ids]
            while WORLD.count().total() < 2:
                await asyncio.sleep(0.005)
            for id, task in zip(ids, tasks, strict=True):
                fact = seal(CancelRequested(at=1, by="maria"), bytes(16))
                app.store.write([Write(id, id, [fact])], Level.SYNCED)
                await asyncio.wait([task], timeout=5)
            return await asyncio.gather(*tasks, return_exceptions=True)

        bad, good = asyncio.run(cancelled())
        assert isinstance(bad, StoreBroken)
        assert "run bad: what others wrote to it cannot be read: TypeError: odd on purpose" in str(bad)
        assert good.status is RunStatus.CANCELLED

    def test_a_child_run_hears_of_its_cancellation_while_its_parent_waits_for_it_here(self, make: Make) -> None:
        """The leg of the parent begins after the child's: it may not take its place."""
        WORLD.on_act = hanging
        app = make('return await ctx.gather(ctx.delegate("child", 1, detached=True), ctx.skill("look", 2))')
        child, stop = child_run_id(R, StepId("g1.0/child#1"), 1), asyncio.Event()

        async def cancelled() -> object:
            first = await begun(app)
            while app.store.row(child) is None:
                await asyncio.sleep(0.005)
            first.cancel()
            await asyncio.wait([first])
            below = asyncio.ensure_future(app.drive.drive(child, stop))
            while WORLD.count("look").total() < 2:
                await asyncio.sleep(0.005)
            above = asyncio.ensure_future(app.drive.drive(R, stop))
            while WORLD.count("look").total() < 3:
                await asyncio.sleep(0.005)
            app.store.write([Write(child, child, [seal(CancelRequested(at=1, by="maria"), bytes(16))])], Level.SYNCED)
            await asyncio.wait([below], timeout=5)
            stop.set()
            return (await asyncio.gather(below, above))[0]

        assert asyncio.run(cancelled()) == Finished(RunStatus.CANCELLED)


def _request() -> tuple[list[Write], Level]:
    return [Write(R, R, [seal(CancelRequested(at=1, by="maria"), bytes(16))])], Level.SYNCED


class TestBreaking:
    BODY = 'return [await ctx.skill("look", 1), await ctx.skill("once", 2), await ctx.skill("idem", 3)]'

    @pytest.mark.parametrize("number", range(1, 7))
    def test_a_failed_commit_drops_the_tree_and_the_run_can_go_on(self, make: Make, opened: Open, number: int) -> None:
        store = opened()
        app = make(self.BODY, breaking(store, number))
        with pytest.raises(StoreBroken, match="fails on purpose"):
            run(app)
        acted = WORLD.count("once").total()
        if store.row(R) is None:
            assert run(make(self.BODY, store)).output == [1, 2, 3]
            return
        resumed = resume(make(self.BODY, store))
        if resumed.status is RunStatus.PARKED:
            assert acted == WORLD.count("once").total() == 1
        else:
            assert resumed.output == [1, 2, 3]
        assert WORLD.count("once").total() == 1
        assert store.check() == []

    def test_a_leg_whose_end_cannot_be_written_gives_its_lease_back(self, make: Make, opened: Open) -> None:
        store = opened()
        with pytest.raises(StoreBroken, match="write 2 fails on purpose"):
            run(make(LOOK, breaking(store, 2)))
        assert isinstance(store.acquire(R, "somebody else", 60), Lease)

    def test_nothing_goes_on_after_a_failed_commit(self, make: Make, opened: Open) -> None:
        store = BreakingStore(opened())
        app = make('await ctx.skill("idem", 1)\nawait ctx.skill("once", 2)', store)

        def act(name: str, payload: Any, ctx: Any) -> Any:
            store.broken = frozenset(range(store.writes + 1, 99))
            return payload

        WORLD.on_act = act
        with pytest.raises(StoreBroken):
            run(app)
        assert [name for name, _ in WORLD.calls] == ["idem"]

    def test_a_store_that_forgets_intents_is_noticed(self, make: Make, opened: Open) -> None:
        """The negative control: without intents an act would be repeated blindly."""
        store = opened()
        app = make('return await ctx.skill("once", 1)', forgetful(store))
        run(app)
        with pytest.raises(Exception, match="StepSucceeded cannot follow new"):
            state(app)


class TestLevels:
    @pytest.mark.parametrize("slug", ["idem", "trans", "recon", "once"])
    def test_at_the_moment_of_the_act_its_intent_is_read_by_others(self, make: Make, opened: Open, slug: str) -> None:
        seen: list[tuple[str, str]] = []

        def act(name: str, payload: Any, ctx: Any) -> Any:
            last = unseal(opened().read(R)[-1])
            assert isinstance(last, StepStarted)
            seen.append((last.proposal.effect, last.key))
            assert last.key == ctx.idempotency_key
            return payload

        WORLD.on_act = act
        result = run(make(f'return await ctx.skill("{slug}", 1)'))
        assert result.output == 1, result
        assert len(seen) == 1

    @pytest.mark.parametrize("slug", ["pure", "look"])
    def test_what_has_no_effect_leaves_one_fact_and_no_intent(self, make: Make, slug: str) -> None:
        app = make(f'return await ctx.skill("{slug}", 1)')
        run(app)
        assert [stored.kind for stored in app.store.read(R)] == ["RunStarted", "StepDone", "RunEnded"]

    def test_intents_and_ends_are_synced_and_outcomes_of_effects_written(self, make: Make, opened: Open) -> None:
        store = Levels(opened())
        run(make('await ctx.skill("pure", 1)\nreturn await ctx.skill("once", 1)', store))
        assert store.seen == [
            (["RunStarted"], Level.WRITTEN),
            (["StepDone", "StepStarted"], Level.SYNCED),
            (["StepSucceeded"], Level.WRITTEN),
            (["RunEnded"], Level.SYNCED),
        ]

    def test_every_step_syncs_every_outcome(self, make: Make, opened: Open) -> None:
        store = Levels(opened())
        body = 'await ctx.skill("pure", 1)\nreturn await ctx.skill("once", 1)'
        run(make(body, store, durability="every_step"))
        assert [level for kinds, level in store.seen if kinds != ["RunStarted"]] == [Level.SYNCED] * 4


class Levels:
    """Passes everything on and notes how far the facts of each commit had to go."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.seen: list[tuple[list[str], Level]] = []

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        self.seen.append(([fact.kind for write in writes for fact in write.facts], level))
        return self._store.write(writes, level)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class TestTwoDrivers:
    def test_the_second_is_told_that_the_run_is_busy(self, make: Make, opened: Open) -> None:
        first, second = make(LOOK), make(LOOK)
        if first.store is second.store:
            return  # one process has one name for its leases

        async def both() -> object:
            hang_first(0.5)
            task = await begun(first)
            told = await second.drive.drive(R, asyncio.Event())
            await task
            return told

        told = asyncio.run(both())
        assert isinstance(told, Busy)
        assert 0 < told.seconds <= 10

    def test_a_driver_that_lost_its_lease_acts_no_more_and_says_what_it_knows(self, make: Make, opened: Open) -> None:
        first, second = make(TWO), make(TWO)

        async def fenced() -> object:
            hang_first(0.5)
            task = await begun(first, "once")
            lease = second.store.acquire(R, "somebody else", 60)
            if not hasattr(lease, "fence"):
                _take_over(first, R)
            await asyncio.sleep(0.8)
            late = [fact.kind for fact in first.store.read(R)]
            task.cancel()
            await asyncio.wait({task})
            return late

        kinds = asyncio.run(fenced())
        assert "LateOutcome" in kinds  # type: ignore[operator]
        assert "StepSucceeded" not in kinds  # type: ignore[operator]
        assert not WORLD.count("idem")


TWO = 'await ctx.skill("once", 1)\nreturn await ctx.skill("idem", 2)'


def _take_over(app: App, root: RunId) -> None:
    """Stand for a lease that ended and was taken over while its owner stood still."""
    app.store.renew(app.store.owner(), -60)
    assert hasattr(app.store.acquire(root, "somebody else", 60), "fence")
