"""What a run may still spend: all that binds it, and what runs below it have for themselves, used or not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from magsag.domain.approval import Acting, Proof
from magsag.domain.budget import Cap
from magsag.domain.errors import Invalid, Refused
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.services.insight.audit import Asked
from tests.unit.world import WORLD, Bench, agent, skill

MAIN = """
    await ctx.skill("paid", 1)
    await ctx.delegate("near", payload)
    await ctx.delegate("far", payload, detached=True)
"""
FILES = {
    **skill("paid", "read", cost="{usd: 0.05, tokens: 10}"),
    **agent("main", MAIN, "skill:paid, agent:near, agent:far", budget="{usd: 1, calls: 9, per_day: {usd: 2}}"),
    **agent("near", "return 1", budget="{seconds: 60}"),
    **agent("far", 'return await ctx.wait_for("go")', budget="{usd: 0.5}"),
}


@pytest.fixture(autouse=True)
def _world() -> Iterator[None]:
    WORLD.reset()
    yield
    WORLD.reset()


@pytest.fixture
def work(tmp_path: Path) -> Bench:
    """A run that waits for its detached child."""
    made = Bench(tmp_path, FILES)
    made.store.set_cap(Cap(1, "day", "tokens", 100, 0, "ann", Proof.OS_USER, "", ""))
    assert made.run().status is RunStatus.PARKED
    return made


def shown(work: Bench, run: str) -> dict[str, tuple[int | None, int]]:
    """By budget, without the day in its name: cap and what is spent."""
    found = work.app.allowances.of(RunId(run))
    parts = ((one, one.id.split("/")) for one in found)
    return {"/".join(part for part in id if not part.startswith("20")): (one.cap, one.spent) for one, id in parts}


def test_a_run_is_bound_by_its_own_caps_those_of_its_agents_day_and_those_that_people_set(work: Bench) -> None:
    assert shown(work, "r") == {
        "run/r/usd": (10**9, 50_000_000),
        "run/r/calls": (9, 1),
        "agent/main/usd": (2 * 10**9, 50_000_000),
        "day/tokens": (100, 10),
        "run/r.near#1/seconds": (60_000_000, 0),
        "run/r.far#1/usd": (500_000_000, 0),
    }


def test_a_child_run_is_bound_by_what_is_above_it_near_or_far(work: Bench) -> None:
    above = {"run/r/usd", "run/r/calls", "agent/main/usd", "day/tokens"}
    assert set(shown(work, "r.far#1")) == {*above, "run/r.far#1/usd"}
    assert set(shown(work, "r.near#1")) == {"run/r.near#1/seconds"}  # it has ended


def test_what_has_ended_shows_only_what_was_its_own(work: Bench) -> None:
    for run in ("r.far#1", "r"):
        work.app.events.signal(RunId("r.far#1"), "go", None, "ann") if run == "r.far#1" else None
        work.time.run(work.app.runs.resume(RunId(run)))
    assert set(shown(work, "r")) == {"run/r/usd", "run/r/calls", "run/r.near#1/seconds", "run/r.far#1/usd"}


def test_a_run_that_nobody_knows_is_refused(work: Bench) -> None:
    with pytest.raises(Invalid, match="run x is not in the ledger"):
        work.app.allowances.of(RunId("x"))


PEOPLE = """\
kind: people
schema: 1
people:
  - {id: ann, roles: [finance], proof: os_user}
  - {id: bo, roles: [hr], proof: os_user}
  - {id: cy, roles: [hr], proof: os_user}
may_set_caps: {roles: [finance], people: [cy]}
"""


def test_caps_are_set_by_whom_people_yaml_names(tmp_path: Path) -> None:
    app = Bench(tmp_path, {**FILES, "people.yaml": PEOPLE}).app
    caps = app.caps
    for name in ("ann", "cy"):
        assert caps.set("day", "usd", "5", Acting(name, Proof.OS_USER)).by == name
    with pytest.raises(Refused, match=r"bo may not set caps: .* the role finance or cy \(`may_set_caps`\)") as caught:
        caps.set("day", "usd", "none", Acting("bo", Proof.OS_USER))
    assert caught.value.why == "role"
    assert [cap.by for cap in caps.history()] == ["ann", "cy"]
    (entry,) = app.audit.log(Asked(person="cy"))
    assert (entry.kind, entry.target, entry.said, entry.run) == ("CapSet", "budget:day/usd", "cap $5.00", "")
