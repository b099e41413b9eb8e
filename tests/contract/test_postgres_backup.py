"""A ledger in Postgres that is backed up by `pg_dump`, and put back into another database."""

import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from magsag.adapters.store.postgres.store import PostgresStore
from magsag.domain.errors import Invalid, StoreBroken
from magsag.domain.ids import RunId
from magsag.ports.ledger import Lease
from magsag.testing.moving_suite import furnish
from magsag.testing.postgres import Cluster
from magsag.testing.sample_runs import begin, end, faults

pytestmark = pytest.mark.needs("postgres")


def test_what_was_backed_up_comes_back_with_its_anchors(cluster: Cluster, dsn: str, tmp_path: Path) -> None:
    copy = tmp_path / "copies" / "ledger.dump"
    with closing(PostgresStore(dsn, tmp_path)) as store:
        furnish(store)
        held = [list(store.read(RunId(row))) for row in ("ended", "parked")]
        said = store.backup(str(copy))
        end(store, begin(store, RunId("since")))
        own = Path(str(store.describe()["anchors"]))
    assert "pg_restore --exit-on-error --no-owner" in said
    beside = copy.with_name("ledger.dump.anchors.log")
    assert [path.stat().st_mode & 0o777 for path in (copy, beside)] == [0o600, 0o600]
    assert sorted(path.name for path in copy.parent.iterdir()) == ["ledger.dump", "ledger.dump.anchors.log"]
    with psycopg.connect(cluster.plain_dsn(), autocommit=True) as connection:
        connection.execute("drop database if exists put_back")
        connection.execute("create database put_back")
    other = dsn.replace("/postgres?", "/put_back?")
    target = cluster.plain_dsn().replace("/postgres?", "/put_back?")
    command = ["pg_restore", "--exit-on-error", "--no-owner", f"--dbname={target}", str(copy)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    there = tmp_path / "there"
    there.mkdir()
    shutil.copy(beside, there / own.name)
    with closing(PostgresStore(other, there)) as store:
        assert [list(store.read(RunId(row))) for row in ("ended", "parked")] == held
        assert store.row(RunId("since")) is None
        assert faults(store) == []
        assert isinstance(store.acquire(RunId("parked"), store.owner(), 60), Lease)


def test_what_is_there_is_left_alone_and_what_fails_leaves_nothing(
    cluster: Cluster, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(PostgresStore(dsn, tmp_path)) as store:
        begin(store)
        (tmp_path / "old").write_text("kept")
        with pytest.raises(Invalid, match="old exists; choose a new name"):
            store.backup(str(tmp_path / "old"))
        bin = tmp_path / "bin"
        bin.mkdir()
        (bin / "pg_dump").write_text("#!/bin/sh\necho 'server is newer' >&2\nexit 1\n")
        (bin / "pg_dump").chmod(0o700)
        monkeypatch.setenv("PATH", f"{bin}:/usr/bin:/bin")
        with pytest.raises(StoreBroken, match="pg_dump failed: server is newer; nothing was written"):
            store.backup(str(tmp_path / "new"))
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(Invalid, match="pg_dump, which is not on PATH here"):
            store.backup(str(tmp_path / "new"))
    assert (tmp_path / "old").read_text() == "kept"
    assert not list(tmp_path.glob("new*"))
