"""Networks, servers and disks that fail under a ledger in Postgres: nothing acknowledged is lost."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from magsag.adapters.store.postgres.connection import connect
from magsag.adapters.store.postgres.statements import version as functions_version
from magsag.adapters.store.postgres.store import PostgresStore
from magsag.adapters.store.postgres.target import target_of
from magsag.domain.errors import StoreBroken
from magsag.domain.ids import RunId
from magsag.ports.ledger import Declined, Lease, Occupied, Write, Written
from magsag.testing.postgres import Cluster, private_cluster
from magsag.testing.proxy import Network
from magsag.testing.sample_runs import ELSEWHERE, RUN, SYNCED, WRITTEN, append, begin, done, end

pytestmark = pytest.mark.needs("postgres")
OTHER = RunId("other")
_PRELUDE = """
import sys, time
from pathlib import Path
from magsag.adapters.store.postgres.store import PostgresStore
from magsag.testing.sample_runs import *
store = PostgresStore(sys.argv[1], Path(sys.argv[2]))
"""
_DRIVER = """
lease = begin(store, RunId("held"))
append(store, lease, done("written#1"), run=RunId("held"))
print("ready", flush=True)
sys.stdin.readline()
(answer,) = store.write([Write(RunId("held"), RunId("held"), [done("late#1")], lease)], SYNCED)
print(type(answer).__name__, flush=True)
"""
_STOPPED = """
with store._database.changing() as connection:
    connection.execute("select * from runs for update")
    connection.execute("lock table leases in exclusive mode")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def network(cluster: Cluster) -> Iterator[Network]:
    with Network(cluster.folder / ".s.PGSQL.5432") as made:
        yield made


@pytest.fixture
def far(dsn: str, network: Network) -> str:
    """The same ledger, over the network."""
    return dsn.replace("@/", f"@127.0.0.1:{network.port}/").partition("?")[0] + f"?schema={dsn.rpartition('=')[2]}"


