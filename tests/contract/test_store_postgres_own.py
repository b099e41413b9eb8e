"""What a ledger in Postgres promises beyond every store: its schema, its versions, several machines, no password."""

import logging
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest

from magsag.adapters.store.anchors import LOCK_AT
from magsag.adapters.store.filelock import try_lock
from magsag.adapters.store.postgres import migrations
from magsag.adapters.store.postgres.connection import connect
from magsag.adapters.store.postgres.statements import functions
from magsag.adapters.store.postgres.statements import migrations as known_migrations
from magsag.adapters.store.postgres.statements import version as functions_version
from magsag.adapters.store.postgres.store import PostgresStore, is_there
from magsag.adapters.store.postgres.target import Target, target_of
from magsag.adapters.store.statements import Migration
from magsag.domain.errors import Invalid, StoreBroken
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.engine.chain import link
from magsag.ports.ledger import Declined, Lease, RunQuery, Write, Written
from magsag.testing.postgres import Cluster, private_cluster
from magsag.testing.sample_runs import RUN, WRITTEN, append, begin, done, end, new_run, park, started
from tests.contract.test_store_migrations import is_of_the_samples

pytestmark = pytest.mark.needs("postgres")
LEDGERS = Path(__file__).parents[1] / "fixtures" / "ledgers" / "postgres"
NEXT = Migration(len(known_migrations()) + 1, "colours", "create table colours(name text);\n")
BROKEN = Migration(len(known_migrations()) + 1, "broken", "create table half(a text);\ncreate nonsense;\n")
_WRITER = """
import sys
from pathlib import Path
from magsag.adapters.store.postgres.statements import version as functions_version
from magsag.adapters.store.postgres.store import PostgresStore
from magsag.testing.sample_runs import *
store, name = PostgresStore(sys.argv[1], Path(sys.argv[2])), sys.argv[3]
for number in range(50):
    append(store, None, done(f"{name}#{number}"), level=SYNCED if number % 20 == 0 else WRITTEN)
    end(store, begin(store, RunId(f"{name}-{number}")))
store.close()
"""


def test_writers_in_several_processes_extend_one_chain(dsn: str, tmp_path: Path) -> None:
    with closing(PostgresStore(dsn, tmp_path)) as store:
        lease = begin(store)
        command = [sys.executable, "-c", _WRITER, dsn, str(tmp_path)]
        writers = [subprocess.Popen([*command, name]) for name in ("one", "two")]
        for number in range(50):
            append(store, lease, done(f"here#{number}"))
        assert [writer.wait(60) for writer in writers] == [0, 0]
        assert [fact.seq for fact in store.read(RUN)] == list(range(1, 152))
        assert store.check() == []


def test_batches_that_touch_the_same_runs_in_any_order_all_succeed(dsn: str, tmp_path: Path) -> None:
    runs = [RunId(f"run{number}") for number in range(6)]
    with closing(PostgresStore(dsn, tmp_path)) as store:
        for run in runs:
            begin(store, run)

    def write(order: Sequence[RunId], name: str) -> None:
        with closing(PostgresStore(dsn, tmp_path)) as mine:
            for number in range(25):
                writes = [Write(run, run, [done(f"{name}#{number}"), done(f"{name}#{number}b")]) for run in order]
                assert all(isinstance(answer, Written) for answer in mine.write(writes, WRITTEN))

    at_once(lambda: write(runs, "up"), lambda: write(runs[::-1], "down"), lambda: write(runs[3:] + runs[:3], "across"))
    with closing(PostgresStore(dsn, tmp_path)) as store:
        assert {len(store.read(run)) for run in runs} == {151}
        assert store.check() == []


def test_of_those_who_create_one_run_at_once_one_wins(dsn: str, tmp_path: Path) -> None:
    answers: list[object] = []

    def create() -> None:
        with closing(PostgresStore(dsn, tmp_path)) as store:
            for number in range(10):
                run = RunId(f"run{number}")
                new = Write(run, run, [started()], create=new_run(run, store.owner()))
                answers.extend(store.write([new], WRITTEN))

    PostgresStore(dsn, tmp_path).close()
    at_once(create, create, create)
    assert sum(isinstance(answer, Written) for answer in answers) == 10
    assert answers.count(Declined("exists")) == 20


