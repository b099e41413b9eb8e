"""Disks that fail, files that are not ours, folders without rights: a clear error, nothing torn, nothing lost."""

import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from magsag.adapters.store.anchors import LOCK_AT
from magsag.adapters.store.failures import broken
from magsag.adapters.store.filelock import try_lock
from magsag.adapters.store.pragmas import set_up
from magsag.adapters.store.sqlite import SqliteStore
from magsag.domain.errors import Invalid, StoreBroken
from magsag.domain.ids import RunId
from magsag.ports.ledger import RunQuery
from magsag.testing.sample_runs import RUN, SYNCED, WRITTEN, append, begin, done, end

SCRIPT = """
import os, sys
from pathlib import Path
from magsag.adapters.store.failures import broken
from magsag.adapters.store.pragmas import set_up
from magsag.adapters.store.sqlite import SqliteStore
from magsag.domain.errors import StoreBroken
from magsag.testing.sample_runs import *

TRIES = int(sys.argv[2])

def insist(act):
    for attempt in range(TRIES):
        try:
            return act()
        except StoreBroken as error:
            print("broken:", error, flush=True)
    os._exit(4)

store = insist(lambda: SqliteStore(Path(sys.argv[1])))
lease = insist(lambda: begin(store))
print("begun", flush=True)
for number in range(4):
    insist(lambda: append(store, lease, done(f"step#{number}", "x" * 3000), level=SYNCED))
    print("kept", flush=True)
insist(lambda: end(store, lease))
print("ended", flush=True)
os._exit(0)
"""
SYNCS = 16
"""more than the script makes"""
WHOLE = ["begun", *["kept"] * 4, "ended"]


@pytest.mark.needs("strace")
@pytest.mark.parametrize("number", range(1, SYNCS))
def test_a_sync_that_fails_once_is_named_and_the_same_store_goes_on(tmp_path: Path, number: int) -> None:
    lines = run_failing(tmp_path, f"fsync,fdatasync:error=EIO:when={number}", tries=2)
    assert [line for line in lines if not line.startswith("broken:")] == WHOLE
    assert all("the disk failed or is full (disk I/O error, SQLITE_IOERR" in line for line in lines if "broken" in line)
    kinds = kinds_after(tmp_path)
    assert kinds == ["RunStarted", *["StepDone"] * 4, "RunEnded"]


@pytest.mark.needs("strace")
@pytest.mark.parametrize("number", [1, 4, 7, 9, 11])
def test_a_disk_that_fails_for_good_loses_nothing_acknowledged(tmp_path: Path, number: int) -> None:
    lines = run_failing(tmp_path, f"fsync,fdatasync:error=EIO:when={number}+", tries=1)
    assert_kept_what_was_acknowledged(tmp_path, lines)


@pytest.mark.needs("strace")
@pytest.mark.parametrize("number", [1, 3, 10, 20, 30, 40])
def test_a_full_disk_loses_nothing_acknowledged(tmp_path: Path, number: int) -> None:
    lines = run_failing(tmp_path, f"pwrite64:error=ENOSPC:when={number}+", tries=1)
    assert_kept_what_was_acknowledged(tmp_path, lines)
    assert "is full" in lines[-1]
    assert "space" in lines[-1]


@pytest.mark.parametrize("size", [0, 4096, 16_384, 60_000, 90_000, 110_000])
def test_a_limit_on_file_sizes_loses_nothing_acknowledged(tmp_path: Path, size: int) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    lines = run_script([], tmp_path, tries=1, before=limit)
    assert lines[-1].startswith("broken:")
    assert str(tmp_path) in lines[-1]
    assert_kept_what_was_acknowledged(tmp_path, lines)


def test_the_script_of_these_tests_works_on_a_good_disk(tmp_path: Path) -> None:
    assert run_script([], tmp_path, tries=1) == WHOLE
    assert len(kinds_after(tmp_path)) == 6


@pytest.mark.needs("strace")
def test_a_synced_write_in_a_warm_log_is_one_sync_and_a_written_one_none(tmp_path: Path) -> None:
    assert syncs(tmp_path, "SYNCED", 12) - syncs(tmp_path, "SYNCED", 2) == 10
    assert syncs(tmp_path, "WRITTEN", 12) == syncs(tmp_path, "WRITTEN", 2)


def test_a_call_without_facts_syncs_what_was_written_before(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "ledger.db")) as store:
        append(store, begin(store), done("a#1"), level=WRITTEN)
        store.write([], SYNCED)
        assert len(store.read(RUN)) == 2


@pytest.mark.parametrize("content", [b"no database at all, just some text" * 40, b"SQLite format 3\0" + b"\0" * 500])
def test_a_file_that_is_no_database_is_refused_and_left(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    with pytest.raises(StoreBroken, match=r"ledger\.db: it is (no SQLite database|damaged)"):
        SqliteStore(path)
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.db"]


def test_a_half_written_ledger_is_refused_and_left(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(SqliteStore(path)) as store:
        append(store, begin(store), *(done(f"step#{number}") for number in range(200)))
    content = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(content)
    with pytest.raises(StoreBroken, match="it is damaged"):
        SqliteStore(path)
    assert path.read_bytes() == content


def test_an_empty_file_becomes_a_ledger(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").touch()
    with closing(SqliteStore(tmp_path / "ledger.db")) as store:
        end(store, begin(store))
        assert store.check() == []


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreBroken, match="it cannot be opened"):
        SqliteStore(tmp_path)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreBroken, match="check the rights of the file and its folder"):
        SqliteStore(tmp_path / "file" / "ledger.db")


@pytest.mark.needs("setpriv")
@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_folder_without_rights_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=mode)
    bounded = ["setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search"]
    lines = run_script(bounded if os.geteuid() == 0 else [], folder, tries=1)
    assert len(lines) == 1
    assert f"broken: {folder}/ledger.db: it cannot be opened" in lines[0]
    assert "you may write there" in lines[0]


