"""Detached child runs: trees of their own, driven by whoever comes, bound to the step that waits for them."""

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from magsag.domain.effects import Level
from magsag.domain.errors import Broken, ErrorType, Invalid
from magsag.domain.facts import ParkedOn, RunStatus, StepStatus
from magsag.domain.ids import RunId
from magsag.ports.ledger import Declined, Lease, Store, Write, Written
from magsag.ports.runner import Parked
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Order
from magsag.services.people.doubts import Said
from magsag.testing import breaking
from tests.unit.world import KINDS, USES, WORLD, Bench, agent, skill

Make = Callable[..., Bench]
CHILD = RunId("r.child#1")
DETACH = 'return await ctx.delegate("child", payload, detached=True)'
LOOK = 'return await ctx.skill("look", payload)'
ORDER = Order("agent:main", 7, run_id="r")
ASK = 'return await ctx.skill("asks", payload)'


@pytest.fixture
def make(tmp_path: Path) -> Make:
    WORLD.reset()

    def made(body: str = DETACH, child: str = LOOK, **manifest: object) -> Bench:
        imports = "import asyncio\nfrom magsag.domain.errors import StepFailed"
        main = agent("main", body, f"{USES}, skill:asks, agent:child, agent:main", imports)
        below = agent("child", child, f"{USES}, skill:asks, agent:main", "", **manifest)
        return Bench(tmp_path, {**KINDS, **skill("asks", "unrepeatable"), **main, **below}, sound=False)

    return made


def replayed(bench: Bench, run: str) -> object:
    return asyncio.run(bench.process().replay.replay(RunId(run))).difference


def leg(bench: Bench, run: str) -> object:
    """One leg by another process, and nothing of what it waits for."""
    return bench.time.run(bench.process().drive.drive(RunId(run), asyncio.Event()))


def test_it_is_a_tree_of_its_own_and_its_parent_has_what_it_gave(make: Make) -> None:
    bench = make()
    assert bench.run(7).output == 7
    row = bench.store.row(CHILD)
    assert row is not None
    assert (row.root, row.parent, row.status) == (CHILD, "r", RunStatus.SUCCEEDED)
    assert bench.kinds() == ["RunStarted", "StepStarted", "RunParked", "StepSucceeded", "RunEnded"]
    assert bench.step("child#1").child_head == row.head.hex()
    assert bench.store.check() == []


def test_whoever_comes_drives_it_and_its_end_wakes_the_parent(make: Make) -> None:
    bench = make()
    bench.time.run(bench.app.runs.submit(ORDER))
    told = leg(bench, "r")
    assert isinstance(told, Parked)
    assert told.children == (CHILD,)
    assert bench.process().drive.due(10) == [CHILD]
    leg(bench, CHILD)
    assert bench.process().drive.due(10) == ["r"]
    assert bench.resume().output == 7


def test_a_wake_that_came_while_the_parent_was_driven_is_not_lost(make: Make) -> None:
    bench = make()
    bench.time.run(bench.app.runs.submit(ORDER))
    leg(bench, "r")
    other = bench.process()
    lease = other.store.acquire(RunId("r"), "another", 60)
    leg(bench, CHILD)
    other.store.release(lease)  # type: ignore[arg-type]
    assert bench.process().drive.due(10) == ["r"]


def test_several_run_side_by_side_with_what_stays_here(make: Make) -> None:
    body = """
        calls = [ctx.delegate("child", n, detached=True) for n in range(3)]
        return await ctx.gather(*calls, ctx.delegate("child", 3), ctx.skill("idem", 4))
    """
    bench = make(body)
    assert bench.run().output == [0, 1, 2, 3, 4]
    assert WORLD.count().most_common(1)[0][1] == 1


def test_its_failure_is_the_steps(make: Make) -> None:
    body = (
        f"try:\n    {DETACH}\nexcept StepFailed as error:\n    return [error.type, error.details['run'], error.message]"
    )
    type, run, message = make(body, "raise ValueError('no luck')").run().output
    assert (type, run) == ("raised", CHILD)
    assert message.startswith("ValueError: no luck")


def test_while_it_waits_its_parent_waits_for_it(make: Make) -> None:
    bench = make(child=ASK)
    result = bench.run(1)
    assert [(one.on, one.step, one.run) for one in result.reasons] == [(ParkedOn.CHILD, "child#1", CHILD)]
    assert bench.state(CHILD).reasons[0].on is ParkedOn.APPROVAL
    assert bench.resume().status is RunStatus.PARKED