def test_processes_that_open_a_fresh_schema_at_once_all_succeed(dsn: str, tmp_path: Path) -> None:
    def use(name: str) -> None:
        with closing(PostgresStore(dsn, tmp_path)) as store:
            end(store, begin(store, RunId(name)))

    at_once(lambda: use("one"), lambda: use("two"), lambda: use("three"))
    with closing(PostgresStore(dsn, tmp_path)) as store:
        assert len(store.rows(RunQuery())) == 3
        assert store.check() == []


def test_two_ledgers_share_a_database(cluster: Cluster, tmp_path: Path) -> None:
    first, second = cluster.dsn("team_a"), cluster.dsn("team_b")
    assert not is_there(first)
    with closing(PostgresStore(first, tmp_path)) as a, closing(PostgresStore(second, tmp_path)) as b:
        begin(a)
        assert is_there(first)
        assert (len(a.rows(RunQuery())), b.rows(RunQuery())) == (1, [])
        assert a.describe()["anchors"] != b.describe()["anchors"]


@pytest.mark.parametrize("name", ["", "Team", "pg_mine", "a-b", "a" * 41, 'a"b'])
def test_a_schema_that_is_no_plain_word_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="is no name for a ledger"):
        target_of(f"postgresql://me@host/db?schema={name}")


