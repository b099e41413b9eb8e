"""What was under way in a branch that was given up, when a process died: each kind has its end, and nothing begins."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from magsag.domain.errors import StepFailed
from magsag.domain.facts import ParkedOn, RunStatus, StepStatus
from magsag.ports.runner import Yielded
from magsag.testing import History
from tests.unit.world import KINDS, USES, WORLD, Bench, agent

RACE = 'return list(await ctx.race(ctx.skill("pure", 1), ctx.skill("{}", 5)))'


async def timed(name: str, payload: Any, ctx: Any) -> Any:
    """The payload says how long."""
    await asyncio.sleep(payload)
    return payload


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Bench]:
    WORLD.reset()
    WORLD.on_act = timed
    files = {**KINDS, **agent("child", 'return await ctx.skill("once", payload)', USES)}
    return lambda body: Bench(tmp_path, {**files, **agent("main", body, f"{USES}, agent:child")})


def killed(bench: Bench, after: str) -> Bench:
    """The run as another process finds it, when the first died right after the note of that call."""
    history = History(bench.app)
    bench.run()
    WORLD.reset()
    WORLD.on_act = timed
    at = next(at for at, (_, fact) in enumerate(history.facts, 1) if getattr(fact, "step", "") == after)
    other = bench.on(history.cut(at))
    other.time.passed += 1000
    return other


@pytest.mark.parametrize(
    ("slug", "status", "acts"), [("idem", "succeeded", 1), ("trans", "failed", 0), ("recon", "failed", 0)]
)
def test_an_effect_that_had_begun_is_brought_to_its_end(make: Any, slug: str, status: str, acts: int) -> None:
    other = killed(make(RACE.format(slug)), "race.1")
    assert other.resume().output == [0, 1]
    assert other.step(f"r1.1/{slug}#1").status == status
    assert WORLD.count(slug).total() == acts
    assert other.store.check() == []


def test_what_nobody_can_know_parks_the_run_though_its_program_has_ended(make: Any) -> None:
    other = killed(make(RACE.format("once")), "race.1")
    result = other.resume()
    assert [(reason.on, reason.step) for reason in result.reasons] == [(ParkedOn.DOUBT, "r1.1/once#1")]
    assert other.resume().reasons[0].step == "r1.1/once#1"
    assert not WORLD.count("once")


def test_a_child_run_that_lost_is_ended_and_its_doubts_are_said(make: Any) -> None:
    body = 'return list(await ctx.race(ctx.skill("pure", 1), ctx.delegate("child", 5)))'
    other = killed(make(body), "race.1")
    result = other.resume()
    assert [(reason.on, reason.step) for reason in result.reasons] == [(ParkedOn.DOUBT, "r1.1/child#1/once#1")]
    assert other.state("r.r1.1/child#1").status is RunStatus.PARKED
    assert not WORLD.count("once")


def test_a_child_run_that_lost_before_it_did_anything_is_cancelled(make: Any) -> None:
    body = 'return list(await ctx.race(ctx.skill("pure", 1), ctx.delegate("child", 5)))'
    bench = make(body)
    history = History(bench.app)
    bench.run()
    kept = [(run, fact) for run, fact in history.facts if not (run != "r" and hasattr(fact, "step"))]
    at = next(at for at, (_, fact) in enumerate(kept, 1) if getattr(fact, "step", "") == "race.1")
    history.facts = kept
    other = bench.on(history.cut(at))
    assert other.resume().output == [0, 1]
    assert other.state("r.r1.1/child#1").status is RunStatus.CANCELLED
    assert other.step("r1.1/child#1").status is StepStatus.CANCELLED


def test_a_failed_gather_leaves_nothing_half_done(make: Any) -> None:
    async def act(name: str, payload: Any, ctx: Any) -> Any:
        await asyncio.sleep(payload)
        if name == "pure":
            raise StepFailed("unavailable", "gone")
        return payload

    WORLD.on_act = act
    bench = make('await ctx.gather(ctx.skill("pure", 1), ctx.skill("idem", 5), ctx.skill("look", 9))')
    other = killed(bench, "gather.1")
    result = other.resume()
    assert result.error is not None
    assert result.error.message == "gone"
    assert other.step("g1.1/idem#1").status is StepStatus.SUCCEEDED
    assert not WORLD.count("look")


def test_an_intent_that_was_given_up_before_its_act_does_not_act(make: Any) -> None:
    def act(name: str, payload: Any, ctx: Any) -> Any:
        if name == "pure":
            raise StepFailed("unavailable", "gone")
        return payload

    WORLD.on_act = act
    bench = make('await ctx.gather(ctx.skill("once", 1), ctx.skill("pure", 2))')
    assert bench.run().status is RunStatus.FAILED
    step = bench.step("g1.0/once#1")
    assert (step.status, b"given up before it acted" in step.output) == (StepStatus.FAILED, True)
    assert not WORLD.count("once")


def test_a_race_goes_on_when_it_is_decided_and_the_run_ends_when_all_have(make: Any) -> None:
    bench = make(RACE.format("once"))
    assert bench.run().output == [0, 1]
    facts = bench.kinds()
    assert facts.index("StepSucceeded") < facts.index("RunEnded")
    assert bench.step("r1.1/once#1").status is StepStatus.SUCCEEDED


def test_a_timeout_does_not_wait_for_the_effect_that_it_gives_up(make: Any) -> None:
    body = """
    from magsag.domain.errors import StepFailed
    try:
        await ctx.timeout(1, ctx.skill("once", 20))
    except StepFailed:
        return str(ctx.now())
    """
    bench = make(body)
    began = bench.time.clock.now()
    result = bench.run()
    assert bench.step("timeout.1").at - began < 2_000_000
    assert result.output is not None
    assert bench.step("t1/once#1").status is StepStatus.SUCCEEDED


def test_a_branch_that_lost_is_told_again_what_it_was_told_and_no_more(make: Any) -> None:
    body = """
    seen = []
    async def loser():
        seen.append(await ctx.skill("look", 1))
        seen.append(await ctx.skill("look", 9, key="second"))
        seen.append(await ctx.skill("idem", 1, key="third"))
    won, _ = await ctx.race(ctx.skill("pure", 3), loser())
    return [won, seen]
    """
    bench = make(body)
    history = History(bench.app)
    assert bench.run().output == [0, [1]]
    WORLD.reset()
    WORLD.on_act = timed
    assert bench.on(history.cut(len(history.facts) - 1)).resume().output == [0, [1]]
    assert not WORLD.calls


def test_clearing_up_can_be_stopped_and_goes_on_in_the_next_leg(make: Any) -> None:
    other = killed(make(RACE.format("idem")), "race.1")

    async def stopped() -> object:
        stop = asyncio.Event()
        driving = asyncio.ensure_future(other.app.drive.drive(other.state().id, stop))
        await asyncio.sleep(2)
        stop.set()
        return await driving

    assert other.time.run(stopped()) == Yielded()
    assert other.step("r1.1/idem#1").status is StepStatus.SUCCEEDED, "it had its time"
    assert other.resume().output == [0, 1]