def test_a_cancelled_parent_cancels_it(make: Make) -> None:
    bench = make(child=ASK)
    bench.run(1)
    process = bench.process()
    assert bench.time.run(process.runs.cancel(RunId("r"), "maria")).status is RunStatus.CANCELLED
    assert bench.process().drive.due(10) == [CHILD]
    leg(bench, CHILD)
    assert bench.state(CHILD).status is RunStatus.CANCELLED
    assert bench.store.check() == []


def test_one_that_is_cancelled_by_itself_fails_its_parents_step(make: Make) -> None:
    bench = make(child=ASK)
    bench.run(1)
    bench.time.run(bench.process().runs.cancel(CHILD, "maria"))
    result = bench.resume()
    assert result.status is RunStatus.FAILED
    assert result.error is not None
    assert "cancelled by maria" in result.error.message


def test_one_that_lost_a_race_is_cancelled(make: Make) -> None:
    body = 'return list(await ctx.race(ctx.delegate("child", 1, detached=True), ctx.skill("look", 2)))'
    bench = make(body, ASK)
    assert bench.run().output == [1, 2]
    assert bench.step("r1.0/child#1").status is StepStatus.CANCELLED
    leg(bench, "r.r1.0/child#1")
    assert bench.state("r.r1.0/child#1").status is RunStatus.CANCELLED


def test_one_that_its_parent_ends_without_is_cancelled(make: Make) -> None:
    body = """
        async def fail():
            await ctx.skill("look", 1)
            raise ValueError("no luck")

        await ctx.gather(ctx.delegate("child", 1, detached=True), fail())
    """
    bench = make(body, ASK)
    assert bench.run().status is RunStatus.FAILED
    leg(bench, "r.g1.0/child#1")
    assert bench.state("r.g1.0/child#1").status is RunStatus.CANCELLED


def test_it_has_the_time_of_its_delegation(make: Make) -> None:
    bench = make(child=ASK, timeout="10s")
    assert bench.run(1).status is RunStatus.PARKED
    row = bench.store.row(RunId("r"))
    assert row is not None
    assert row.due == bench.step("child#1").act_by == bench.state(CHILD).started.deadline  # type: ignore[union-attr]
    bench.time.passed += 11
    result = bench.resume()
    assert result.error is not None
    assert result.error.type is ErrorType.TIMEOUT
    leg(bench, CHILD)
    assert bench.state(CHILD).status in (RunStatus.CANCELLED, RunStatus.FAILED)


def test_it_has_no_more_rights_than_a_child_run_in_the_leg(make: Make) -> None:
    bench = make(child='return await ctx.delegate("main", payload, detached=True)')
    attached = make(DETACH.replace(", detached=True", ""), 'return await ctx.delegate("main", payload)')
    said = [one.run(1).error for one in (bench, attached)]
    assert said[0] is not None
    assert said[1] is not None
    assert (said[0].type, said[0].details["rule"]) == (said[1].type, said[1].details["rule"])


def test_large_values_go_in_and_come_out(make: Make) -> None:
    body = 'found = await ctx.skill("look", "x" * 100_000)\nreturn await ctx.delegate("child", [found], detached=True)'
    bench = make(body)
    assert bench.run().output == ["x" * 100_000]
    assert bench.store.check() == []


@pytest.mark.parametrize(("run", "step"), [("r", "child#1/once#1"), (CHILD, "once#1")])
def test_a_doubt_in_it_is_resolved_from_here_and_there(make: Make, run: str, step: str) -> None:
    bench = make(child='return await ctx.skill("once", payload)')

    async def hangs(name: str, payload: object, ctx: object) -> None:
        await asyncio.sleep(1_000)

    WORLD.on_act = hangs
    assert bench.run(7).status is RunStatus.PARKED
    WORLD.on_act = None
    assert bench.state(CHILD).reasons[0].on is ParkedOn.DOUBT
    word = Said(StepStatus.SUCCEEDED, "ann", 7)
    assert bench.time.run(bench.process().doubts.resolve(RunId(run), step, word)) == run
    assert bench.resume().output == 7
    assert bench.store.check() == []


def test_both_are_replayed_offline_at_every_stage(make: Make) -> None:
    bench = make(child=ASK)
    bench.run(1)
    assert (replayed(bench, "r"), replayed(bench, CHILD)) == (None, None)
    bench.time.run(bench.process().runs.cancel(CHILD, "maria"))
    bench.resume()
    assert (replayed(bench, "r"), replayed(bench, CHILD)) == (None, None)


def test_a_program_that_detaches_no_more_diverges(make: Make, tmp_path: Path) -> None:
    bench = make(child=ASK)
    bench.run(1)
    copy = shutil.copytree(bench.folder / "catalog", tmp_path / "other")
    code = copy / "agents/main/main/agent.py"
    code.write_text(code.read_text().replace(", detached=True", ""))
    found = asyncio.run(bench.process().replay.replay(RunId("r"), str(copy))).difference
    assert found is not None
    assert "the record has detach agent:child" in found.said


