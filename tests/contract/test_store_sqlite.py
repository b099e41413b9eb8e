"""The store in SQLite keeps what every store promises, with several store objects on one file, and its own."""

import json
import logging
import re
import resource
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from magsag.adapters.store.searching import require_full_text
from magsag.adapters.store.sqlite import SqliteStore
from magsag.adapters.store.statements import statements
from magsag.domain.errors import Invalid
from magsag.domain.ids import RunId
from magsag.ports.ledger import Store
from magsag.testing.sample_runs import RUN, SYNCED, OpenStore, append, begin, done, end
from magsag.testing.store_suite import StoreSuite


class TestSqlite(StoreSuite):
    @pytest.fixture
    def open_store(self, tmp_path: Path, request: pytest.FixtureRequest) -> OpenStore:
        def opened() -> Store:
            store = SqliteStore(tmp_path / "ledger.db")
            request.addfinalizer(store.close)
            return store

        return opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def test_threads_share_one_store(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        lease = begin(store)

        def write(name: str) -> None:
            for number in range(50):
                append(store, lease, done(f"{name}#{number}"))
                store.renew(store.owner(), 60)
                store.read(RUN, after=number)
                end(store, begin(store, RunId(f"{name}-{number}")))

        threads = [threading.Thread(target=write, args=(f"thread{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.read(RUN)) == 201
        assert store.check() == []


def test_the_log_is_grown_once_many_syncs_make_it_pay(path: Path) -> None:
    log = path.with_name("ledger.db-wal")
    with closing(SqliteStore(path)) as store:
        lease = begin(store)
        for number in range(14):
            append(store, lease, done(f"a#{number}"), level=SYNCED)
        assert log.stat().st_size < 1 << 20
        for number in range(14, 20):
            append(store, lease, done(f"a#{number}"), level=SYNCED)
        assert log.stat().st_size >= 4 << 20
        assert store.check() == []


def test_a_ledger_opened_a_second_time_is_the_same(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        append(store, begin(store), done("a#1"))
        before = store.read(RUN)
    with closing(SqliteStore(path)) as store:
        assert store.read(RUN) == before


def test_an_anchor_that_cannot_be_written_is_owed_and_said(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The file is as large as this process may make one, so that the system refuses one byte more."""
    anchors = path.with_name("anchors.log")
    limits, most = resource.getrlimit(resource.RLIMIT_FSIZE), 8 << 20
    anchors.write_bytes(b" " * (most - 1) + b"\n")
    with closing(SqliteStore(path)) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
        try:
            with caplog.at_level(logging.WARNING):
                end(store, begin(store, RunId("first")))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert "an anchor could not be written" in caplog.text
        anchors.unlink()
        end(store, begin(store, RunId("second")))
        assert {run for run, _, _ in json.loads(anchors.read_text())["runs"]} == {"first", "second"}
        assert store.check() == []


def test_a_vacuum_gives_space_back(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        lease = begin(store)
        append(store, lease, *(done(f"a#{number}", "x" * 5000) for number in range(400)))
        end(store, lease)
        before = store.describe()["bytes"]
        store.vacuum(100, dry_run=False)
        after = store.describe()["bytes"]
        assert isinstance(before, int)
        assert isinstance(after, int)
        assert after < before / 10


def test_a_vacuum_beside_somebody_who_reads_removes_all_the_same(path: Path) -> None:
    with closing(SqliteStore(path, patience_seconds=0.1)) as store, closing(sqlite3.connect(path)) as reader:
        end(store, begin(store))
        reader.execute("begin")
        reader.execute("select * from runs").fetchall()
        assert store.vacuum(100, dry_run=False).runs == 1
        assert store.row(RUN) is None


def test_words_of_a_vacuumed_run_are_not_found(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        end(store, begin(store))
        assert store.search("hello", 10) != []
        store.vacuum(100, dry_run=False)
        assert store.search("hello", 10) == []
        append(store, begin(store, RunId("next")), done("a#1", "fresh"), run=RunId("next"))
        assert [hit.run for hit in store.search("fresh", 10)] == ["next"]


def test_words_of_a_payload_that_is_gone_are_not_found(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        begin(store)
        assert store.search("hello", 10) != []
        with closing(sqlite3.connect(path)) as other:
            other.execute("update facts set input = null, salt = null")
            other.execute(
                "delete from search_index where rowid in (select id from facts where run = ? and seq = 1)", (RUN,)
            )
            other.commit()
        assert store.search("hello", 10) == []
        assert store.search("greeter", 10) != []


def test_a_sqlite_without_full_text_search_is_named() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        require_full_text(connection)
        with pytest.raises(Invalid, match="search needs the fts9 module"):
            require_full_text(connection, "fts9")


def test_every_statement_is_valid_on_the_schema(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.search("anything", 1)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statements()["vacuum_begin"])
        for name, statement in statements().items():
            if name != "make_search_index":
                connection.execute(f"explain {statement}", _parameters(statement))


def _parameters(statement: str) -> dict[str, None] | tuple[None, ...]:
    names = re.findall(r":([a-z_]+)", statement)
    return dict.fromkeys(names) if names else (None,) * statement.count("?")


def test_ended_runs_of_a_program_are_found_by_their_index(path: Path) -> None:
    with closing(SqliteStore(path)), closing(sqlite3.connect(path)) as connection:
        asked = {"program": "agent:a", "since": 0, "limit": 5}
        plan = connection.execute(f"explain query plan {statements()['ended_runs']}", asked).fetchall()
    said = [row[-1] for row in plan]
    assert "runs_by_program" in said[0]
    assert not any("SCAN" in one or "TEMP B-TREE" in one for one in said)
