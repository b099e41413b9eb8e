"""Replays: a program comes to the same facts from its record, or the first difference is named."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from magsag.app import App
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.ports.ledger import RunQuery
from magsag.services.driving.runs import Order
from magsag.services.past.difference import What
from magsag.services.past.replay import Replayed
from magsag.testing import FrozenClock, History, build_app
from tests.unit.trip import write_trip
from tests.unit.world import KINDS, USES, WORLD, Bench, agent, skill

R = RunId("r")
SKILLS = {
    **KINDS,
    **skill("fails", "read", "def run(payload):\n    raise ValueError('not today')\n"),
    **skill("asks", "unrepeatable"),
}


@pytest.fixture
def trip(tmp_path: Path) -> Iterator[App]:
    """The project, and its run `r`."""
    write_trip(tmp_path)
    app = build_app(tmp_path, {}, models={"smart": "scripted:replies.yaml"})
    result = asyncio.run(app.runs.run(Order("agent:trip-mag", {"who": "ann"}, run_id="r")))
    assert result.status is RunStatus.SUCCEEDED, result
    yield app
    app.close()


def replayed(app: App, catalog: str | None = None, run: str = "r") -> Replayed:
    return asyncio.run(app.replay.replay(RunId(run), catalog))


def edited(folder: Path, path: str, old: str, new: str) -> str:
    """The catalog's folder after an edit."""
    file = folder / "catalog" / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return str(folder / "catalog")


def test_a_run_with_everything_side_by_side_replays_to_the_same_facts(trip: App) -> None:
    everything = RunQuery(root=R, roots_only=False, limit=None)
    before = {row.run: row.head for row in trip.store.rows(everything)}
    found = replayed(trip)
    assert found.difference is None
    assert (found.runs, found.steps) == (3, 19)
    assert {row.run: row.head for row in trip.store.rows(everything)} == before


def test_a_replay_needs_neither_catalog_nor_models_nor_the_time_of_the_run(trip: App, tmp_path: Path) -> None:
    (tmp_path / "catalog").rename(tmp_path / "gone")
    (tmp_path / "replies.yaml").unlink()
    later = App(trip.settings, trip.store, FrozenClock(start=5_000_000_000_000_000))
    assert replayed(later).difference is None


def test_a_child_run_can_be_replayed_alone(trip: App) -> None:
    found = replayed(trip, run="r.planner-sag#1")
    assert (found.runs, found.difference) == (1, None)


MAG, LEG, FLOW = "agents/main/trip-mag/agent.py", "agents/sub/leg-sag/agent.py", "flows/plan-trip.yaml"
LAST = 'last = await ctx.skill("price", {"of": str(ctx.uuid())})'


@pytest.mark.parametrize(
    ("path", "old", "new", "run", "step", "what", "pointer"),
    [
        (MAG, "please say", "kindly say", "r", "smart#1", What.INPUT, "/messages/0/content"),
        (MAG, '"begin")', '"begin", 2)', "r", "stamp#1", What.INPUT, "/1"),
        (MAG, '{"to": "x"}', '{"to": "y"}', "r", "g1.1/leg-sag#1", What.INPUT, "/to"),
        (MAG, LAST, "pass", "r", "price#1", What.LESS, None),
        (MAG, '"won": won', '"won": -1', "r", None, What.OUTPUT, "/won"),
        (MAG, "ctx.race(", "ctx.gather(", "r", "g2.0/price#1", What.MORE, None),
        (LEG, "stop ", "halt ", "r.g1.1/leg-sag#1", "m1.0/price#1", What.INPUT, "/of"),
        (LEG, "range(3)", "range(4)", "r.g1.1/leg-sag#1", "m1.3/price#1", What.MORE, None),
        (LEG, "range(3)", "range(2)", "r.g1.1/leg-sag#1", "m1.2/price#1", What.LESS, None),
        (LEG, "return", "raise ValueError('no')\n    return", "r.g1.1/leg-sag#1", None, What.END, None),
        (FLOW, "of: try", "of: again", "r.planner-sag#1", "again.1/tries", What.INPUT, "/of"),
        (FLOW, "max_rounds: 2", "max_rounds: 3", "r.planner-sag#1", "again.3/tries", What.MORE, None),
        (FLOW, "max_rounds: 2", "max_rounds: 1", "r.planner-sag#1", "again.2/tries", What.LESS, None),
        (FLOW, "{id: look,", "{id: look, when: 1 > 2,", "r.planner-sag#1", "look", What.MORE, None),
        ("skills/price/skill.yaml", "1.0.0", "1.1.0", "r", "g1.0/price#1", What.TARGET, None),
    ],
)
def test_changed_code_names_the_first_difference(
    trip: App, tmp_path: Path, path: str, old: str, new: str, run: str, step: str, what: What, pointer: str
) -> None:
    found = replayed(trip, edited(tmp_path, path, old, new)).difference
    assert found is not None
    assert (found.run, found.step, found.what, found.pointer) == (run, step, what, pointer)
    assert replayed(trip).difference is None


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (MAG, "0.05", "0.06"),
        (MAG, "def stamp", "# a word\ndef stamp"),
        ("skills/price/skill.py", "random.random()", "1"),
    ],
)
def test_code_that_only_acts_is_not_asked(trip: App, tmp_path: Path, path: str, old: str, new: str) -> None:
    assert replayed(trip, edited(tmp_path, path, old, new)).difference is None


