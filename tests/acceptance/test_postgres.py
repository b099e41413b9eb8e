"""The real command on a ledger in Postgres: two machines, a server that dies, a ledger that moves, a password."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from magsag.testing import Sink
from magsag.testing.postgres import Cluster, private_cluster
from tests.acceptance.worker_project import payload, write_project
from tests.acceptance.workshop import behave, build, command, environment, magsag

pytestmark = pytest.mark.needs("postgres")
CANARY = "canary-of-the-dsn"


def test_a_run_goes_on_elsewhere_when_its_machine_dies(tmp_path: Path, dsn: str) -> None:
    """Each machine has a project folder of its own; an act that was under way is repeated under its key."""
    here, there = write_project(tmp_path / "here", 30), write_project(tmp_path / "there", 30)
    with Sink() as sink:
        first = worker(here, dsn)
        given = json.dumps(payload(sink.url, here, acts=["look", "put"], catch="put:after"))
        started = magsag("agent", "run", "actor", "--detach", "--run-id", "r", cwd=here, stdin=given, MAGSAG_LEDGER=dsn)
        assert started.value == {"run": "r"}
        wait_until(lambda: sink.count("put").total() == 1)
        second = worker(there, dsn)
        first.kill()
        began = time.monotonic()
        wait_until(lambda: sink.count("put").total() == 2)
        assert time.monotonic() - began < 5, "it waited for the lease of the dead machine"
        wait_until(lambda: "succeeded" in magsag("run", "list", cwd=there, MAGSAG_LEDGER=dsn).out)
        assert len(sink.count("put")) == 1, "one key"
        for process in (first, second):
            process.terminate()
            process.communicate(timeout=20)
        for folder in (here, there):
            assert magsag("data", "check", cwd=folder, MAGSAG_LEDGER=dsn).out == "no faults\n"


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
def test_a_run_survives_the_death_of_its_server(tmp_path: Path, signum: signal.Signals) -> None:
    folder = build(tmp_path / "project")
    with private_cluster() as cluster:
        place = {"MAGSAG_LEDGER": cluster.dsn("one"), "MAGSAG_DURABILITY": "every_step"}
        words = command("agent", "run", "behave-mag", "--run-id", "r")
        given = json.dumps({"do": "steps", "count": 40, "seconds": 0.1})
        process = subprocess.Popen(
            words, cwd=folder, env=environment(**place), stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        process.stdin.write(given)
        process.stdin.close()
        wait_until(lambda: steps(cluster, "one") >= 3)
        cluster.kill() if signum is signal.SIGKILL else cluster.stop()
        assert process.wait(60) == 4
        assert process.stderr is not None
        assert "nothing acknowledged is lost" in process.stderr.read()
        process.stderr.close()
        cluster.start()
        kept = steps(cluster, "one")
        resumed = magsag("agent", "run", "--resume", "r", cwd=folder, MAGSAG_LEDGER=cluster.dsn("one"))
        assert (resumed.code, resumed.value) == (0, {"answer": 42})
        assert steps(cluster, "one") == 40 > kept >= 3
        assert magsag("data", "check", cwd=folder, MAGSAG_LEDGER=cluster.dsn("one")).code == 0


def test_a_worker_goes_on_when_its_server_is_back(tmp_path: Path) -> None:
    folder = write_project(tmp_path, 2)
    with private_cluster() as cluster, Sink() as sink:
        process = worker(folder, cluster.dsn("one"))
        given = json.dumps(payload(sink.url, folder, acts=["put"], catch="put:after"))
        words = ("agent", "run", "actor", "--detach", "--run-id", "r")
        assert magsag(*words, cwd=folder, stdin=given, MAGSAG_LEDGER=cluster.dsn("one")).code == 0
        wait_until(lambda: sink.count("put").total() == 1)
        cluster.kill()
        time.sleep(1)
        cluster.start()
        wait_until(lambda: '"succeeded"' in listed(folder, cluster), seconds=60)
        assert process.poll() is None
        assert len(sink.count("put")) == 1, "repeated under its key, if at all"
        process.terminate()
        process.communicate(timeout=20)


def test_a_parked_run_that_is_moved_to_postgres_finishes_there(tmp_path: Path, dsn: str) -> None:
    folder = build(tmp_path)
    assert behave("send", folder, "--run-id", "r").code == 3
    moved = magsag("data", "migrate", "--to", dsn, "--json", cwd=folder)
    assert moved.value["equal"] is True
    assert magsag("agent", "run", "--resume", "r", cwd=folder).code == 2, "the old one is closed"
    parked = magsag("run", "list", "--json", cwd=folder, MAGSAG_LEDGER=dsn).value
    assert [(run["run"], run["status"]) for run in parked] == [("r", "parked")]
    ended = magsag("run", "cancel", "r", cwd=folder, MAGSAG_LEDGER=dsn)
    assert ended.code in (0, 1), ended.err
    assert magsag("data", "check", cwd=folder, MAGSAG_LEDGER=dsn).out == "no faults\n"


def test_the_password_of_a_dsn_is_nowhere(tmp_path: Path, dsn: str) -> None:
    folder = build(tmp_path)
    secret = dsn.replace("magsag@", f"magsag:{CANARY}@")
    refused = secret.replace("magsag:", "nobody:").replace("&schema", "&sslmode=nonsense&schema")
    told = [
        magsag(*words, cwd=folder, MAGSAG_LEDGER=secret) for words in (("config", "show", "--json"), ("run", "list"))
    ]
    told += [
        magsag("data", "init", "--json", "--backend", "postgres", "--dsn", place, cwd=folder)
        for place in (secret, refused)
    ]
    told.append(magsag("doctor", cwd=folder, MAGSAG_LEDGER=secret))
    told.append(magsag("data", "backup", "x", cwd=folder, MAGSAG_LEDGER=secret))
    told.append(magsag("data", "init", "--backend", "sqlite", cwd=folder, MAGSAG_LEDGER=secret))
    told.append(magsag("-v", "agent", "run", "echo-mag", cwd=folder, stdin='{"role":"x"}', MAGSAG_LEDGER=secret))
    assert not [done for done in told if CANARY in done.out + done.err]
    assert not [file for file in folder.rglob("*") if file.is_file() and CANARY.encode() in file.read_bytes()]
    with psycopg.connect(dsn.partition("&schema=")[0]) as connection:
        schema = dsn.rpartition("=")[2]
        rows = connection.execute(f"select convert_from(body, 'UTF8') from {schema}.facts".encode()).fetchall()
        assert rows
        assert CANARY not in str(rows)


def worker(folder: Path, dsn: str) -> "subprocess.Popen[str]":
    """Ready to drive."""
    words = command("serve", "--worker", "--json")
    process = subprocess.Popen(
        words,
        cwd=folder,
        env=environment(MAGSAG_LEDGER=dsn),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "is ready" in process.stderr.readline()
    return process


def listed(folder: Path, cluster: Cluster) -> str:
    return magsag("run", "list", "--json", cwd=folder, MAGSAG_LEDGER=cluster.dsn("one")).out


def steps(cluster: Cluster, schema: str) -> int:
    """How many outcomes the ledger holds."""
    with psycopg.connect(cluster.plain_dsn()) as connection:
        there = connection.execute("select to_regclass(%s)", (f"{schema}.facts",)).fetchone()
        if there == (None,):
            return 0
        count = f"select count(*) from {schema}.facts where kind in ('StepDone', 'StepSucceeded')"
        row = connection.execute(count.encode()).fetchone()
        assert row is not None
        return int(row[0])


def wait_until(is_so: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
