"""Workers on one Postgres: they share its runs, and go on where one of them was killed or stands still."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.ports.ledger import RunQuery
from magsag.testing import Sink
from tests.acceptance.test_stopped_workers import Stopping
from tests.acceptance.test_workers import FIRST
from tests.acceptance.worker_project import app_of

pytestmark = pytest.mark.needs("postgres")


class Remote(Stopping):
    """Their ledger is elsewhere."""

    def __init__(self, folder: Path, sink: Sink, dsn: str) -> None:
        super().__init__(folder, sink)
        (folder / "magsag.toml").write_text(f'ledger = "{dsn}"\n')

    def ends(self, run: RunId, status: RunStatus = RunStatus.SUCCEEDED) -> None:
        with closing(app_of(self.folder)) as app:
            self.wait_until(lambda: (row := app.store.row(run)) is not None and row.status is status)
            assert app.store.check() == []

    def kinds(self) -> list[str]:
        with closing(app_of(self.folder)) as app:
            return [fact.kind for fact in app.store.read(FIRST)]

    def in_one(self, catch: str, *acts: str) -> "subprocess.Popen[str]":
        """Two workers; the one that is in this act."""
        for _ in range(2):
            self.worker()
        self.detach(FIRST, acts=list(acts), catch=catch)
        self.wait_until(lambda: bool(self.sink.calls))
        return self.caught(acts[0])


@pytest.fixture
def team(tmp_path: Path, dsn: str) -> Iterator[Remote]:
    with Sink() as sink:
        team = Remote(tmp_path, sink, dsn)
        yield team
        for worker in team.workers:
            worker.kill()
            worker.communicate()


def test_they_share_the_runs_and_nothing_happens_twice(team: Remote) -> None:
    for _ in range(2):
        team.worker()
    team.detach(FIRST, "boss", acts=["mail"], many=8)
    team.ends(FIRST)
    assert list(team.sink.count().values()) == [1] * 8
    with closing(app_of(team.folder)) as app:
        assert len(app.store.rows(RunQuery(status=RunStatus.SUCCEEDED))) == 9


def test_a_killed_one_is_seen_long_before_its_lease_ends(team: Remote) -> None:
    team.lease = "60"
    team.in_one("put:after", "put", "mail").kill()
    team.ends(FIRST)
    assert sorted(team.sink.count().values()) == [1, 2]


def test_one_that_stands_still_inside_an_act_leaves_a_doubt_and_its_outcome_comes_late(team: Remote) -> None:
    worker = team.in_one("mail:after", "mail")
    os.kill(worker.pid, signal.SIGSTOP)
    team.ends(FIRST, RunStatus.PARKED)
    os.kill(worker.pid, signal.SIGCONT)
    team.wait_until(lambda: "LateOutcome" in team.kinds())
    assert list(team.sink.count().values()) == [1]