def test_a_ledger_that_another_process_keeps_locked_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    patient = SqliteStore(path, patience_seconds=0.1)
    with closing(patient) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        lease = begin(store)
        other.execute("begin immediate")
        with pytest.raises(StoreBroken, match="another process kept it locked"):
            append(store, lease, done("a#1"))
        other.execute("rollback")
        append(store, lease, done("a#1"))
        assert store.check() == []


def test_a_ledger_deleted_under_a_run_is_noticed_before_the_run_ends(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(SqliteStore(path)) as store:
        lease = begin(store)
        path.unlink()
        with pytest.raises(StoreBroken, match="moved or deleted while it was in use"):
            end(store, lease)


def test_anchors_that_another_process_keeps_are_given_up(tmp_path: Path) -> None:
    """It may have been stopped: nothing is committed, the reader is told, and it goes on once they are free."""
    with closing(SqliteStore(tmp_path / "ledger.db", patience_seconds=0.1)) as store:
        lease = begin(store)
        with (tmp_path / "anchors.log").open("ab") as other:
            assert try_lock(other.fileno(), LOCK_AT)
            with pytest.raises(StoreBroken, match=r"anchors\.log: another process kept it locked; see who"):
                end(store, lease)
            assert len(store.read(RUN)) == 1
        end(store, lease)
        assert store.check() == []


def test_anchors_that_cannot_be_written_stop_the_commit(tmp_path: Path) -> None:
    (tmp_path / "anchors.log").mkdir()
    with closing(SqliteStore(tmp_path / "ledger.db")) as store:
        lease = begin(store)
        with pytest.raises(StoreBroken, match=r"anchors\.log"):
            end(store, lease)
        assert len(store.read(RUN)) == 1


def test_an_answer_other_than_the_one_asked_for_is_refused() -> None:
    with closing(sqlite3.connect(":memory:")) as connection, pytest.raises(StoreBroken, match="journal_mode = memory"):
        set_up(connection, Path("ledger.db"), patience_seconds=1)


def test_a_ledger_that_somebody_reads_without_a_log_is_named_as_locked(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    SqliteStore(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("pragma journal_mode = delete")
        other.execute("begin")
        other.execute("select * from runs").fetchall()
        with closing(sqlite3.connect(path, timeout=0.1)) as mine, pytest.raises(sqlite3.OperationalError) as caught:
            set_up(mine, path, patience_seconds=0.1)
    assert "another process kept it locked" in str(broken(path, caught.value))


def test_a_backup_does_not_replace_a_file(tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("mine")
    with closing(SqliteStore(tmp_path / "ledger.db")) as store, pytest.raises(Invalid, match="choose a new name"):
        store.backup(str(tmp_path / "copy.db"))
    assert (tmp_path / "copy.db").read_text() == "mine"


def test_a_backup_to_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with closing(SqliteStore(tmp_path / "ledger.db")) as store, pytest.raises(StoreBroken, match="check the rights"):
        store.backup(str(tmp_path / "file" / "copy.db"))


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "ledger.db")
    store.close()
    with pytest.raises(StoreBroken, match="closed"):
        store.rows(RunQuery())


def run_failing(folder: Path, injection: str, tries: int) -> list[str]:
    traced = injection.partition(":")[0]
    strace = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={traced}", "-e", f"inject={injection}"]
    return run_script(strace, folder, tries)


def run_script(prefix: Sequence[str], folder: Path, tries: int, before: object = None) -> list[str]:
    command = [*prefix, sys.executable, "-c", SCRIPT, str(folder / "ledger.db"), str(tries)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=before)  # type: ignore[call-overload]
    assert told.returncode in (0, 4), told.stderr
    lines: list[str] = told.stdout.splitlines()
    return lines


def assert_kept_what_was_acknowledged(folder: Path, lines: list[str]) -> None:
    """At most the one write that failed may have reached the disk after all."""
    acknowledged = sum(not line.startswith("broken:") for line in lines)
    assert acknowledged < len(WHOLE)
    assert acknowledged <= len(kinds_after(folder)) <= acknowledged + 1


def kinds_after(folder: Path) -> list[str]:
    """What another process finds later, on a good disk."""
    with closing(SqliteStore(folder / "ledger.db")) as store:
        assert store.check() == []
        return [fact.kind for fact in store.read(RunId(RUN))]


def syncs(folder: Path, level: str, writes: int) -> int:
    """How many syncs a process makes that writes so many times."""
    name = f"{level}{writes}"
    code = f"""
from pathlib import Path
from magsag.adapters.store.failures import broken
from magsag.adapters.store.pragmas import set_up
from magsag.adapters.store.sqlite import SqliteStore
from magsag.testing.sample_runs import *
store = SqliteStore(Path({str(folder / name)!r}))
lease = begin(store)
for number in range({writes}):
    append(store, lease, done(str(number)), level={level})
"""
    trace = folder / f"{name}.trace"
    strace = ["strace", "-f", "-qq", "-o", str(trace), "-e", "trace=fsync,fdatasync"]
    subprocess.run([*strace, sys.executable, "-c", code], check=True)
    return trace.read_text().count("sync(")
