"""Ledgers of other versions: older ones are copied and migrated, newer and foreign ones refused and left."""

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from magsag.adapters.store.migrations import State, migrate, state_of
from magsag.adapters.store.sqlite import SqliteStore, installed_version
from magsag.adapters.store.statements import Migration, migrations
from magsag.domain.errors import StoreBroken
from magsag.domain.facts import RunStatus
from magsag.ports.ledger import Fault, Lease, RunQuery
from magsag.testing.sample_runs import begin, end

LEDGERS = Path(__file__).parents[1] / "fixtures" / "ledgers"
NEXT = Migration(
    len(migrations()) + 1,
    "colours",
    "-- A comment.\ncreate table colours(\n    name text\n);\ninsert into colours values(';');\n",
)
BROKEN = Migration(len(migrations()) + 1, "broken", "create table half(a text);\ncreate nonsense;\n")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of this version with one ended run."""
    path = tmp_path / "ledger.db"
    with closing(SqliteStore(path, version=lambda: "0.1.0")) as store:
        end(store, begin(store))
    return path


def test_there_is_a_ledger_of_every_migration() -> None:
    assert [file.stem for file in sorted(LEDGERS.glob("*.db"))] == [f"{m.n:04}" for m in migrations()]


@pytest.mark.parametrize("name", [f"{m.n:04}" for m in migrations()])
def test_a_ledger_of_every_migration_opens_and_checks_clean(tmp_path: Path, name: str) -> None:
    shutil.copy(LEDGERS / f"{name}.db", tmp_path / "ledger.db")
    shutil.copy(LEDGERS / f"{name}.anchors.log", tmp_path / "anchors.log")
    with closing(SqliteStore(tmp_path / "ledger.db")) as store:
        assert [fault for fault in store.check() if not is_of_the_samples(fault)] == []
        assert {row.status for row in store.rows(RunQuery())} == set(RunStatus) - {RunStatus.PARTIAL}
        (parked,) = store.rows(RunQuery(status=RunStatus.PARKED))
        lease = store.acquire(parked.run, store.owner(), 60)
        assert isinstance(lease, Lease)
        end(store, lease)
        assert [fault for fault in store.check() if not is_of_the_samples(fault)] == []


def is_of_the_samples(fault: Fault) -> bool:
    """These ledgers hold made-up runs, whose rows know what no fact of theirs tells."""
    known = ("created at another time", "its row has parent", "no fact knows it", "whose acts did not")
    return any(what in fault.what for what in known)


def test_migrations_are_numbered_without_gaps() -> None:
    assert [migration.n for migration in migrations()] == list(range(1, len(migrations()) + 1))


def test_an_older_ledger_is_copied_and_migrated(path: Path) -> None:
    with closing(connect(path)) as connection:
        migrate(connection, path, (*migrations(), NEXT), lambda: "0.2.0")
        assert connection.execute("select name from colours").fetchall() == [(";",)]
        applied = connection.execute("select n, name, version from migrations").fetchall()
        assert applied == [(m.n, m.name, "0.1.0") for m in migrations()] + [(NEXT.n, "colours", "0.2.0")]
    with closing(connect(path.with_name(f"ledger.db.before-{NEXT.n}"))) as copy:
        assert state_of(copy, path, migrations()) is State.CURRENT
        assert copy.execute("select status from runs").fetchall() == [("succeeded",)]


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    with closing(connect(path)) as connection:
        with pytest.raises(sqlite3.Error):
            migrate(connection, path, (*migrations(), BROKEN), lambda: "0.2.0")
        assert state_of(connection, path, migrations()) is State.CURRENT
    with closing(SqliteStore(path)) as store:
        assert store.check() == []


def test_processes_that_migrate_at_once_do_it_once(path: Path) -> None:
    def work() -> None:
        with closing(connect(path)) as connection:
            migrate(connection, path, (*migrations(), NEXT), lambda: "0.2.0")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(connect(path)) as connection:
        assert connection.execute("select count(*) from colours").fetchone() == (1,)


def test_a_newer_ledger_is_refused_with_the_version_to_install(path: Path) -> None:
    with closing(connect(path)) as connection:
        migrate(connection, path, (*migrations(), NEXT), lambda: "7.8.9")
    before = path.read_bytes()
    with pytest.raises(StoreBroken, match=r"written by magsag 7\.8\.9 .* install magsag 7\.8\.9 or newer"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_ledger_shaped_by_another_migration_of_that_number_is_refused(path: Path) -> None:
    with closing(connect(path)) as connection:
        connection.execute("update migrations set checksum = 'other' where n = 1")
    before = path.read_bytes()
    with pytest.raises(StoreBroken, match="migration 1 is not the one that shaped this database"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_database_of_something_else_is_refused_and_left(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(connect(path)) as connection:
        connection.execute("create table customers(name text)")
    before = path.read_bytes()
    with pytest.raises(StoreBroken, match=r"not a MAGSAG ledger \(tables: customers\)"):
        SqliteStore(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.db"]


def test_the_migrations_table_of_something_else_is_no_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(connect(path)) as connection:
        connection.execute("create table migrations(id integer)")
    with pytest.raises(StoreBroken, match="not a MAGSAG ledger"):
        SqliteStore(path)


def test_the_version_on_record_is_the_installed_one(path: Path) -> None:
    assert installed_version()
    with closing(SqliteStore(path)) as store:
        assert store.describe()["written_by"] == "0.1.0"


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=10)
