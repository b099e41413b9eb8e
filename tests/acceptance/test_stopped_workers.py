"""Workers that stand still beyond their lease and go on: what another one did meanwhile is not done again.

Their lease is one second, which settings do not allow, so that a test need not wait for ten.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from magsag.adapters.store.sqlite import SqliteStore
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.testing import Sink
from tests.acceptance.test_workers import FIRST, Team, fence_of
from tests.acceptance.workshop import environment


class Stopping(Team):
    """Workers with a short lease."""

    lease = "1"

    def worker(self, *arguments: str) -> "subprocess.Popen[str]":
        script = Path(__file__).with_name("worker_project.py")
        command = [sys.executable, str(script), str(self.folder), self.lease, *arguments]
        variables = environment(PYTHONPATH=str(Path(__file__).parents[2]))
        process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.workers.append(process)
        assert process.stdout is not None
        assert "ready" in process.stdout.readline()
        return process

    def in_act(self, catch: str, *acts: str) -> tuple["subprocess.Popen[str]", int]:
        """Two workers, and one of them is in this act: that one, and its fence."""
        for _ in range(2):
            self.worker()
        self.detach(FIRST, acts=list(acts), catch=catch)
        slug, _, when = catch.partition(":")
        self.wait_until(lambda: self.sink.count(slug).total() > 0 if when == "after" else self.has_begun(slug))
        with closing(SqliteStore(self.ledger)) as store:
            return self.caught(slug), fence_of(store)

    def taken_over(self, fence: int) -> float:
        """Wait until somebody else drives the run, or has done so; how long it took."""
        with closing(SqliteStore(self.ledger)) as store:
            return self.wait_until(lambda: fence_of(store) > fence)

    def kinds(self) -> list[str]:
        with closing(SqliteStore(self.ledger)) as store:
            assert store.check() == []
            return [fact.kind for fact in store.read(FIRST)]


_WAITS: Final = """
import asyncio, sys
from pathlib import Path
from magsag.domain.ids import RunId
from tests.acceptance.worker_project import app_of

async def main(app):
    with app.keeper:
        app.gate.limits.append(0.2)
        await asyncio.sleep(0.5)
        print("ready", flush=True)
        sys.stdin.readline()
        app.store.acquire(RunId("first"), app.store.owner(), 10)
        print("taken", flush=True)

app = app_of(Path(sys.argv[1]))
asyncio.run(main(app))
app.close()
"""


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Stopping]:
    with Sink() as sink:
        team = Stopping(tmp_path, sink)
        yield team
        for worker in team.workers:
            worker.kill()
            worker.communicate()


@pytest.mark.parametrize(
    ("act", "when", "status", "calls", "late"),
    [
        ("mail", "after", RunStatus.PARKED, 1, True),
        ("put", "after", RunStatus.SUCCEEDED, 2, True),
        ("pay", "after", RunStatus.SUCCEEDED, 1, True),
        ("look", "before", RunStatus.SUCCEEDED, 2, False),
    ],
)
def test_a_worker_that_stands_still_inside_an_act_is_recovered_from_by_its_kind(
    team: Stopping, act: str, when: str, status: RunStatus, calls: int, late: bool
) -> None:
    worker, fence = team.in_act(f"{act}:{when}", act, "put")
    os.kill(worker.pid, signal.SIGSTOP)
    team.taken_over(fence)
    team.ends(FIRST, status)
    os.kill(worker.pid, signal.SIGCONT)
    if late:
        team.wait_until(lambda: "LateOutcome" in team.kinds())
    else:
        team.wait_until(lambda: team.sink.count(act).total() == calls)
    assert team.sink.count(act).total() == calls + (act == "put")
    assert len(team.sink.count()) == (1 if status is RunStatus.PARKED else 2), "one key for each step"
    assert team.kinds().count("RunEnded") == (status is RunStatus.SUCCEEDED)
    assert worker.poll() is None, "it is there for other runs"


def test_a_worker_that_stood_still_between_two_acts_does_not_begin_the_next(team: Stopping) -> None:
    worker, fence = team.in_act("look:before", "put", "look", "mail")
    os.kill(worker.pid, signal.SIGSTOP)
    team.taken_over(fence)
    team.ends(FIRST)
    os.kill(worker.pid, signal.SIGCONT)
    team.wait_until(lambda: team.sink.count("look").total() == 2)
    team.detach("second", acts=["mail"])
    team.ends(RunId("second"))
    assert (team.sink.count("put").total(), sorted(team.sink.count("mail").values())) == (1, [1, 1])


def test_a_worker_outlives_another_process_that_keeps_the_ledger_locked(team: Stopping) -> None:
    """It waits for the lock longer than its act may take: that is no blocked loop, which would end the process."""
    team.detach(FIRST, acts=[])
    command = [sys.executable, "-c", _WAITS, str(team.folder)]
    variables = environment(PYTHONPATH=str(Path(__file__).parents[2]))
    with subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        with closing(sqlite3.connect(team.ledger)) as other:
            other.execute("begin immediate")
            process.stdin.write("go\n")
            process.stdin.flush()
            time.sleep(3)
            other.rollback()
        assert process.stdout.readline() == "taken\n"
    assert process.returncode == 0


def test_a_clock_that_jumps_an_hour_ahead_ends_a_lease_and_nothing_happens_twice(team: Stopping) -> None:
    _, fence = team.in_act("mail:before", "mail")
    with closing(sqlite3.connect(team.ledger)) as other, closing(SqliteStore(team.ledger)) as store:

        def is_taken_over() -> bool:
            """Its driver may renew the lease before anybody has looked: the clock goes on being ahead."""
            other.execute("update leases set until = until - 3600000 where fence = ? and until > 3600000", (fence,))
            other.commit()
            return fence_of(store) > fence

        team.wait_until(is_taken_over)
    team.ends(FIRST, RunStatus.PARKED)
    team.wait_until(lambda: "LateOutcome" in team.kinds())
    assert team.sink.count("mail").total() == 1


def test_a_clock_that_jumps_an_hour_back_does_not_hide_a_dead_worker(team: Stopping) -> None:
    worker, fence = team.in_act("look:before", "look", "mail")
    worker.kill()
    with closing(sqlite3.connect(team.ledger)) as other:
        other.execute("update leases set until = until + 3600000")
        other.commit()
    assert team.taken_over(fence) < 10
    team.ends(FIRST)
    assert team.sink.count("mail").total() == 1
