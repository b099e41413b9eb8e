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
from magsag.ports.ledger import Lease
from magsag.testing.moving_suite import LEAVING, LEFT
from magsag.testing.postgres import Cluster
from magsag.testing.sample_runs import RUN, begin, end

pytestmark = pytest.mark.needs("postgres")


def test_a_ledger_is_closed_beside_a_run_that_comes_to_rest(cluster: Cluster, dsn: str, tmp_path: Path) -> None:
    before = cluster.log().count("deadlock detected")
    with closing(PostgresStore(dsn, tmp_path)) as store, connect(target_of(dsn)) as writer:
        with writer.transaction():
            writer.execute("lock table runs in row exclusive mode")
            closer = meeting(dsn, lambda: store.stand(LEAVING, None))
            writer.execute("lock table leases in row exclusive mode")
        closer.result(30)
        assert store.standing() == LEAVING
    assert cluster.log().count("deadlock detected") == before


def test_a_ledger_is_closed_beside_a_vacuum_of_another_machine(cluster: Cluster, dsn: str, tmp_path: Path) -> None:
    before = cluster.log().count("deadlock detected")
    with closing(PostgresStore(dsn, tmp_path / "a")) as a, closing(PostgresStore(dsn, tmp_path / "b")) as b:
        end(a, begin(a), updated=5)
        with connect(target_of(dsn)) as reader:
            with reader.transaction():
                reader.execute("lock table approvals in share mode")
                vacuum = meeting(dsn, lambda: a.vacuum(20, dry_run=False))
                closer = meeting(dsn, lambda: b.stand(LEAVING, None), waiting=2)
            vacuum.result(30)
            closer.result(30)
    assert cluster.log().count("deadlock detected") == before


def test_a_writer_and_a_ledger_that_closes_may_wait_for_each_other(cluster: Cluster, dsn: str, tmp_path: Path) -> None:
    before = cluster.log().count("deadlock detected")
    with closing(PostgresStore(dsn, tmp_path)) as store, connect(target_of(dsn)) as writer:
        begin(store)
        store.release(Lease(RUN, store.owner(), 1))
        store.stand(LEAVING, None)
        with suppress(psycopg.errors.DeadlockDetected), writer.transaction():  # on a slow machine it ends the writer
            writer.execute("select from leases for update")
            closer = meeting(dsn, lambda: store.stand(LEFT, LEAVING))
            writer.execute("lock table runs in row exclusive mode")
        closer.result(30)
        assert store.standing() == LEFT
    assert cluster.log().count("deadlock detected") == before + 1


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
