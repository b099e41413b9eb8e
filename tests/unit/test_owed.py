"""Outcomes that need not be waited for: one commit for each budgeted step, and nothing acts before what is owed."""

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.effects import Level
from magsag.domain.errors import StoreBroken
from magsag.domain.facts import RunStatus
from magsag.ports.ledger import Declined, Store, Write, Written
from tests.unit.world import KINDS, WORLD, Bench, agent, skill

FILES = {**KINDS, **skill("paid", "read", cost="{usd: 0.05}"), **skill("free", "pure", cost="{}")}
OUTCOME = "StepSucceeded"


class Ledger:
    """Passes everything on, notes the kinds of each commit with its level, and does as it is told before."""

    def __init__(self, before: Callable[[list[str]], None] = lambda kinds: None) -> None:
        self._store = MemoryStore()
        self._before = before
        self.commits: list[tuple[Level, list[str]]] = []

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        kinds = [fact.kind for item in writes for fact in item.facts]
        self._before(kinds)
        self.commits.append((level, kinds))
        return self._store.write(writes, level)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def written(self, synced: bool = False) -> int:
        """How many outcomes are on record, or on disk."""
        last = max((n for n, (level, _) in enumerate(self.commits, 1) if level is Level.SYNCED), default=0)
        return sum(kinds.count(OUTCOME) for _, kinds in self.commits[: last if synced else None])


@pytest.fixture(autouse=True)
def _world() -> Iterator[None]:
    WORLD.reset()
    yield
    WORLD.reset()


def bench(folder: Path, body: str, budget: str, ledger: Ledger, **settings: Any) -> Bench:
    uses = ", ".join(f"skill:{name}" for name in sorted(set(re.findall(r'skill\("(\w+)"', body))))
    files = {**FILES, **agent("main", body, uses, "from tests.unit.world import WORLD", budget=budget)}
    return Bench(folder, files, cast(Store, ledger), **settings)


def chain(*skills: str) -> str:
    return "".join(f'await ctx.skill("{name}", {n})\n' for n, name in enumerate(skills))


def test_an_outcome_goes_in_one_commit_with_the_next_intent(tmp_path: Path) -> None:
    ledger = Ledger()
    bench(tmp_path, chain("pure", "look", "pure"), "{calls: 9}", ledger).run()
    kinds = [kinds for _, kinds in ledger.commits]
    assert kinds == [
        ["RunStarted"],
        ["StepStarted"],
        [OUTCOME, "StepStarted"],
        [OUTCOME, "StepStarted"],
        [OUTCOME],
        ["RunEnded"],
    ]


@pytest.mark.parametrize("skills", [("pure", "look", "pure"), ("look", "once", "pure"), ("paid", "free", "pure")])
def test_with_every_step_synced_no_act_begins_before_the_outcomes_before_it_are_on_disk(
    tmp_path: Path, skills: tuple[str, ...]
) -> None:
    ledger, seen = Ledger(), []

    def look(name: str, payload: Any, ctx: Any) -> None:
        seen.append(ledger.written(synced=True))
        if name == "paid":
            ctx.spent(usd=0)

    WORLD.on_act = look
    budget = "{usd: 1}" if "paid" in skills else "{calls: 9}"
    work = bench(tmp_path, chain(*skills), budget, ledger, durability="every_step")
    assert work.run().status is RunStatus.SUCCEEDED
    assert seen == [0, 1, 1 if "free" in skills else 2]
    assert work.kinds()[-1] == "RunEnded"


def test_an_act_without_an_intent_waits_for_what_is_owed(tmp_path: Path) -> None:
    ledger, seen = Ledger(), []

    def look(name: str, payload: Any, ctx: Any) -> None:
        seen.append((name, ledger.written()))
        if name == "paid":
            ctx.spent(usd=0)

    WORLD.on_act = look
    bench(tmp_path, chain("paid", "free"), "{usd: 1}", ledger).run()
    assert seen == [("paid", 0), ("free", 1)]


@pytest.mark.parametrize(
    ("name", "budget", "known"),
    [("pure", "{calls: 9}", 0), ("paid", "{calls: 9}", 1), ("once", "{calls: 9}", 1), ("paid", "{usd: 1}", 1)],
)
def test_what_was_paid_for_or_acted_is_written_before_the_program_goes_on(
    tmp_path: Path, name: str, budget: str, known: int
) -> None:
    ledger = Ledger()
    body = f'await ctx.skill("{name}", 1)\nreturn WORLD.ask(ctx)'
    work = bench(tmp_path, body, budget, ledger)
    WORLD.ask = lambda ctx: ledger.written()
    assert work.run().output == known


def test_an_outcome_stands_when_the_intent_beside_it_is_refused(tmp_path: Path) -> None:
    ledger = Ledger()
    work = bench(tmp_path, chain("pure", "look", "pure"), "{calls: 2}", ledger)
    result = work.run()
    assert result.error is not None
    assert (result.status, result.error.type) == (RunStatus.FAILED, "budget_exhausted")
    assert work.kinds() == ["RunStarted", *["StepStarted", OUTCOME] * 2, "StepFailed", "RunEnded"]
    assert len(WORLD.calls) == 2


def test_nothing_acts_after_a_commit_that_failed_and_the_lost_outcome_stays_charged(tmp_path: Path) -> None:
    broken = [True]

    def fail(kinds: list[str]) -> None:
        if kinds == [OUTCOME, "StepStarted"] and broken.pop():
            broken.append(False)
            raise StoreBroken("the disk is full")

    ledger = Ledger(fail)
    work = bench(tmp_path, chain("pure", "once"), "{calls: 9}", ledger)
    with pytest.raises(StoreBroken):
        work.run()
    assert [name for name, _ in WORLD.calls] == ["pure"]
    assert work.resume().status is RunStatus.SUCCEEDED
    assert [name for name, _ in WORLD.calls] == ["pure", "pure", "once"]
    assert work.step("pure#1").assumed
    (row,) = ledger.budgets(["r"])
    assert (row.reserved, row.spent) == (0, 3)


def test_who_races_is_told_when_it_is_on_record(tmp_path: Path) -> None:
    ledger, body = Ledger(), 'return await ctx.race(ctx.skill("pure", 1), ctx.skill("look", 2))'
    bench(tmp_path, body, "{calls: 9}", ledger).run()
    assert [OUTCOME, "StepStarted"] not in [kinds for _, kinds in ledger.commits]
