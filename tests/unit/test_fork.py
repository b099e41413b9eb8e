"""Forks: a new run takes over what came before a step, and nothing of that happens again."""

from pathlib import Path
from typing import Any

import pytest

from magsag.domain.errors import Invalid
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.ports.ledger import RunQuery
from magsag.services.driving.results import RunResult
from magsag.services.past.setting import parse_setting
from tests.unit.world import KINDS, USES, WORLD, Bench, agent, contract, skill

R, F = RunId("r"), RunId("f")
SKILLS = {
    **KINDS,
    **skill("asks", "unrepeatable"),
    **skill("plain", "read", "def run(payload):\n    return {'tone': 'long', 'of': [1, 2]}\n"),
    **skill("typed", "read", "def run(payload):\n    return {'n': 1}\n", contracts="{output: number}"),
    **contract("number", '{"type": "object", "properties": {"n": {"type": "integer"}}}'),
    "agents/sub/sub-sag/agent.yaml": (
        f"kind: agent\nschema: 1\nslug: sub-sag\nversion: 1.0.0\nrole: sub\nentrypoint: agent.py:run\nuses: [{USES}]\n"
    ),
    "agents/sub/sub-sag/agent.py": (
        "async def run(payload, ctx):\n    one = await ctx.skill('once', payload)\n"
        "    return [one, str(ctx.uuid()), await ctx.skill('pure', {'big': ['x' * 50] * 2000})]\n"
    ),
}
ALL_USES = f"{USES}, skill:asks, skill:plain, skill:typed, agent:sub-sag"


def bench(folder: Path, body: str, payload: object = None) -> Bench:
    WORLD.reset()
    made = Bench(folder, {**SKILLS, **agent("main", body, ALL_USES)})
    made.run(payload)
    return made


def forked(bench: Bench, step: str, *sets: str) -> RunResult:
    """The run `f`, driven on by another process."""
    app = bench.process()
    app.forks.fork(R, step, sets, "f")
    return bench.time.run(app.runs.resume(F))


def acts() -> list[str]:
    return [name for name, _ in WORLD.calls]


EVERY = (
    "for name in ('pure', 'look', 'idem', 'trans', 'recon', 'once'):\n    await ctx.skill(name, {'of': name})\nreturn 7"
)


def test_steps_before_are_not_taken_again_and_the_original_stays(tmp_path: Path) -> None:
    made = bench(tmp_path, EVERY)
    before, done = made.facts(), acts()
    result = forked(made, "recon#1")
    assert (result.status, result.output) == (RunStatus.SUCCEEDED, 7)
    assert acts()[len(done) :] == ["recon", "once"]
    assert made.facts() == before
    assert made.store.check() == []


def test_a_fork_knows_its_origin_and_replays_as_any_run(tmp_path: Path) -> None:
    made = bench(tmp_path, EVERY)
    forked(made, "once#1")
    started = made.state("f").started
    assert started is not None
    assert started.forked_from == "r"
    assert made.time.run(made.process().replay.replay(F)).difference is None


def test_chance_and_time_go_on_as_in_the_original(tmp_path: Path) -> None:
    body = "await ctx.skill('pure', [str(ctx.uuid()), str(ctx.now())])\nreturn await ctx.skill('look', str(ctx.uuid()))"
    made = bench(tmp_path, body)
    assert forked(made, "look#1").output == made.process().runs.result(R).output


def test_child_runs_before_are_taken_over_with_their_large_values(tmp_path: Path) -> None:
    body = "first = await ctx.delegate('sub-sag', 1)\nawait ctx.skill('once', 2)\nreturn first"
    made = bench(tmp_path, body)
    before = made.process().runs.result(R).output
    result = forked(made, "once#1")
    assert result.output == before
    assert acts() == ["once", "pure", "once", "once"]
    rows = {row.run: row for row in made.store.rows(RunQuery(root=F, roots_only=False, limit=None))}
    child = rows[RunId("f.sub-sag#1")]
    assert (child.root, child.parent, child.status) == ("f", "f", RunStatus.SUCCEEDED)
    assert made.step("sub-sag#1", "f").child_head == child.head.hex()
    assert not _salts(made, "r") & _salts(made, "f")
    assert made.store.check() == []


def test_what_began_before_is_taken_over_whole(tmp_path: Path) -> None:
    """The effect of a sibling that ended later is not repeated."""

    async def slow_once(name: str, payload: Any, ctx: Any) -> Any:
        import asyncio

        await asyncio.sleep(3 if name == "once" else 1)
        return payload

    WORLD.reset()
    body = "async def two():\n    await ctx.skill('pure', 1)\n    await ctx.skill('look', 1)\n"
    made = Bench(
        tmp_path, {**SKILLS, **agent("main", f"{body}await ctx.gather(ctx.skill('once', 1), two())", ALL_USES)}
    )
    WORLD.on_act = slow_once
    made.run()
    done = len(acts())
    assert forked(made, "g1.1/look#1").status is RunStatus.SUCCEEDED
    assert acts()[done:] == ["look"]


