"""Several processes on one ledger, and processes that are killed."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from magsag.adapters.store.processlock import ProcessLock
from magsag.adapters.store.sqlite import SqliteStore
from magsag.domain.ids import RunId
from magsag.ports.ledger import Lease, Occupied, RunQuery, Write
from magsag.testing.sample_runs import RUN, SYNCED, append, begin, done

_PRELUDE = """
import sys, time
from pathlib import Path
from magsag.adapters.store.sqlite import SqliteStore
from magsag.testing.sample_runs import *
path, name = Path(sys.argv[1]), sys.argv[2]
store = SqliteStore(path)
"""
_HOLDER = """
lease = begin(store, RunId(name))
append(store, lease, done("written#1"), run=RunId(name))
print("ready", flush=True)
time.sleep(60)
"""
_WRITER = """
for number in range(200):
    level = SYNCED if number % 20 == 0 else WRITTEN
    append(store, None, done(f"{name}#{number}"), level=level)
"""
_CREATOR = """
end(store, begin(store, RunId(name)))
store.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that drives the run `held`."""
    process = child(path, _HOLDER, "held")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def test_writers_in_several_processes_extend_one_chain(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        lease = begin(store)
        writers = [child(path, _WRITER, name) for name in ("one", "two")]
        for number in range(100):
            append(store, lease, done(f"here#{number}"))
        for writer in writers:
            finish(writer)
        assert [fact.seq for fact in store.read(RUN)] == list(range(1, 502))
        assert store.check() == []


def test_processes_that_open_a_fresh_ledger_at_once_all_succeed(path: Path) -> None:
    creators = [child(path, _CREATOR, f"run{number}") for number in range(6)]
    for creator in creators:
        finish(creator)
    with closing(SqliteStore(path)) as store:
        assert len(store.rows(RunQuery())) == 6
        assert store.check() == []


def test_a_lease_of_a_living_process_is_respected(path: Path, holder: subprocess.Popen[str]) -> None:
    with closing(SqliteStore(path)) as store:
        assert isinstance(store.acquire(RunId("held"), store.owner(), 60), Occupied)
        assert store.due(0, 10) == []


def test_a_lease_of_a_killed_process_is_taken_over_at_once(path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with closing(SqliteStore(path)) as store:
        began = time.monotonic()
        assert store.due(0, 10) == ["held"]
        lease = store.acquire(RunId("held"), store.owner(), 60)
        assert lease == Lease(RunId("held"), store.owner(), 2)
        assert not lease.wrested
        assert time.monotonic() - began < 1


def test_a_stopped_process_still_holds_its_lease(path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGSTOP)
    with closing(SqliteStore(path)) as store:
        answer = store.acquire(RunId("held"), store.owner(), 60)
        assert isinstance(answer, Occupied)
        store.renew(answer.owner, 0)  # as a clock that was set forward does
        lease = store.acquire(RunId("held"), store.owner(), 60)
        assert isinstance(lease, Lease)
        assert lease.wrested


def test_what_was_written_survives_a_kill(path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with closing(SqliteStore(path)) as store:
        assert [fact.kind for fact in store.read(RunId("held"))] == ["RunStarted", "StepDone"]
        assert store.check() == []


def test_a_closed_store_leaves_no_lock_and_its_leases_are_free(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        begin(store)
    with closing(SqliteStore(path)) as store:
        assert list(path.with_name("ledger.db.locks").iterdir()) == []
        assert isinstance(store.acquire(RUN, store.owner(), 60), Lease)


def test_reading_makes_no_lock(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        store.rows(RunQuery())
        store.due(0, 10)
    assert not path.with_name("ledger.db.locks").exists()


def test_locks_of_the_dead_are_swept(path: Path, holder: subprocess.Popen[str]) -> None:
    locks = path.with_name("ledger.db.locks")
    assert len(list(locks.iterdir())) == 1
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with closing(SqliteStore(path)) as store:
        own = store.owner().rpartition(":")[2]
        assert [lock.stem for lock in locks.iterdir()] == [own]


def test_a_forked_child_does_not_hold_the_lock_of_its_dead_parent(path: Path) -> None:
    code = """
import os
name = store.owner()
if os.fork() == 0:
    print(name, flush=True)
    sys.stdin.read()
os._exit(0)
"""
    with closing(SqliteStore(path)) as store:
        store.owner()
        parent = subprocess.Popen(
            [sys.executable, "-c", _PRELUDE + code, str(path), ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert parent.stdout is not None
        name = parent.stdout.readline().strip()
        parent.wait()
        assert ProcessLock(path.with_name("ledger.db.locks")).is_dead(name)
        parent.communicate("")


def test_owners_of_other_machines_and_nonsense_are_never_called_dead(tmp_path: Path) -> None:
    lock = ProcessLock(tmp_path)
    host = lock.name().partition(":")[0]
    assert not lock.is_dead("elsewhere:1:abc")
    assert not lock.is_dead("nonsense")
    assert not lock.is_dead("")
    assert lock.is_dead(f"{host}:1:gone")
    assert not lock.is_dead(lock.name())
    lock.close()


def test_a_killed_writer_leaves_whole_commits_only(path: Path) -> None:
    writer = child(
        path, "begin(store)\nprint('ready', flush=True)\nwhile True:\n    " + _WRITER.replace("\n", "\n    "), "w"
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    time.sleep(0.3)
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    with closing(SqliteStore(path)) as store:
        assert [fault for fault in store.check() if "cannot stand here" not in fault.what] == []
        store.write([Write(RUN, RUN, [done("after#1")])], SYNCED)


def test_ended_runs_of_killed_processes_check_clean(path: Path) -> None:
    code = "for number in range(10_000):\n    end(store, begin(store, RunId(f'{name}-{number}')))"
    for round in range(5):
        process = child(path, "print('ready', flush=True)\n" + code, f"round{round}")
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.05 + 0.03 * round)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with closing(SqliteStore(path)) as store:
            assert store.check() == []


def child(path: Path, code: str, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _PRELUDE + code, str(path), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> None:
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