def test_a_server_that_refuses_is_not_called_out_of_reach(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(StoreBroken, match=r"no such database .*createdb"):
        PostgresStore(f"postgresql://magsag@/nowhere?host={cluster.folder}", tmp_path)
    with pytest.raises(StoreBroken, match=r"does not let us in .*check user"):
        PostgresStore(f"postgresql://nobody@/postgres?host={cluster.folder}", tmp_path)


def test_a_port_that_is_none_is_a_wrong_question() -> None:
    for port in ("99999", "0", "many"):
        with pytest.raises(Invalid, match=f"port {port} is none"):
            target_of(f"postgresql://me@host:{port}/db")
    target_of("postgresql://me@one:5432,two:5433/db")


def test_a_user_who_does_not_own_the_schema_is_told_so(cluster: Cluster, dsn: str, tmp_path: Path) -> None:
    PostgresStore(dsn, tmp_path).close()
    schema = target_of(dsn).schema
    theirs = dsn.replace("//magsag@", "//stranger@")
    with psycopg.connect(cluster.plain_dsn(), autocommit=True) as server:
        server.execute("create role stranger login")
        try:
            with pytest.raises(StoreBroken, match=r"may not see them .*who owns the schema"):
                PostgresStore(theirs, tmp_path)
            server.execute(f"grant usage on schema {schema} to stranger".encode())
            with pytest.raises(StoreBroken, match=r"may not use it .*not enough"):
                PostgresStore(theirs, tmp_path)
            with pytest.raises(StoreBroken, match=r"may not use it .*grant create on database"):
                PostgresStore(theirs.replace(f"schema={schema}", "schema=fresh"), tmp_path)
        finally:
            server.execute("drop owned by stranger; drop role stranger")


def test_no_message_holds_the_password(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(StoreBroken) as caught:
        PostgresStore(f"postgresql://nobody:canary@/postgres?host={cluster.folder}", tmp_path)
    assert "canary" not in f"{caught.value}{caught.value.__cause__}"
    with pytest.raises(Invalid) as refused:
        target_of("postgresql://me:canary@[::1/db")
    assert "canary" not in str(refused.value)


def test_each_machine_vouches_for_what_it_brought_to_rest(dsn: str, tmp_path: Path) -> None:
    with closing(PostgresStore(dsn, tmp_path / "a")) as a, closing(PostgresStore(dsn, tmp_path / "b")) as b:
        end(a, begin(a, RunId("one")), updated=5)
        park(b, begin(b, RunId("two")), due=5)
        lease = a.acquire(RunId("two"), a.owner(), 60)
        assert isinstance(lease, Lease)
        end(a, lease, updated=5)
        assert (a.check(), b.check()) == ([], [])
        a.vacuum(20, dry_run=False)
        assert (a.check(), b.check()) == ([], [])
    with closing(PostgresStore(dsn, tmp_path / "b")) as b:
        end(b, begin(b, RunId("three")))  # pays what is owed: its file now says that `two` may be gone
        assert b.check() == []
        lines = Path(str(b.describe()["anchors"])).read_text()
        assert '"vacuumed":["two"]' in lines


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_row_of_the_ledger_does_not_undo_the_anchors(dsn: str, tmp_path: Path, is_deleted: bool) -> None:
    with closing(PostgresStore(dsn, tmp_path)) as store:
        end(store, begin(store, RUN))
        path = Path(str(store.describe()["anchors"]))
        copy = Path(shutil.copy(path, tmp_path / "copy.log"))
        with connect(target_of(dsn)) as other:
            other.execute("update anchored set vacuumed = true")
            if is_deleted:
                other.execute("delete from facts")
                other.execute("delete from runs")
            else:
                _rewrite(other)
        found = store.verify()
        assert found.anchors is not None
        assert (bool(found.faults), found.anchors.excused) == ((False, 1) if is_deleted else (True, 0))
        (fault,) = store.verify(copy=copy).faults
        said = "only a row of the ledger says" if is_deleted else "is not the one that was anchored"
        assert said in fault.what
    if not is_deleted:
        with closing(PostgresStore(dsn, tmp_path)) as store:
            end(store, begin(store, RunId("next")))
            assert '"vacuumed"' not in path.read_text()
            assert [fault.run for fault in store.check()] == [RUN]


def _rewrite(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """The run's last fact says something else, with digest, chain and row to match."""
    *_, before, last = connection.execute("select seq, body, head from facts order by seq").fetchall()
    body = last[1].replace(b'"at":', b'"at":9')
    digest = sha256(body).digest()
    head = link(before[2], digest)
    values = (body, digest, head, last[0])
    connection.execute("update facts set body = %s, digest = %s, head = %s where seq = %s", values)
    connection.execute("update runs set head = %s", (head,))


def test_runs_come_to_rest_while_a_stopped_process_keeps_the_anchors(
    dsn: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(PostgresStore(dsn, tmp_path, patience_seconds=0.3)) as store:
        anchors = Path(str(store.describe()["anchors"]))
        end(store, begin(store, RunId("one")))
        with anchors.open("ab") as other:
            assert try_lock(other.fileno(), LOCK_AT)
            with caplog.at_level(logging.WARNING):
                end(store, begin(store, RunId("two")))
                park(store, begin(store, RunId("three")), due=5)
            assert "another process keeps it locked" in caplog.text
        assert '"two"' not in anchors.read_text()
        end(store, begin(store, RunId("four")))
        assert '"two"' in anchors.read_text().splitlines()[-1]
        assert store.check() == []


def test_a_name_used_again_before_another_machine_heard_of_the_vacuum_says_what_to_do(dsn: str, tmp_path: Path) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    with (
        closing(PostgresStore(dsn, tmp_path / "here")) as here,
        closing(PostgresStore(dsn, tmp_path / "there")) as there,
    ):
        end(there, begin(there))
        end(there, begin(there, RunId("paid")))
        assert here.vacuum(1 << 60, dry_run=False).runs == 2
        end(here, begin(here), updated=99)
        assert here.check() == []
        (fault,) = there.check()
        assert fault.what.endswith("so this may be a new one: if it is, `magsag data accept` on this machine says so")
        assert there.accept("ann").keys() == {RUN}
        assert [there.check(), here.check()] == [[], []]


def test_a_machine_notices_what_was_changed_behind_its_back(dsn: str, tmp_path: Path) -> None:
    with closing(PostgresStore(dsn, tmp_path)) as store:
        end(store, begin(store, RunId("kept")))
        end(store, begin(store, RunId("gone")))
        with connect(target_of(dsn)) as other:
            other.execute("delete from facts where run = 'gone'")
            other.execute("delete from runs where run = 'gone'")
            other.execute("delete from anchored where run = 'kept'")
            other.execute("update facts set body = convert_to('{}', 'UTF8') where run = 'kept' and seq = 1")
        said = " ".join(fault.what for fault in store.check())
        assert "it was deleted" in said
        assert "the body does not match its digest" in said


def test_a_server_that_does_not_sync_is_refused(tmp_path: Path) -> None:
    with private_cluster() as cluster:
        cluster.stop()
        cluster.start(settings=["fsync=off"])
        with pytest.raises(StoreBroken, match="fsync off"):
            PostgresStore(cluster.dsn("one"), tmp_path)


def test_a_server_that_is_told_to_answer_before_its_sync_syncs_for_us(cluster: Cluster, dsn: str) -> None:
    PostgresStore(dsn, cluster.folder).close()
    with connect(target_of(dsn)) as other:
        other.execute("alter database postgres set synchronous_commit = off")
        try:
            with connect(target_of(dsn)) as later:
                assert later.execute("show synchronous_commit").fetchone() == ("on",)
        finally:
            other.execute("alter database postgres reset synchronous_commit")


def test_there_is_a_ledger_of_every_migration() -> None:
    assert [file.stem for file in sorted(LEDGERS.glob("*.sql"))] == [f"{m.n:04}" for m in known_migrations()]


@pytest.mark.parametrize("name", [f"{m.n:04}" for m in known_migrations()])
def test_a_ledger_of_every_migration_opens_and_checks_clean(dsn: str, tmp_path: Path, name: str) -> None:
    target = target_of(dsn)
    script = (LEDGERS / f"{name}.sql").read_text(encoding="utf-8").replace("ledger_of_old", target.schema)
    with connect(target) as connection:
        connection.execute(script.encode())
    with closing(PostgresStore(dsn, tmp_path)) as store:
        assert [fault for fault in store.check() if not is_of_the_samples(fault)] == []
        assert {row.status for row in store.rows(RunQuery())} == set(RunStatus) - {RunStatus.PARTIAL}
        (parked,) = store.rows(RunQuery(status=RunStatus.PARKED))
        lease = store.acquire(parked.run, store.owner(), 60)
        assert isinstance(lease, Lease)
        end(store, lease)
        assert [fault for fault in store.check() if not is_of_the_samples(fault)] == []


def test_a_newer_schema_is_refused_with_the_version_to_install(dsn: str, tmp_path: Path) -> None:
    migrated(dsn, tmp_path, NEXT, "7.8.9")
    with pytest.raises(StoreBroken, match=r"written by magsag 7\.8\.9 .* install magsag 7\.8\.9 or newer"):
        PostgresStore(dsn, tmp_path)


def test_an_older_schema_is_migrated_once_by_whoever_comes_first(dsn: str, tmp_path: Path) -> None:
    with closing(PostgresStore(dsn, tmp_path)) as store:
        end(store, begin(store))
    at_once(*[lambda: migrated(dsn, tmp_path, NEXT, "0.2.0")] * 3)
    with connect(target_of(dsn)) as connection:
        assert connection.execute("select count(*) from colours").fetchone() == (0,)
        assert connection.execute("select max(n) from migrations").fetchone() == (NEXT.n,)


def test_a_migration_that_fails_changes_nothing(dsn: str, tmp_path: Path) -> None:
    PostgresStore(dsn, tmp_path).close()
    with pytest.raises(psycopg.Error):
        migrated(dsn, tmp_path, BROKEN, "0.2.0")
    with closing(PostgresStore(dsn, tmp_path)) as store:
        end(store, begin(store))
        assert store.check() == []


def test_a_schema_shaped_by_another_migration_of_that_number_is_refused(dsn: str, tmp_path: Path) -> None:
    PostgresStore(dsn, tmp_path).close()
    with connect(target_of(dsn)) as connection:
        connection.execute("update migrations set checksum = 'other' where n = 1")
    with pytest.raises(StoreBroken, match="migration 1 is not the one that shaped this database"):
        PostgresStore(dsn, tmp_path)


def test_a_schema_of_something_else_is_refused_and_left(dsn: str, tmp_path: Path) -> None:
    target = target_of(dsn)
    with connect(target) as connection:
        connection.execute(f"create schema {target.schema}".encode())
        connection.execute("create table customers(name text)")
    with pytest.raises(StoreBroken, match=r"not a MAGSAG ledger \(tables: customers\)"):
        PostgresStore(dsn, tmp_path)


def test_functions_of_another_version_stand_beside_ours(dsn: str, tmp_path: Path) -> None:
    with closing(PostgresStore(dsn, tmp_path)) as store:
        begin(store)
        with connect(target_of(dsn)) as connection:
            connection.execute(functions().replace(functions_version(), "another").encode())
    with closing(PostgresStore(dsn, tmp_path)) as store:
        assert len(store.read(RUN)) == 1


def migrated(dsn: str, folder: Path, last: Migration, version: str) -> None:
    """Brought up to a version that does not exist yet."""
    target: Target = target_of(dsn)
    PostgresStore(dsn, folder).close() if not is_there(dsn) else None
    with connect(target) as connection:
        migrations.bring_up_to_date(connection, target, lambda: version, (*known_migrations(), last))


def at_once(*acts: object) -> None:
    """Each in a thread; what one raises fails the test."""
    errors: list[BaseException] = []

    def run(act: object) -> None:
        try:
            assert callable(act)
            act()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
