"""A reconcilable act whose time was over, or whose process ended, is asked for; in virtual time."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from magsag.domain.facts import ParkedOn, RunStatus, StepStatus
from magsag.services.runs import Order
from tests.unit.world import ALLOW, WORLD, Bench, agent, skill

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