def bench(folder: Path, body: str) -> Bench:
    """A run `r` of these lines."""
    WORLD.reset()
    made = Bench(folder, {**SKILLS, **agent("main", body, f"{USES}, skill:fails, skill:asks")})
    made.run()
    return made


def again(bench: Bench) -> Replayed:
    """Replayed by another process; nothing acts."""
    calls, facts = len(WORLD.calls), len(bench.facts())
    found = bench.time.run(bench.process().replay.replay(R))
    assert (len(WORLD.calls), len(bench.facts())) == (calls, facts)
    return found


PROGRAMS: Mapping[str, str] = {
    "every kind": """
        for name in ("pure", "look", "idem", "trans", "recon", "once"):
            await ctx.skill(name, {"of": name})
        return payload
        """,
    "a branch fails": """
        async def slow():
            await ctx.skill("pure", 1)
            return await ctx.skill("fails", 2)
        try:
            await ctx.gather(ctx.skill("pure", 3), slow(), ctx.skill("look", 4))
        except Exception as error:
            await ctx.skill("once", str(error))
        return 1
        """,
    "failures are collected": """
        found = await ctx.map(lambda n: ctx.skill("pure" if n % 2 else "fails", n), range(6), on_error="collect")
        return [found.results, found.errors]
        """,
    "the program raises": """
        await ctx.skill("once", 1)
        raise ValueError("no more")
        """,
    "a step fails": """
        return await ctx.skill("fails", 1)
        """,
    "a value that is no JSON": """
        try:
            await ctx.skill("pure", {1, 2})
        except Exception as error:
            return str(error)
        """,
    "large values": """
        big = await ctx.skill("pure", {"rows": [{"n": n, "text": "x" * 50} for n in range(3000)]})
        more = await ctx.skill("look", {"of": big})
        return {"same": more}
        """,
    "chance and time": """
        return [str(ctx.uuid()), ctx.random(), await ctx.skill("pure", ctx.random()), str(ctx.now())]
        """,
    "nested": """
        async def pair(n):
            return await ctx.gather(ctx.skill("pure", n), ctx.race(ctx.skill("pure", -n), ctx.skill("look", n)))
        return await ctx.map(pair, range(5))
        """,
}


@pytest.mark.parametrize("body", PROGRAMS.values(), ids=PROGRAMS)
def test_ended_runs_replay(tmp_path: Path, body: str) -> None:
    made = bench(tmp_path, body)
    assert made.state().ended is not None
    assert again(made).difference is None


def test_a_held_run_replays_to_its_park(tmp_path: Path) -> None:
    made = bench(tmp_path, "await ctx.skill('pure', 1)\nawait ctx.gather(ctx.skill('asks', 1), ctx.skill('look', 2))")
    assert made.state().status is RunStatus.PARKED
    assert again(made).difference is None


def test_a_run_that_was_cancelled_replays_as_far_as_it_came(tmp_path: Path) -> None:
    made = bench(tmp_path, "await ctx.skill('pure', 1)\nawait ctx.skill('asks', 1)")
    made.time.run(made.app.runs.cancel(R, "tester"))
    assert made.state().status is RunStatus.CANCELLED
    assert again(made).difference is None


@pytest.mark.parametrize("body", [PROGRAMS[name] for name in ("every kind", "a branch fails", "nested")])
def test_a_run_that_was_killed_replays_as_far_as_its_record_goes(tmp_path: Path, body: str) -> None:
    WORLD.reset()
    made = Bench(tmp_path, {**SKILLS, **agent("main", body, f"{USES}, skill:fails, skill:asks")})
    history = History(made.app)
    made.run()
    for count in range(1, len(history.facts)):
        found = made.time.run(made.process(history.cut(count)).replay.replay(R))
        assert found.difference is None, count


def test_a_recorded_failure_that_does_not_come_again_is_named(tmp_path: Path) -> None:
    made = bench(tmp_path, "raise ValueError('no more')")
    later = made.process()
    catalog = edited(tmp_path, "agents/main/main/agent.py", "no more", "no less")
    found = made.time.run(later.replay.replay(R, catalog)).difference
    assert found is not None
    assert (found.what, found.pointer) == (What.OUTPUT, "/message")