def test_its_tree_is_drawn_with_its_parents(make: Make) -> None:
    bench = make()
    bench.run(7)
    tree = bench.app.insight.tree(RunId("r"))
    assert [(step.name, step.child, [below.name for below in step.children]) for step in tree.children] == [
        ("child", CHILD, ["look"])
    ]


def test_a_run_that_waits_for_one_is_not_exported(make: Make) -> None:
    bench = make(child=ASK)
    bench.run(1)
    with pytest.raises(Invalid, match="waits for a detached child run"):
        bench.app.parcels.export(RunId("r"))
    with pytest.raises(Invalid, match="is a detached child run: export r"):
        bench.app.parcels.export(CHILD)


def test_a_run_that_waits_for_one_and_for_something_else_is_not_exported(make: Make) -> None:
    bench = make('return await ctx.gather(ctx.skill("asks", 1), ctx.delegate("child", 7, detached=True))', ASK)
    assert [reason.on for reason in bench.run(1).reasons] == [ParkedOn.APPROVAL, ParkedOn.CHILD]
    with pytest.raises(Invalid, match="waits for a detached child run"):
        bench.app.parcels.export(RunId("r"))


def test_a_run_that_waits_for_one_is_forked_before_it_and_not_after(make: Make) -> None:
    body = 'await ctx.gather(ctx.delegate("child", 7, detached=True), ctx.skill("look", 2))'
    bench = make(f'await ctx.skill("look", 1)\n{body}', ASK)
    assert bench.run(1).status is RunStatus.PARKED
    forks = bench.process().forks
    with pytest.raises(Invalid, match="its detached child run would act once more"):
        forks.fork(RunId("r"), "g1.1/look#1")
    assert forks.fork(RunId("r"), "g1.0/child#1").steps == 1


def taken_over(store: Store) -> None:
    """Another process drives the parent from now on."""
    store.renew(store.owner(), -1)
    assert isinstance(store.acquire(RunId("r"), "another", 60), Lease)


def test_whoever_lost_the_parent_begins_none(make: Make) -> None:
    bench = make(f'await ctx.skill("look", 1)\n{DETACH}')

    async def loses(*_: object) -> None:
        taken_over(bench.store)

    WORLD.on_act = loses
    bench.time.run(bench.app.runs.submit(ORDER))
    leg(bench, "r")
    assert bench.store.row(CHILD) is None


def test_whoever_lost_the_parent_cancels_none(make: Make) -> None:
    class Losing:
        """Loses the lease at the last moment before a cancel request."""

        def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
            if any(fact.kind == "CancelRequested" for write in writes for fact in write.facts):
                taken_over(bench.store)
            return bench.store.write(writes, level)

        def __getattr__(self, name: str) -> Any:
            return getattr(bench.store, name)

    body = 'return list(await ctx.race(ctx.delegate("child", 1, detached=True), ctx.skill("look", 2)))'
    bench = make(body, ASK)
    bench.time.run(bench.app.runs.submit(ORDER))
    bench.time.run(bench.process(cast(Store, Losing())).drive.drive(RunId("r"), asyncio.Event()))
    assert "CancelRequested" not in bench.kinds("r.r1.0/child#1")


def test_one_whose_parent_still_waits_is_not_vacuumed(make: Make) -> None:
    bench = make('return await ctx.gather(ctx.delegate("child", 7, detached=True), ctx.skill("asks", 1))')
    assert bench.run(7).status is RunStatus.PARKED
    assert bench.state("r.g1.0/child#1").status is RunStatus.SUCCEEDED
    assert bench.store.vacuum(1 << 62, dry_run=False).runs == 0


@pytest.mark.parametrize("number", range(1, 10))
def test_whatever_commit_fails_it_happens_once(make: Make, number: int) -> None:
    bench = make(child='return await ctx.skill("once", payload)')
    app = bench.process(breaking(bench.store, number))
    try:
        result: RunResult | None = bench.run(7, app=app)
    except Broken:
        result = None
    if result is None or result.status is not RunStatus.SUCCEEDED:
        result = bench.run(7, app=bench.process()) if bench.store.row(RunId("r")) is None else bench.resume()
    assert set(WORLD.count().values()) <= {1}
    doubtful = any(step.status is StepStatus.IN_DOUBT for step in bench.state(CHILD).steps.values())
    assert (result.output, result.status) == ((None, RunStatus.PARKED) if doubtful else (7, RunStatus.SUCCEEDED))
    bench.store.write([], Level.SYNCED)
    assert bench.store.check() == []