def test_recorded_values_can_be_set(tmp_path: Path) -> None:
    made = bench(tmp_path, "plan = await ctx.skill('plain')\nreturn [plan, await ctx.skill('look', payload)]", {"x": 1})
    result = forked(made, "look", "plain.tone=short", 'plain.of.1={"y": 2}', "input.x=5")
    assert result.output == [{"tone": "short", "of": [1, {"y": 2}]}, {"x": 5}]


def test_a_set_value_that_an_earlier_step_has_used_parks_on_divergence(tmp_path: Path) -> None:
    made = bench(
        tmp_path, "plan = await ctx.skill('plain')\nawait ctx.skill('look', plan)\nreturn await ctx.skill('pure')"
    )
    result = forked(made, "pure", "plain.tone=short")
    assert result.status is RunStatus.PARKED
    assert "look#1" in result.reasons[0].reason


def test_a_held_step_before_stays_held(tmp_path: Path) -> None:
    made = bench(tmp_path, "return await ctx.gather(ctx.skill('asks', 1), ctx.skill('look', 2))")
    result = forked(made, "g1.1/look")
    assert [reason.step for reason in result.reasons] == ["g1.0/asks#1"]
    assert "asks" not in acts()


@pytest.mark.parametrize(
    ("step", "sets", "said"),
    [
        ("nosuch", [], "has no step 'nosuch'; it has plain#1, typed#1, look#1"),
        ("look", ["typed.n=many"], "does not meet contract number"),
        ("look", ["plain.of.7=1"], "there is no '7'"),
        (
            "look",
            ["plain.no.way=1"],
            "there is no 'no'; what stands there has tone, of".replace("'no';", "'no' to set;"),
        ),
        ("typed", ["look=1"], "write input.PATH=VALUE"),
        ("look", ["plain.tone"], "write input.PATH=VALUE"),
    ],
)
def test_wrong_forks_are_refused(tmp_path: Path, step: str, sets: list[str], said: str) -> None:
    made = bench(tmp_path, "await ctx.skill('plain')\nawait ctx.skill('typed')\nreturn await ctx.skill('look')")
    with pytest.raises(Invalid, match=said.replace("(", r"\(")):
        made.app.forks.fork(R, step, sets, "f")
    assert made.store.row(F) is None


def test_a_taken_id_and_a_child_run_are_refused(tmp_path: Path) -> None:
    made = bench(tmp_path, "await ctx.delegate('sub-sag', 1)\nreturn await ctx.skill('look')")
    with pytest.raises(Invalid, match="exists already"):
        made.app.forks.fork(R, "look", [], "r")
    with pytest.raises(Invalid, match="is a child run: fork r"):
        made.app.forks.fork(RunId("r.sub-sag#1"), "once", [], "f")


def test_an_act_of_which_nobody_knows_the_end_is_not_taken_over(tmp_path: Path) -> None:
    WORLD.reset()
    body = "await ctx.gather(ctx.skill('once', 1), ctx.skill('look', 2), on_error='collect')\nreturn 1"
    files = {**SKILLS, **skill("once", "unrepeatable", timeout="1s"), **agent("main", body, ALL_USES)}
    made = Bench(tmp_path, files)

    async def hang(name: str, payload: Any, ctx: Any) -> Any:
        import asyncio

        if name == "once":
            await asyncio.sleep(60)
        return payload

    WORLD.on_act = hang
    made.run()
    assert made.state().status is RunStatus.PARKED
    with pytest.raises(Invalid, match="nobody knows yet how it ended"):
        made.app.forks.fork(R, "g1.1/look", [], "f")


def test_the_longest_step_name_that_fits_is_meant() -> None:
    steps = ["a", "a.1", "b#1"]
    assert (parse_setting("a.1.x=1", steps).of, parse_setting("a.1.x=1", steps).path) == ("a.1", ("x",))
    assert (parse_setting("a.x.1=null", steps).path, parse_setting("a.x=null", steps).value) == (("x", "1"), None)
    assert (parse_setting("b.x=a=b", steps).of, parse_setting("b.x=a=b", steps).value) == ("b#1", "a=b")
    assert parse_setting("input=[1]", steps).applied({"old": 1}) == [1]


def _salts(bench: Bench, root: str) -> set[bytes]:
    rows = bench.store.rows(RunQuery(root=RunId(root), roots_only=False, limit=None))
    return {fact.salt for row in rows for fact in bench.store.read(row.run) if fact.salt is not None}
