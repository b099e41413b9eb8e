"""What a chain of steps costs in syncs, by effect kind, and that every intent is on disk before its act."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.effects import Level
from magsag.ports.ledger import Declined, Store, Write, Written
from tests.unit.world import KINDS, USES, WORLD, Bench, agent

STEPS = 10
FILES = {
    **KINDS,
    **agent("main", f"return [await ctx.skill(payload, n) for n in range({STEPS})]", USES),
}


class Counting:
    """Passes everything on, and counts commits by their level."""

    def __init__(self) -> None:
        self._store = MemoryStore()
        self.commits: Counter[Level] = Counter()
        self.synced: list[str] = []
        """the kinds of all facts that are on disk"""
        self._written: list[str] = []

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        self.commits[level] += 1
        self._written += [fact.kind for item in writes for fact in item.facts]
        if level is Level.SYNCED:
            self.synced += self._written
            self._written = []
        return self._store.write(writes, level)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.fixture(autouse=True)
def _world() -> Iterator[None]:
    WORLD.reset()
    yield
    WORLD.reset()


def run(folder: Path, skill: str, **settings: Any) -> Counting:
    store = Counting()
    work = Bench(folder, FILES, cast(Store, store), **settings)
    assert work.run(skill).output == list(range(STEPS))
    return store


@pytest.mark.parametrize("skill", ["pure", "look"])
def test_a_chain_without_effects_costs_one_sync_in_all(tmp_path: Path, skill: str) -> None:
    assert run(tmp_path, skill).commits[Level.SYNCED] == 1


@pytest.mark.parametrize("skill", ["idem", "trans", "recon", "once"])
def test_a_chain_of_effects_costs_one_sync_each_and_one_for_the_end(tmp_path: Path, skill: str) -> None:
    assert run(tmp_path, skill).commits[Level.SYNCED] == STEPS + 1


@pytest.mark.parametrize(("skill", "each"), [("pure", 1), ("once", 2)])
def test_every_step_syncs_every_outcome(tmp_path: Path, skill: str, each: int) -> None:
    store = run(tmp_path, skill, durability="every_step")
    assert store.commits[Level.SYNCED] == each * STEPS + 1


@pytest.mark.parametrize("skill", ["idem", "trans", "recon", "once"])
def test_an_act_finds_its_intent_on_disk_and_the_outcome_before_it_too(tmp_path: Path, skill: str) -> None:
    store, seen = Counting(), []

    def look(name: str, payload: Any, ctx: Any) -> Any:
        seen.append((store.synced.count("StepStarted"), store.synced.count("StepSucceeded")))
        return payload

    work = Bench(tmp_path, FILES, cast(Store, store))
    WORLD.on_act = look
    work.run(skill)
    assert seen == [(n + 1, n) for n in range(STEPS)]


def test_an_act_without_effect_leaves_no_intent(tmp_path: Path) -> None:
    assert "StepStarted" not in run(tmp_path, "pure").synced
