"""Workers: real processes that share one ledger, are killed and told to stop; effects are counted at the sink."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from magsag.adapters.store.sqlite import SqliteStore
from magsag.domain.effects import Level
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.ports.ledger import RunQuery, RunRow
from magsag.services.driving.runs import Order
from magsag.testing import Sink
from tests.acceptance.worker_project import app_of, payload, write_project
from tests.acceptance.workshop import environment, magsag

FIRST, SECOND = RunId("first"), RunId("second")


class Team:
    """A project, its sink, and the workers that were started."""

    def __init__(self, folder: Path, sink: Sink) -> None:
        self.folder = write_project(folder)
        self.sink = sink
        self.ledger = folder / ".magsag" / "ledger.db"
        self.workers: list[subprocess.Popen[str]] = []

    def worker(self, *arguments: str) -> "subprocess.Popen[str]":
        """One more, ready to drive."""
        command = [sys.executable, "-m", "magsag", "serve", "--worker", "--json", *arguments]
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.workers.append(process)
        assert process.stderr is not None
        assert "is ready" in process.stderr.readline()
        return process

    def detach(self, run: str, slug: str = "actor", **more: Any) -> None:
        """Put a run on record for a worker."""
        order = Order(f"agent:{slug}", payload(self.sink.url, self.folder, **more), run_id=run)
        with closing(app_of(self.folder)) as app:
            asyncio.run(app.runs.submit(order))

    def row(self, run: RunId) -> RunRow | None:
        with closing(SqliteStore(self.ledger)) as store:
            return store.row(run)

    def wait_until(self, is_so: Callable[[], bool], seconds: float = 20) -> float:
        """How long it took."""
        began = time.monotonic()
        while not is_so():
            assert time.monotonic() - began < seconds, [one.poll() for one in self.workers]
            time.sleep(0.02)
        return time.monotonic() - began

    def ends(self, run: RunId, status: RunStatus = RunStatus.SUCCEEDED) -> None:
        """Wait until the run has come to rest, and that it rests so."""
        with closing(SqliteStore(self.ledger)) as store:
            self.wait_until(lambda: (row := store.row(run)) is not None and row.status is status)
            assert store.check() == []

    def has_begun(self, slug: str) -> bool:
        return any(self.folder.glob(f"{slug}.*"))

    def caught(self, slug: str) -> "subprocess.Popen[str]":
        """The worker that is in this act."""
        self.wait_until(lambda: any(path.read_text() for path in self.folder.glob(f"{slug}.*")))
        (pid,) = (int(path.read_text()) for path in self.folder.glob(f"{slug}.*"))
        return next(worker for worker in self.workers if worker.pid == pid)


@pytest.fixture
def team(tmp_path: Path) -> Iterator[Team]:
    with Sink() as sink:
        team = Team(tmp_path, sink)
        yield team
        for worker in team.workers:
            worker.kill()
            worker.communicate()


def stop(worker: "subprocess.Popen[str]", number: int = signal.SIGTERM) -> tuple[int, list[Any], str]:
    """Ask it to stop; exit code, what it told, and its log."""
    worker.send_signal(number)
    out, err = worker.communicate(timeout=20)
    return worker.returncode, [json.loads(line) for line in out.splitlines()], err


def test_a_detached_run_is_told_by_its_id_and_driven_by_a_worker(team: Team) -> None:
    worker = team.worker()
    given = json.dumps(payload(team.sink.url, team.folder))
    done = magsag("agent", "run", "actor", "--detach", "--run-id", FIRST, cwd=team.folder, stdin=given)
    assert (done.code, done.value) == (0, {"run": "first"})
    team.ends(FIRST)
    code, told, err = stop(worker)
    assert (code, [(one["run"], one["told"], one["status"]) for one in told]) == (
        0,
        [("first", "finished", "succeeded")],
    )
    assert "finished succeeded" in err
    assert sorted(name for name, _ in team.sink.calls) == ["look", "mail", "put"]


def test_a_worker_that_drives_once_takes_what_is_there_and_ends(team: Team) -> None:
    for run in (FIRST, SECOND):
        team.detach(run)
    done = magsag("serve", "--worker", "--once", "--json", "--quiet", cwd=team.folder)
    assert (done.code, done.err) == (0, "")
    assert {json.loads(line)["run"] for line in done.out.splitlines()} == {"first", "second"}
    assert magsag("serve", "--worker", "--once", "--json", cwd=team.folder).out == ""


def test_workers_share_the_runs_of_a_ledger_and_nothing_happens_twice(team: Team) -> None:
    workers = [team.worker("--concurrency", "2") for _ in range(2)]
    with closing(app_of(team.folder)) as app:
        for number in range(20):
            order = payload(team.sink.url, team.folder, acts=["mail"])
            asyncio.run(app.runs.submit(Order("agent:actor", order, run_id=f"run-{number}")))
        team.wait_until(lambda: len(app.store.rows(RunQuery(status=RunStatus.SUCCEEDED))) == 20)
        assert app.store.check() == []
    told = [{one["run"] for one in stop(worker)[1]} for worker in workers]
    assert told[0] | told[1] == {f"run-{number}" for number in range(20)}
    assert all(told), "both took some"
    assert set(team.sink.count().values()) == {1}


@pytest.mark.parametrize(
    ("acts", "catch", "status", "calls"),
    [
        (["put"], "put:after", RunStatus.SUCCEEDED, 2),
        (["pay"], "pay:after", RunStatus.SUCCEEDED, 1),
        (["mail"], "mail:after", RunStatus.PARKED, 1),
    ],
)
def test_another_worker_takes_over_from_a_killed_one_long_before_its_lease_ends(
    team: Team, acts: list[str], catch: str, status: RunStatus, calls: int
) -> None:
    for _ in range(2):
        team.worker()
    team.detach(FIRST, acts=acts, catch=catch)
    team.wait_until(lambda: bool(team.sink.calls))
    with closing(SqliteStore(team.ledger)) as store:
        fence = fence_of(store)
        team.caught(acts[0]).kill()
        took = team.wait_until(lambda: fence_of(store) > fence)
    team.ends(FIRST, status)
    assert took < 5
    assert list(team.sink.count().values()) == [calls]


def test_detached_child_runs_are_spread_over_the_workers_and_their_parent_goes_on(team: Team) -> None:
    workers = [team.worker("--concurrency", "2") for _ in range(2)]
    team.detach(FIRST, "boss", acts=["mail"], many=8)
    team.ends(FIRST)
    told = [{one["run"] for one in stop(worker)[1]} for worker in workers]
    assert len(told[0] | told[1]) == 9
    assert all(told), "both took some"
    assert list(team.sink.count().values()) == [1] * 8


def test_a_killed_workers_detached_child_run_goes_on_elsewhere_and_wakes_its_parent(team: Team) -> None:
    for _ in range(2):
        team.worker()
    team.detach(FIRST, "boss", acts=["put", "mail"], catch="put:after")
    team.wait_until(lambda: bool(team.sink.calls))
    team.caught("put").kill()
    team.ends(FIRST)
    assert sorted(team.sink.count().values()) == [1, 2]


def test_a_worker_that_is_told_to_stop_ends_its_act_and_gives_the_run_back(team: Team) -> None:
    worker = team.worker()
    team.detach(FIRST, acts=["mail", "put"], catch="mail:before")
    team.wait_until(lambda: team.has_begun("mail"))
    code, told, err = stop(worker)
    assert (code, [one["told"] for one in told]) == (0, ["yielded"])
    assert "an act that is under way is waited for" in err
    assert [name for name, _ in team.sink.calls] == ["mail"]
    row = team.row(FIRST)
    assert row is not None
    assert row.status is RunStatus.RUNNING
    assert magsag("serve", "--worker", "--once", cwd=team.folder).code == 0
    assert team.sink.count().total() == 2
    team.ends(FIRST)


def test_a_second_word_stops_a_worker_at_once(team: Team) -> None:
    worker = team.worker()
    team.detach(FIRST, acts=["look", "put"], catch="look:before")
    team.wait_until(lambda: team.has_begun("look"))
    worker.send_signal(signal.SIGTERM)
    assert worker.stderr is not None
    while "stopping" not in worker.stderr.readline():
        pass
    code, _, err = stop(worker)
    assert (code, "stopped at once" in err) in ((130, True), (0, False))


def test_a_run_that_cannot_be_driven_is_named_and_holds_up_no_other(team: Team) -> None:
    team.detach(FIRST)
    agent = team.folder / "catalog/agents/main/actor/agent.py"
    agent.write_text(agent.read_text() + "# another bundle\n")
    team.detach(SECOND)
    with closing(SqliteStore(team.ledger)) as store:
        row = store.row(FIRST)
        assert row is not None
        lost = row.bundle
        with store._database.writing(Level.WRITTEN) as connection:
            connection.execute("delete from bundles where hash = ?", (lost,))
    done = magsag("serve", "--worker", "--once", "--json", cwd=team.folder)
    told = {one["run"]: one for one in map(json.loads, done.out.splitlines())}
    assert (done.code, told["second"]["status"]) == (1, "succeeded")
    assert f"bundle {lost[:12]} is not in the store" in told["first"]["error"]
    assert "it cannot be driven" in done.err
    assert "run first" in done.err


def test_an_old_copy_of_the_ledger_repeats_nothing_before_a_person_says_so(team: Team) -> None:
    once = ("serve", "--worker", "--once", "--json")
    team.detach(FIRST, acts=["mail"])
    copy = shutil.copy(team.ledger, team.folder / "old.db")
    assert magsag(*once, cwd=team.folder).code == 0
    shutil.move(copy, team.ledger)
    refused = magsag(*once, cwd=team.folder)
    assert (refused.code, team.sink.count("mail").total()) == (1, 1)
    assert "run first is not driven: the anchors hold" in json.loads(refused.out)["error"]
    assert magsag("agent", "run", "--resume", FIRST, cwd=team.folder).code == 4
    accepted = magsag("data", "accept", cwd=team.folder)
    assert (accepted.code, accepted.out) == (0, "run first: nothing of it was vouched for\n1 accepted\n")
    assert magsag(*once, cwd=team.folder).code == 0
    assert list(team.sink.count("mail").values()) == [2], "as the person was told; the key is the same"
    team.ends(FIRST)


def test_a_policy_that_is_written_while_a_worker_runs_is_in_force(team: Team) -> None:
    team.worker()
    policy = team.folder / "catalog/policies/all.yaml"
    policy.write_text(policy.read_text() + '  - {id: no-mail, on: ["skill:mail"], verdict: deny}\n')
    time.sleep(2.6)
    team.detach(FIRST, acts=["mail"])
    team.ends(FIRST, RunStatus.DENIED)
    assert team.sink.calls == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve",), "magsag serve --worker"),
        (("serve", "--worker", "--concurrency", "0"), "--concurrency"),
        (("agent", "run", "actor", "--detach", "--watch"), "--detach drives nothing"),
        (("agent", "run", "--resume", "x", "--detach"), "x"),
    ],
)
def test_a_wrong_question_about_workers_is_refused(team: Team, arguments: tuple[str, ...], said: str) -> None:
    done = magsag(*arguments, cwd=team.folder, stdin=json.dumps(payload("", team.folder)))
    assert done.code == 2
    assert said in done.err


def test_without_a_ledger_there_is_nothing_to_leave_to_others(team: Team) -> None:
    done = magsag("agent", "run", "actor", "--detach", cwd=team.folder, stdin="{}", MAGSAG_FEATURES_DURABLE="false")
    assert done.code == 2
    assert "only be left to others in a ledger" in done.err


def fence_of(store: SqliteStore) -> int:
    """It grows with each owner of the first run's lease."""
    _, fence = store._database.one("lease_holder", (FIRST,)) or ("", 0)
    return int(fence)
