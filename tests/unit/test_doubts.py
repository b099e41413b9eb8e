"""Ending a doubt: what a person is shown, what may be said, and what is on record then."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from magsag.domain.errors import Invalid
from magsag.domain.facts import RunStatus, StepResolved, StepStatus
from magsag.domain.ids import RunId
from magsag.services.driving.runs import Order
from magsag.services.people.doubts import Said
from tests.unit.world import ALLOW, WORLD, Bench, agent, contract, skill

SLOW = """
import time
def run(payload, ctx):
    time.sleep(0.3)
    return {"text": "sent, but late"}
"""
RECEIPT = '{"type": "object", "properties": {"text": {"type": "string"}, "card": {"type": "string", "x-redact": true}}}'
FILES = {
    **agent("main", 'return await ctx.skill("once", payload)', "skill:once"),
    **skill("once", "unrepeatable", timeout="5s", contracts="{output: receipt}"),
    **contract("receipt", RECEIPT),
    **ALLOW,
}
R = RunId("r")


@pytest.fixture(autouse=True)
def _world() -> Iterator[None]:
    WORLD.reset()
    yield
    WORLD.reset()


async def _for_ever(*_: Any) -> None:
    await asyncio.sleep(3600)


@pytest.fixture
def work(tmp_path: Path) -> Bench:
    """A run whose one act ran out of time."""
    bench = Bench(tmp_path, FILES)
    WORLD.on_act = _for_ever
    assert bench.run({"n": 1}).status is RunStatus.PARKED
    return bench


def said(work: Bench, output: Any = None, how: StepStatus = StepStatus.SUCCEEDED, step: str = "once#1") -> Any:
    """Say it, and drive the run on."""
    app = work.process()
    work.time.run(app.doubts.resolve(R, step, Said(how, "maria", output)))
    return work.resume(app)


def test_what_a_person_says_is_the_outcome_and_on_record_with_their_name(work: Bench) -> None:
    assert said(work, {"text": "sent"}).output == {"text": "sent"}
    (fact,) = [fact for fact in work.facts() if isinstance(fact, StepResolved)]
    assert (fact.how, fact.by, fact.output) == (StepStatus.SUCCEEDED, "maria", b'{"text":"sent"}')


def test_a_large_output_is_kept_as_any_other_and_fields_to_redact_are_redacted(work: Bench) -> None:
    text = "x" * 100_000
    assert said(work, {"text": text, "card": "4111"}).output == {"text": text, "card": "[redacted]"}
    assert work.store.check() == []


@pytest.mark.parametrize("output", [{"text": 3}, "sent", {"text": float("nan")}])
def test_an_output_that_the_contract_does_not_take_is_refused_and_the_doubt_stays(work: Bench, output: Any) -> None:
    with pytest.raises(Invalid, match="output of step once#1"):
        said(work, output)
    assert work.step("once#1").status is StepStatus.IN_DOUBT


def test_only_one_of_two_people_ends_a_doubt(work: Bench) -> None:
    work.time.run(work.process().doubts.resolve(R, "once#1", Said(StepStatus.SUCCEEDED, "maria", {"text": "a"})))
    with pytest.raises(Invalid, match="is not in doubt, it is succeeded"):
        work.time.run(work.process().doubts.resolve(R, "once#1", Said(StepStatus.FAILED, "chen")))


def test_what_a_person_said_is_driven_on_by_whoever_comes(work: Bench) -> None:
    work.time.run(work.process().doubts.resolve(R, "once#1", Said(StepStatus.SUCCEEDED, "maria", {"text": "sent"})))
    assert work.process().drive.due(10) == [R]


def test_a_retry_is_judged_again(work: Bench) -> None:
    WORLD.on_act = None
    app = work.process()
    work.time.run(app.doubts.resolve(R, "once#1", Said(StepStatus.WAITING, "maria")))
    (work.folder / "catalog" / "policies" / "allow.yaml").write_text("kind: policy\nschema: 1\nrules: []\n")
    assert Bench(work.folder, {}, work.store).resume().reasons[0].on == "approval"
    assert len(WORLD.calls) == 1


def test_the_run_is_free_for_others_after_a_refusal(work: Bench) -> None:
    with pytest.raises(Invalid, match="has no step 'nothing'"):
        said(work, {}, step="nothing")
    assert said(work, {"text": "sent"}).status is RunStatus.SUCCEEDED


def test_an_outcome_that_came_late_is_shown_and_not_adopted(tmp_path: Path) -> None:
    late = skill("once", "unrepeatable", SLOW, timeout="100ms", contracts="{output: receipt}")
    work = Bench(tmp_path, {**FILES, **late})

    async def wait_for_it() -> None:
        await work.app.runs.run(Order("agent:main", None, run_id="r"))
        await asyncio.sleep(0.5)

    asyncio.run(wait_for_it())
    assert work.app.doubts.find(R, "once#1").late == ({"text": "sent, but late"},)
    assert work.app.insight.show(R).steps[0].late == ({"text": "sent, but late"},)
    assert work.step("once#1").status is StepStatus.IN_DOUBT


BROKEN = """
from magsag import Retryable
def run(payload):
    raise Retryable("timeout", f"no answer about {payload['who']}")
def find(payload, ctx):
    raise ValueError(f"cannot look for {payload['who']}")
"""


@pytest.mark.parametrize("more", [{"effect": "unrepeatable"}, {"effect": "reconcilable", "lookup": "skill.py:find"}])
def test_what_an_act_in_doubt_said_is_shown_and_can_be_erased(tmp_path: Path, more: dict[str, str]) -> None:
    files = {**FILES, **skill("once", code=BROKEN, **more)}
    bench = Bench(tmp_path, files)
    assert bench.run({"who": "Zelda"}).status is RunStatus.PARKED
    app = bench.process()
    assert app.doubts.find(R, "once#1").said == "no answer about Zelda"
    (step,) = app.insight.show(R).steps
    assert step.error is not None
    assert step.error.message == "no answer about Zelda"
    bench.time.run(app.doubts.resolve(R, "once#1", Said(StepStatus.FAILED, "maria")))
    assert bench.resume(app).status is RunStatus.FAILED
    assert app.erasing.erase(R, "maria").words == 0
    assert all(b"Zelda" not in fact.body for fact in app.store.read(R))
