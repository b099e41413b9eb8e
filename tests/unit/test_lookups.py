"""A reconcilable act whose time was over, or whose process ended, is asked for; in virtual time."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from magsag.domain.facts import ParkedOn, RunStatus, StepStatus
from magsag.domain.ids import RunId
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Order
from magsag.testing import History
from tests.unit.world import ALLOW, WORLD, Bench, agent, skill

R = RunId("r")
FILES = {
    **agent("main", 'return await ctx.skill("recon", payload)', "skill:recon"),
    **skill("recon", "reconcilable", timeout="5s", retry="{attempts: 2, backoff: 1s, on: [timeout]}"),
    **ALLOW,
}


@pytest.fixture(autouse=True)
def _world() -> Iterator[None]:
    WORLD.reset()
    yield
    WORLD.reset()


def bench(folder: Path, **changes: Any) -> Bench:
    return Bench(folder, {**FILES, **changes})


async def _for_ever(*_: Any) -> None:
    await asyncio.sleep(3600)


def test_an_act_that_ran_out_of_time_and_is_found_is_adopted(tmp_path: Path) -> None:
    work = bench(tmp_path)
    WORLD.on_act = _for_ever
    assert work.run({"n": 1}).output == {"n": 1}
    assert len(WORLD.calls) == 1
    assert work.facts()[-2].adopted is True  # type: ignore[union-attr]


def test_an_act_that_ran_out_of_time_and_is_not_found_is_tried_again_as_the_policy_says(tmp_path: Path) -> None:
    work = bench(tmp_path)
    tried: list[str] = []

    def slow(name: str, payload: Any, ctx: Any) -> Any:
        tried.append(name)
        WORLD.calls.clear()
        return _for_ever()

    WORLD.on_act = slow
    result = work.run({"n": 1})
    assert (result.status, len(tried)) == (RunStatus.FAILED, 2)
    assert result.error is not None
    assert result.error.type == "timeout"


class TestWhoeverMayStillBeActing:
    """Another process began the act; it lives, or nobody knows. The clock is set while it acts."""

    def begun(self, folder: Path, jump: float, wrested: bool) -> tuple[Bench, tuple[str, str]]:
        """A run whose intent alone is on record, driven elsewhere until now, and what its act leaves in the world."""
        work = bench(folder)
        history = History(work.app)
        work.run({"n": 1})
        left = WORLD.calls.pop()
        other = work.on(history.cut(2))
        other.time.clock.advance(jump)
        if wrested:
            other.store.acquire(R, "another", -1)
        return other, left

    @pytest.mark.parametrize("jump", [3600, -3600])
    def test_it_has_the_whole_time_of_the_act(self, tmp_path: Path, jump: float) -> None:
        work, left = self.begun(tmp_path, jump, wrested=True)
        began = work.time.passed
        assert work.time.run(_while_it_acts(work, left)).output == {"n": 1}
        assert WORLD.calls == [left]
        assert 5 <= work.time.passed - began < 6

    @pytest.mark.parametrize(("jump", "seconds"), [(3600, 0), (-3600, 5)])
    def test_one_that_is_gone_is_waited_for_no_longer_than_that(
        self, tmp_path: Path, jump: float, seconds: float
    ) -> None:
        work, left = self.begun(tmp_path, jump, wrested=False)
        WORLD.calls.append(left)
        began = work.time.passed
        assert work.time.run(work.app.runs.resume(R)).output == {"n": 1}
        assert seconds <= work.time.passed - began < seconds + 1

    def test_the_next_leg_of_this_process_goes_on_with_the_wait(self, tmp_path: Path) -> None:
        work, left = self.begun(tmp_path, 3600, wrested=True)
        began = work.time.passed
        work.time.run(_left_after(work, 2))
        assert work.time.run(_while_it_acts(work, left, 2)).output == {"n": 1}
        assert WORLD.calls == [left]
        assert 5 <= work.time.passed - began < 6


async def _while_it_acts(work: Bench, left: tuple[str, str], seconds: float = 4) -> RunResult:
    resuming = asyncio.ensure_future(work.app.runs.resume(R))
    await asyncio.sleep(seconds)
    WORLD.calls.append(left)
    return await resuming


async def _left_after(work: Bench, seconds: float) -> None:
    stop = asyncio.Event()
    driving = asyncio.ensure_future(work.app.drive.drive(R, stop))
    await asyncio.sleep(seconds)
    stop.set()
    await driving


SAYS = """
from tests.unit.world import WORLD
async def run(payload, ctx):
    return await WORLD.act("recon", payload, ctx)
def find(payload, ctx):
    return payload["answer"]
"""


@pytest.mark.parametrize("answer", [None, {}, {"found": "yes"}, {"found": True}, {"found": False, "why": 1}, "no"])
def test_a_lookup_that_answers_neither_yes_nor_no_leaves_a_doubt(tmp_path: Path, answer: Any) -> None:
    work = bench(tmp_path, **skill("recon", "reconcilable", SAYS, timeout="5s"))
    WORLD.on_act = _for_ever
    result = work.run({"answer": answer})
    assert [reason.on for reason in result.reasons] == [ParkedOn.DOUBT]
    assert work.step("recon#1").status is StepStatus.IN_DOUBT


SYNC = """
import time
def run(payload, ctx):
    time.sleep(0.3)
def find(payload, ctx):
    return {"found": False}
"""


def test_what_a_thread_of_ours_may_still_do_is_in_doubt_whatever_the_lookup_says(tmp_path: Path) -> None:
    work = bench(tmp_path, **skill("recon", "reconcilable", SYNC, timeout="100ms"))
    result = asyncio.run(work.app.runs.run(Order("agent:main", None, run_id="r")))
    assert [reason.on for reason in result.reasons] == [ParkedOn.DOUBT]
