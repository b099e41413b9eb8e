"""Two writers reserve and settle in any order; a few lines of model know what budgets must say."""

import tempfile
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from magsag.adapters.store.memory import MemoryStore
from magsag.adapters.store.postgres.store import PostgresStore
from magsag.adapters.store.sqlite import SqliteStore
from magsag.domain.approval import Proof
from magsag.domain.budget import Budget, Cap, Reserve, Settle
from magsag.domain.effects import Level
from magsag.domain.ids import RunId, StepId
from magsag.ports.ledger import Declined, Store, Write, Written
from magsag.testing import leaky, spendthrift
from magsag.testing.postgres import Cluster
from magsag.testing.sample_runs import new_run, started

RUNS = (RunId("one"), RunId("two"))
WRITERS = st.integers(0, 1)
STEPS = st.sampled_from(["a#1", "b#1", "c#1"])
AMOUNTS = st.integers(0, 40)
ALL = Budget("organisation/usd", "organisation", "usd", None)
OWN = {run: Budget(f"run/{run}/usd", "run", "usd", 60, run) for run in RUNS}
BUDGETS = (ALL, *OWN.values())


class TwoSpenders(RuleBasedStateMachine):
    """Each step takes from its run's budget and from the one that all share."""

    @abstractmethod
    def open_stores(self) -> tuple[Store, Store]:
        """Two writers on the same data."""

    def __init__(self) -> None:
        super().__init__()
        self.stores = self.open_stores()
        self.held: dict[tuple[RunId, str], int] = {}
        self.spent: Counter[str] = Counter()
        self.cap = 80
        self.caps = 1

    @initialize()
    def begin(self) -> None:
        self.stores[0].set_cap(Cap(1, "organisation", "usd", self.cap, 1, "ann", Proof.OS_USER, "", ""))
        for run in RUNS:
            self.stores[0].write([Write(run, run, [started()], create=new_run(run, None))], Level.WRITTEN)

    @rule(writer=WRITERS, asked=st.lists(st.tuples(st.sampled_from(RUNS), STEPS, AMOUNTS), min_size=1, max_size=4))
    def reserve(self, writer: int, asked: list[tuple[RunId, str, int]]) -> None:
        """Several writes of one commit: each is decided after those before it."""
        new = {(run, step): amount for run, step, amount in asked if (run, step) not in self.held}
        writes = [
            Write(run, run, [], reserves=[Reserve(StepId(step), budget, amount) for budget in (OWN[run], ALL)])
            for (run, step), amount in new.items()
        ]
        answers = self.stores[writer].write(writes, Level.WRITTEN) if writes else []
        for ((run, step), amount), answer in zip(new.items(), answers, strict=True):
            fits = self.used(OWN[run]) + amount <= 60 and self.used(ALL) + amount <= self.cap
            assert isinstance(answer, Written if fits else Declined)
            if fits:
                self.held[run, step] = amount

    @rule(writer=WRITERS, run=st.sampled_from(RUNS), step=STEPS, part=st.integers(0, 4))
    def settle(self, writer: int, run: RunId, step: str, part: int) -> None:
        """From nothing (released) to all of it; of a step that holds nothing back nothing comes."""
        held = self.held.pop((run, step), None)
        spent = (held or 7) * part // 4
        back = [Settle(StepId(step), budget.id, spent) for budget in (OWN[run], ALL)]
        assert isinstance(self.stores[writer].write([Write(run, run, [], settles=back)], Level.WRITTEN)[0], Written)
        if held is not None:
            self.spent.update({OWN[run].id: spent, ALL.id: spent})

    @rule(writer=WRITERS, cap=st.integers(0, 120))
    def set_cap(self, writer: int, cap: int) -> None:
        self.caps, self.cap = self.caps + 1, cap
        made = Cap(self.caps, "organisation", "usd", cap, 1, "ann", Proof.OS_USER, "", "")
        assert self.stores[writer].set_cap(made)

    def used(self, budget: Budget) -> int:
        return self.spent[budget.id] + self.reserved(budget)

    def reserved(self, budget: Budget) -> int:
        return sum(amount for (run, _), amount in self.held.items() if budget.run in (None, run))

    @invariant()
    def budgets_are_those_of_the_model(self) -> None:
        said = {budget.id: (self.reserved(budget), self.spent[budget.id]) for budget in BUDGETS}
        for store in self.stores:
            rows = {row.id: (row.reserved, row.spent) for row in store.budgets(RUNS)}
            assert rows == {id: amounts for id, amounts in said.items() if any(amounts)}
            held = {(one.run, one.step): one.amount for one in store.reservations() if one.budget == ALL.id}
            assert held == self.held

    def teardown(self) -> None:
        for store in self.stores:
            store.close()


class MemorySpenders(TwoSpenders):
    def open_stores(self) -> tuple[Store, Store]:
        store = MemoryStore()
        return store, store


class SqliteSpenders(TwoSpenders):
    def open_stores(self) -> tuple[Store, Store]:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "ledger.db"
        return SqliteStore(path), SqliteStore(path)

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


class PostgresSpenders(TwoSpenders):
    cluster: ClassVar[Cluster]
    schemas: ClassVar[Iterator[int]] = count()

    def open_stores(self) -> tuple[Store, Store]:
        self.folder = tempfile.TemporaryDirectory()
        dsn = self.cluster.dsn(f"budgets_{next(self.schemas)}")
        return PostgresStore(dsn, Path(self.folder.name)), PostgresStore(dsn, Path(self.folder.name))

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


class SpendthriftSpenders(TwoSpenders):
    def open_stores(self) -> tuple[Store, Store]:
        store = spendthrift(MemoryStore())
        return store, store


class LeakySpenders(TwoSpenders):
    def open_stores(self) -> tuple[Store, Store]:
        store = leaky(MemoryStore())
        return store, store


def test_memory_does_what_the_model_says() -> None:
    run_state_machine_as_test(MemorySpenders)


def test_sqlite_does_what_the_model_says() -> None:
    few = settings(max_examples=max(20, settings().max_examples // 4), stateful_step_count=30)
    run_state_machine_as_test(SqliteSpenders, settings=few)


@pytest.mark.needs("postgres")
def test_postgres_does_what_the_model_says(cluster: Cluster) -> None:
    PostgresSpenders.cluster = cluster
    few = settings(max_examples=max(5, settings().max_examples // 20), stateful_step_count=30)
    run_state_machine_as_test(PostgresSpenders, settings=few)


@pytest.mark.parametrize("broken", [SpendthriftSpenders, LeakySpenders])
def test_the_model_notices_a_store_that_keeps_no_budget(broken: type[TwoSpenders]) -> None:
    with pytest.raises((AssertionError, ExceptionGroup)):
        run_state_machine_as_test(broken, settings=settings(phases=[Phase.generate], database=None))
