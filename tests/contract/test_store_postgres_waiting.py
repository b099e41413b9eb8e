"""Who waits for whom in Postgres: what touches a whole ledger comes to its end beside those who write."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest

from magsag.adapters.store.postgres.connection import connect
from magsag.adapters.store.postgres.store import PostgresStore
from magsag.adapters.store.postgres.target import target_of
from magsag.domain.ids import RunId
from magsag.ports.ledger import KeptBundle, Lease
from magsag.testing.moving_suite import LEAVING, LEFT
from magsag.testing.postgres import Cluster
from magsag.testing.sample_runs import RUN, append, begin, done, end

pytestmark = pytest.mark.needs("postgres")
_NOTE_PORTIONS = """
create table portions(n serial, runs text);
create function note() returns trigger language plpgsql as $$ begin
    insert into portions(runs) select string_agg(run, ' ' order by run) from gone;
    return null;
end $$;
create trigger note after delete on runs referencing old table as gone for each statement execute function note();
"""


def test_a_ledger_is_closed_beside_a_run_that_comes_to_rest(cluster: Cluster, dsn: str, tmp_path: Path) -> None:
    before = cluster.log().count("deadlock detected")
    with closing(PostgresStore(dsn, tmp_path)) as store, connect(target_of(dsn)) as writer:
        with writer.transaction():
            writer.execute("lock table runs in row exclusive mode")
            closer = meeting(dsn, lambda: store.set_closure(LEAVING, None))
            writer.execute("lock table leases in row exclusive mode")
        closer.result(30)
        assert store.closure() == LEAVING
    assert cluster.log().count("deadlock detected") == before


def test_a_ledger_is_closed_beside_a_vacuum_of_another_machine(cluster: Cluster, dsn: str, tmp_path: Path) -> None:
    before = cluster.log().count("deadlock detected")
    with closing(PostgresStore(dsn, tmp_path / "a")) as a, closing(PostgresStore(dsn, tmp_path / "b")) as b:
        end(a, begin(a), updated=5)
        with connect(target_of(dsn)) as reader:
            with reader.transaction():
                reader.execute("lock table approvals in share mode")
                vacuum = meeting(dsn, lambda: a.vacuum(20, dry_run=False))
                closer = meeting(dsn, lambda: b.set_closure(LEAVING, None), waiting=2)
            vacuum.result(30)
            closer.result(30)
    assert cluster.log().count("deadlock detected") == before


def test_a_writer_and_a_ledger_that_closes_may_wait_for_each_other(cluster: Cluster, dsn: str, tmp_path: Path) -> None:
    before = cluster.log().count("deadlock detected")
    with closing(PostgresStore(dsn, tmp_path)) as store, connect(target_of(dsn)) as writer:
        begin(store)
        store.release(Lease(RUN, store.owner(), 1))
        store.set_closure(LEAVING, None)
        with suppress(psycopg.errors.DeadlockDetected), writer.transaction():  # on a slow machine it ends the writer
            writer.execute("select from leases for update")
            closer = meeting(dsn, lambda: store.set_closure(LEFT, LEAVING))
            writer.execute("lock table runs in row exclusive mode")
        closer.result(30)
        assert store.closure() == LEFT
    assert cluster.log().count("deadlock detected") == before + 1


def test_a_vacuum_goes_in_portions_the_newest_trees_first(dsn: str, tmp_path: Path) -> None:
    with closing(PostgresStore(dsn, tmp_path)) as store, connect(target_of(dsn)) as server:
        server.execute(_NOTE_PORTIONS)
        for number in range(3):
            lease = begin(store, RunId(f"run{number}"), created=number)
            append(store, lease, *[done(f"step#{step}") for step in range(2500)], run=lease.root)
            end(store, lease, updated=5)
        removed = store.vacuum(20, dry_run=False)
        assert (removed.runs, removed.facts) == (3, 7506)
        assert server.execute("select runs from portions order by n").fetchall() == [("run1 run2",), ("run0",)]
        assert store.check() == []


def test_a_whole_ledger_may_take_longer_to_read_than_a_statement_may(dsn: str, tmp_path: Path) -> None:
    with closing(PostgresStore(dsn, tmp_path, patience_seconds=0.2)) as store, connect(target_of(dsn)) as server:
        store.put_bundle("bundle-1", b"catalog")
        server.execute("alter table bundles rename to kept")
        server.execute("create view bundles as select kept.* from kept, pg_sleep(1)")
        assert KeptBundle("bundle-1", b"catalog") in store.pieces()


def meeting(dsn: str, act: Callable[[], object], waiting: int = 1) -> Future[object]:
    """Begun in a thread, and standing before a lock by now, as one of so many."""
    pool = ThreadPoolExecutor(1)
    begun = pool.submit(act)
    pool.shutdown(wait=False)
    query = """select from pg_locks l join pg_class c on c.oid = l.relation
               where not l.granted and c.relnamespace = current_schema()::regnamespace"""
    with connect(target_of(dsn)) as watcher:
        while not begun.done() and len(watcher.execute(query.encode()).fetchall()) < waiting:
            pass
    return begun
