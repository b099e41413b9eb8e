"""Two runs side by side, and one run as it once stood."""

from pathlib import Path

import pytest

from magsag.domain.errors import Invalid
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.services.driving.runs import Order
from magsag.services.past.compare import Parting
from magsag.services.past.difference import What
from tests.unit.world import KINDS, USES, WORLD, Bench, agent, skill

A, B = RunId("a"), RunId("b")
SUB = "agents/sub/sub-sag/agent"
FILES = {
    **KINDS,
    **skill("fails", "read", "def run(payload):\n    raise ValueError('not today')\n"),
    f"{SUB}.yaml": (
        "kind: agent\nschema: 1\nslug: sub-sag\nversion: 1.0.0\nrole: sub\nentrypoint: agent.py:run\n"
        "uses: [skill:pure, skill:fails]\n"
    ),
    f"{SUB}.py": "async def run(payload, ctx):\n    return await ctx.skill(payload['name'], payload['of'])\n",
    **agent(
        "main",
        """
        first = await ctx.skill('pure', payload['first'])
        if payload.get('more'):
            await ctx.skill('look', 1)
        return [first, await ctx.delegate('sub-sag', payload['sub'])]
        """,
        f"{USES}, agent:sub-sag",
    ),
}
SUB_PAYLOAD = {"name": "pure", "of": {"x": [1, 2]}}


def two(folder: Path, one: object, other: object) -> Bench:
    WORLD.reset()
    bench = Bench(folder, FILES)
    for id, payload in ((A, one), (B, other)):
        bench.time.run(bench.app.runs.run(Order("agent:main", payload, run_id=id)))
    return bench


def test_runs_of_the_same_input_are_the_same(tmp_path: Path) -> None:
    payload = {"first": 1, "sub": SUB_PAYLOAD}
    assert two(tmp_path, payload, payload).app.compare.partings(A, B) == []


def test_the_first_differing_step_comes_first_with_its_pointer(tmp_path: Path) -> None:
    other = {"first": 1, "sub": {"name": "pure", "of": {"x": [1, 3]}}, "more": True}
    found = two(tmp_path, {"first": 1, "sub": SUB_PAYLOAD}, other).app.compare.partings(A, B)
    assert found == [
        Parting(None, What.INPUT, "2", "3", "/sub/of/x/1"),
        Parting("sub-sag#1", What.INPUT, "2", "3", "/of/x/1"),
        Parting("sub-sag#1/pure#1", What.INPUT, "2", "3", "/x/1"),
        Parting("sub-sag#1/pure#1", What.OUTPUT, "2", "3", "/x/1"),
        Parting("sub-sag#1", What.OUTPUT, "2", "3", "/x/1"),
        Parting("look#1", What.MORE, "nothing", "skill:look@1.0.0 succeeded"),
        Parting(None, What.OUTPUT, "2", "3", "/1/x/1"),
    ]


def test_statuses_and_targets_differ(tmp_path: Path) -> None:
    one, other = ({"first": 1, "sub": {"name": name, "of": 1}} for name in ("pure", "fails"))
    found = two(tmp_path, one, other).app.compare.partings(A, B)
    assert ("sub-sag#1/pure#1", What.LESS) in [(it.step, it.what) for it in found]
    assert found[-1] == Parting(None, What.STATUS, "succeeded", "failed")


def test_a_run_is_shown_as_it_stood_at_a_step(tmp_path: Path) -> None:
    bench = two(tmp_path, {"first": 1, "sub": SUB_PAYLOAD, "more": True}, {"first": 1, "sub": SUB_PAYLOAD})
    view = bench.app.insight.show_at(A, "look")
    assert [step.id for step in view.steps] == ["pure#1", "look#1"]
    assert (view.status, view.output, view.row.seq) == (RunStatus.RUNNING, None, 3)
    assert bench.app.insight.show(A).status is RunStatus.SUCCEEDED
    with pytest.raises(Invalid, match="has no step 'nope'; it has pure#1, look#1, sub-sag#1"):
        bench.app.insight.show_at(A, "nope")