@pytest.fixture
def driver(dsn: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that drives the run `held`."""
    yield from child(dsn, tmp_path, _DRIVER)


def test_a_connection_that_is_cut_gives_back_every_lease_of_its_process(dsn: str, tmp_path: Path) -> None:
    with closing(PostgresStore(dsn, tmp_path)) as store:
        lease, other = begin(store), begin(store, OTHER)
        append(store, other, done("a#1"), run=OTHER, level=WRITTEN)
        cut(dsn)
        with pytest.raises(StoreBroken, match="--resume"):
            append(store, lease, done("a#1"))
        stale = Write(OTHER, OTHER, [done("b#1")], other)
        assert store.write([stale], SYNCED) == [Declined("lease")]  # what it believes may be lost with the server
        again = store.acquire(OTHER, store.owner(), 60)
        assert again == Lease(OTHER, store.owner(), 2)
        append(store, again, done("b#1"), run=OTHER)
        assert store.check() == []


def test_reads_go_on_after_their_connections_were_cut(dsn: str, tmp_path: Path) -> None:
    with closing(PostgresStore(dsn, tmp_path)) as store:
        begin(store)
        assert len(store.read(RUN)) == 1
        cut(dsn)
        assert len(store.read(RUN)) == 1


def test_a_lost_answer_is_an_error_and_the_ledger_knows(far: str, dsn: str, network: Network, tmp_path: Path) -> None:
    with closing(PostgresStore(far, tmp_path)) as store, closing(PostgresStore(dsn, tmp_path)) as near:
        lease = begin(store)
        append(store, lease, done("a#1"))
        network.lose_answers()
        with pytest.raises(StoreBroken, match="cannot be reached"):
            append(store, lease, done("b#1"))
        assert len(near.read(RUN)) == 3
        network.heal()
        assert len(store.read(RUN)) == 3
        assert store.check() == []


def test_a_connection_that_is_lost_before_it_listens_is_made_again(far: str, network: Network, tmp_path: Path) -> None:
    with closing(PostgresStore(far, tmp_path)) as store:
        network.cut_at(b"listen")
        with pytest.raises(StoreBroken, match="cannot be reached"):
            store.wait(60)
        network.heal()
        assert store.wait(60)
        assert not store.wait(0.01)


def test_a_silent_network_is_given_up_and_others_take_over(
    far: str, dsn: str, network: Network, tmp_path: Path
) -> None:
    with closing(PostgresStore(dsn, tmp_path)) as near:
        with closing(PostgresStore(far, tmp_path, patience_seconds=0.2)) as store:
            lease = begin(store)
            store.renew(store.owner(), 0.5)
            network.stop_forwarding()
            began = time.monotonic()
            with pytest.raises(StoreBroken, match="cannot be reached"):
                append(store, lease, done("a#1"))
            assert time.monotonic() - began < 5
            taken = near.acquire(RUN, near.owner(), 60)
            assert taken == Lease(RUN, near.owner(), 2)
            network.heal()
            assert store.write([Write(RUN, RUN, [done("a#1")], lease)], SYNCED) == [Declined("lease")]
        append(near, taken, done("b#1"))
        assert near.check() == []


def test_a_lease_of_a_killed_process_is_taken_over_at_once(
    dsn: str, tmp_path: Path, driver: subprocess.Popen[str]
) -> None:
    with closing(PostgresStore(dsn, tmp_path)) as store:
        assert isinstance(store.acquire(RunId("held"), store.owner(), 60), Occupied)
        assert store.due(0, 10) == []
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        began = time.monotonic()
        while store.due(0, 10) != ["held"]:
            assert time.monotonic() - began < 1
        assert store.acquire(RunId("held"), store.owner(), 60) == Lease(RunId("held"), store.owner(), 2)
        assert store.check() == []


def test_a_process_that_stood_still_beyond_its_lease_is_fenced(
    dsn: str, tmp_path: Path, driver: subprocess.Popen[str]
) -> None:
    with closing(PostgresStore(dsn, tmp_path)) as store:
        driver.send_signal(signal.SIGSTOP)
        answer = store.acquire(RunId("held"), store.owner(), 60)
        assert isinstance(answer, Occupied)
        store.renew(answer.owner, 0)  # its time is over
        lease = store.acquire(RunId("held"), store.owner(), 60)
        assert lease == Lease(RunId("held"), store.owner(), 2)
        driver.send_signal(signal.SIGCONT)
        assert driver.communicate("go on\n", timeout=30)[0] == "Declined\n"
        assert store.check() == []


def test_a_process_stopped_inside_a_transaction_blocks_nobody_for_long(dsn: str, tmp_path: Path) -> None:
    with closing(PostgresStore(dsn, tmp_path)) as store:
        lease = begin(store)
        for process in child(dsn, tmp_path, _STOPPED):
            process.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            append(store, lease, done("a#1"))
            assert time.monotonic() - began < 10 / 3 + 1


def test_an_owner_whose_connection_was_cut_lives_again_with_its_next_renewal(dsn: str, tmp_path: Path) -> None:
    with closing(PostgresStore(dsn, tmp_path)) as store, closing(PostgresStore(dsn, tmp_path)) as other:
        begin(store)
        cut(dsn, owners_alone=True)
        assert other.due(0, 10) == [RUN]
        with pytest.raises(StoreBroken):
            store.renew(store.owner(), 60)
        store.renew(store.owner(), 60)
        assert other.due(0, 10) == []


def test_an_owner_whose_old_connection_still_has_its_lock_is_not_taken_for_alive(dsn: str, tmp_path: Path) -> None:
    with closing(PostgresStore(dsn, tmp_path)) as store, closing(PostgresStore(dsn, tmp_path)) as other:
        begin(store)
        cut(dsn, owners_alone=True)
        with connect(target_of(dsn)) as old:  # as a server holds it that has not noticed a broken network
            old.execute(f"select pg_advisory_lock(lock_of_{functions_version()}(%s))".encode(), (store.owner(),))
            with pytest.raises(StoreBroken):
                store.renew(store.owner(), 60)
            with pytest.raises(StoreBroken, match="an earlier connection"):
                store.renew(store.owner(), 60)
            began = time.monotonic()
            while other.due(0, 10) != [RUN]:  # the old one is ended, whatever its network does
                assert time.monotonic() - began < 5
        store.renew(store.owner(), 60)
        assert other.due(0, 10) == []


def test_an_owner_whose_lock_could_not_be_taken_is_none_yet(dsn: str, tmp_path: Path) -> None:
    function = f"lock_of_{functions_version()}"
    with closing(PostgresStore(dsn, tmp_path)) as store, closing(PostgresStore(dsn, tmp_path)) as other:
        with connect(target_of(dsn)) as server:
            server.execute(f"alter function {function}(text) rename to away".encode())
            with pytest.raises(StoreBroken):
                store.owner()
            server.execute(f"alter function away(text) rename to {function}".encode())
        begin(store)
        assert other.due(0, 10) == []
        assert isinstance(other.acquire(RUN, other.owner(), 60), Occupied)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
def test_a_server_that_dies_and_comes_back_has_what_was_synced(tmp_path: Path, signum: signal.Signals) -> None:
    with private_cluster() as cluster, closing(PostgresStore(cluster.dsn("one"), tmp_path)) as store:
        lease = begin(store)
        for number in range(20):
            append(store, lease, done(f"step#{number}"), level=SYNCED)
        cluster.kill() if signum is signal.SIGKILL else cluster.stop()
        with pytest.raises(StoreBroken, match=r"cannot be reached|stopped or started"):
            append(store, lease, done("lost#1"))
        with pytest.raises(StoreBroken, match="cannot be reached"):
            append(store, lease, done("lost#2"))
        cluster.start()
        assert store.write([Write(RUN, RUN, [done("stale#1")], lease)], SYNCED) == [Declined("lease")]
        assert len(store.read(RUN)) == 21
        again = store.acquire(RUN, store.owner(), 60)
        assert isinstance(again, Lease)
        end(store, again)
        assert store.check() == []


_WAITING = """
import asyncio, threading
from magsag.adapters.store import __file__ as folder
from magsag.services.recording.keeper import Keeper
async def waits():
    keeper = Keeper(store, store.owner(), 60, 0.1, patient=str(Path(folder).parent))
    with keeper:
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            store.read(RUN)
        except Exception as error:
            print(type(error).__name__, flush=True)
threading.Thread(target=lambda: asyncio.run(waits())).start()
"""


def test_waiting_for_a_server_that_is_gone_is_short_and_no_blocked_loop(tmp_path: Path) -> None:
    with private_cluster() as cluster:
        for process in child(cluster.dsn("one"), tmp_path, _WAITING):  # it has not read yet: its pool is empty
            cluster.kill()
            began = time.monotonic()
            assert process.communicate("go on\n", timeout=30)[0] == "StoreAway\n"
            assert time.monotonic() - began < 8
            assert process.returncode == 0


@pytest.mark.needs("strace")
@pytest.mark.parametrize(
    "injection",
    [
        "fdatasync:error=EIO:when=3",
        "fdatasync:error=EIO:when=9+",
        "pwrite64:error=ENOSPC:when=4+",
        "pwrite64:error=ENOSPC:when=15+",
    ],
)
def test_a_disk_that_fails_under_the_server_loses_nothing_acknowledged(tmp_path: Path, injection: str) -> None:
    with private_cluster() as cluster:
        dsn = cluster.dsn("one")
        with closing(PostgresStore(dsn, tmp_path)) as store:
            begin(store)
        cluster.stop()
        traced = injection.partition(":")[0]
        log = str(cluster.folder / "trace")
        cluster.start(["strace", "-f", "-qq", "-o", log, "-e", f"trace={traced}", "-e", f"inject={injection}"])
        kept = wrote(dsn, tmp_path)
        cluster.kill()
        cluster.start()
        with closing(PostgresStore(dsn, tmp_path)) as store:
            steps = [fact.digest for fact in store.read(RUN)]
            assert set(kept).issubset(steps)
            assert store.check() == []


def wrote(dsn: str, folder: Path) -> list[bytes]:
    """Synced one by one, until something breaks; the digests of what was acknowledged."""
    kept: list[bytes] = []
    try:
        with closing(PostgresStore(dsn, folder, patience_seconds=2)) as store:
            for number in range(30):
                fact = done(f"step#{number}", "x" * 4000)
                (answer,) = store.write([Write(RUN, RUN, [fact])], SYNCED)
                assert isinstance(answer, Written)
                kept.append(fact.digest)
    except StoreBroken:
        return kept
    raise AssertionError("the disk did not fail")


def cut(dsn: str, owners_alone: bool = False) -> None:
    """End the connections of all ledgers, or those alone that hold an owner's lock."""
    connections = "select pid from pg_stat_activity where application_name = 'magsag'"
    owners = "select pid from pg_locks where locktype = 'advisory'"
    with psycopg.connect(dsn.partition("&schema=")[0], autocommit=True) as connection:
        found = connection.execute((owners if owners_alone else connections).encode()).fetchall()
        for pid in found:
            connection.execute("select pg_terminate_backend(%s, 5000)", pid)


def child(dsn: str, folder: Path, code: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _PRELUDE + code, dsn, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def test_an_owner_of_another_kind_is_never_called_dead(dsn: str, tmp_path: Path) -> None:
    with closing(PostgresStore(dsn, tmp_path)) as store:
        begin(store, owner=ELSEWHERE)
        assert isinstance(store.acquire(RUN, store.owner(), 60), Occupied)
