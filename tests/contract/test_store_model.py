"""Two writers do anything in any order; a dozen lines of model know what must come of it."""

import tempfile
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from magsag.adapters.store.memory import MemoryStore
from magsag.adapters.store.postgres.store import PostgresStore
from magsag.adapters.store.sqlite import SqliteStore
from magsag.domain.effects import Level
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.ports.ledger import Change, Declined, Lease, Occupied, RunQuery, Store, Write, Written
from magsag.testing.forgetful import forgetful
from magsag.testing.postgres import Cluster
from magsag.testing.sample_runs import done, ended, new_run, started

RUNS = st.sampled_from([RunId("one"), RunId("two"), RunId("three")])
WRITERS = st.integers(0, 1)
OWNERS = ("machine-a:1:x", "machine-b:1:y")
LEVELS = st.sampled_from([Level.WRITTEN, Level.SYNCED])


@dataclass
class Expected:
    """What a run must look like."""

    holder: str
    fence: int = 1
    status: RunStatus = RunStatus.RUNNING
    digests: list[bytes] = field(default_factory=list)


class TwoWriters(RuleBasedStateMachine):
    """Leases here never end by time, so that the model needs no clock."""

    @abstractmethod
    def open_stores(self) -> tuple[Store, Store]:
        """Two writers on the same data."""

    def __init__(self) -> None:
        super().__init__()
        self.stores = self.open_stores()
        self.expected: dict[RunId, Expected] = {}
        self.names = count()

    @rule(run=RUNS, writer=WRITERS, level=LEVELS)
    def create(self, run: RunId, writer: int, level: Level) -> None:
        fact = started()
        new = new_run(run, OWNERS[writer], seconds=3600)
        (answer,) = self.stores[writer].write([Write(run, run, [fact], create=new)], level)
        if run in self.expected:
            assert answer == Declined("exists")
        else:
            assert isinstance(answer, Written)
            self.expected[run] = Expected(OWNERS[writer], digests=[fact.digest])

    @rule(writer=WRITERS, level=LEVELS, items=st.lists(st.tuples(RUNS, WRITERS, st.integers(0, 3), st.integers(0, 3))))
    def append(self, writer: int, level: Level, items: list[tuple[RunId, int, int, int]]) -> None:
        writes = [self._write(*item) for item in items]
        for item, answer in zip(writes, self.stores[writer].write(writes, level), strict=True):
            self._expect(item, answer)

    def _write(self, run: RunId, owner: int, fence: int, facts: int) -> Write:
        """Fence 0 stands for a write without a lease."""
        lease = Lease(run, OWNERS[owner], fence) if fence else None
        return Write(run, run, [done(f"step#{next(self.names)}") for _ in range(facts)], lease)

    def _expect(self, item: Write, answer: Written | Declined) -> None:
        found = self.expected.get(item.run)
        if item.lease and (found is None or (found.holder, found.fence) != (item.lease.owner, item.lease.fence)):
            assert answer == Declined("lease")
        elif found is None:
            assert answer == Declined("unknown")
        else:
            found.digests += [fact.digest for fact in item.facts]
            assert isinstance(answer, Written)
            assert answer.seq == len(found.digests)

    @rule(run=RUNS, writer=WRITERS)
    def acquire(self, run: RunId, writer: int) -> None:
        if (found := self.expected.get(run)) is None:
            return
        answer = self.stores[writer].acquire(run, OWNERS[writer], 3600)
        if found.holder not in ("", OWNERS[writer]):
            assert isinstance(answer, Occupied)
            return
        if found.holder == "":
            found.holder, found.fence = OWNERS[writer], found.fence + 1
        assert answer == Lease(run, found.holder, found.fence)

    @rule(run=RUNS, writer=WRITERS, fence=st.integers(1, 3))
    def release(self, run: RunId, writer: int, fence: int) -> None:
        self.stores[writer].release(Lease(run, OWNERS[writer], fence))
        found = self.expected.get(run)
        if found is not None and (found.holder, found.fence) == (OWNERS[writer], fence):
            found.holder = ""

    @rule(run=RUNS, writer=WRITERS, level=LEVELS)
    def end(self, run: RunId, writer: int, level: Level) -> None:
        found = self.expected.get(run)
        if found is None or found.status is not RunStatus.RUNNING or not found.holder:
            return
        lease, fact = Lease(run, found.holder, found.fence), ended()
        change = Change(RunStatus.SUCCEEDED, updated=5)
        self.stores[writer].write([Write(run, run, [fact], lease, change=change, release=True)], level)
        found.digests.append(fact.digest)
        found.status, found.holder = RunStatus.SUCCEEDED, ""

    @rule(writer=WRITERS)
    def vacuum(self, writer: int) -> None:
        gone = [run for run, found in self.expected.items() if found.status is RunStatus.SUCCEEDED]
        assert self.stores[writer].vacuum(100, dry_run=False).runs == len(gone)
        for run in gone:
            del self.expected[run]

    @invariant()
    def facts_are_those_of_the_model(self) -> None:
        for run, found in self.expected.items():
            for store in self.stores:
                assert [fact.digest for fact in store.read(run)] == found.digests
                row = store.row(run)
                assert row is not None
                assert (row.status, row.seq) == (found.status, len(found.digests))
        assert {row.run for row in self.stores[0].rows(RunQuery())} == set(self.expected)

    def teardown(self) -> None:
        assert self.stores[0].check() == []
        for store in self.stores:
            store.close()


class MemoryWriters(TwoWriters):
    def open_stores(self) -> tuple[Store, Store]:
        store = MemoryStore()
        return store, store


class SqliteWriters(TwoWriters):
    def open_stores(self) -> tuple[Store, Store]:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "ledger.db"
        return SqliteStore(path), SqliteStore(path)

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


class PostgresWriters(TwoWriters):
    cluster: ClassVar[Cluster]
    schemas: ClassVar[Iterator[int]] = count()

    def open_stores(self) -> tuple[Store, Store]:
        self.folder = tempfile.TemporaryDirectory()
        dsn = self.cluster.dsn(f"model_{next(self.schemas)}")
        return PostgresStore(dsn, Path(self.folder.name)), PostgresStore(dsn, Path(self.folder.name))

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


class ForgetfulWriters(TwoWriters):
    def open_stores(self) -> tuple[Store, Store]:
        store = forgetful(MemoryStore(), frozenset({"StepDone"}))
        return store, store


def test_memory_does_what_the_model_says() -> None:
    run_state_machine_as_test(MemoryWriters)


def test_sqlite_does_what_the_model_says() -> None:
    run_state_machine_as_test(SqliteWriters)


@pytest.mark.needs("postgres")
def test_postgres_does_what_the_model_says(cluster: Cluster) -> None:
    PostgresWriters.cluster = cluster
    few = settings(max_examples=max(6, settings().max_examples // 10), stateful_step_count=30)
    run_state_machine_as_test(PostgresWriters, settings=few)


def test_the_model_notices_a_store_that_forgets() -> None:
    with pytest.raises((AssertionError, ExceptionGroup)):
        run_state_machine_as_test(ForgetfulWriters, settings=settings(phases=[Phase.generate], database=None))
