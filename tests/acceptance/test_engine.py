"""Real processes side by side: busy, stopped and continued, cancelled from elsewhere, blocked."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from magsag.adapters.store.sqlite import SqliteStore
from magsag.domain.facts import ParkedOn, RunStatus, StepStatus
from magsag.domain.ids import RunId
from magsag.ports.ledger import Occupied, RunQuery
from magsag.ports.runner import Busy
from magsag.services.steps.beginnings import read_run
from tests.acceptance.engine_project import project

HERE: Final = Path(__file__).parent
R: Final = RunId("r")
LONG: Final = 'return await ctx.skill("act", {**payload, "seconds": 30})'
TWO: Final = 'await ctx.skill("act", {**payload, "seconds": 3})\nreturn await ctx.skill("act", payload)'
BLOCKS: Final = "time.sleep(30)"


class Drivers:
    """Processes on one project, ended with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, body: str, lease: float = 10.0, timeout: float = 300.0) -> "subprocess.Popen[str]":
        command = [
            sys.executable,
            "-m",
            "tests.acceptance.engine_project",
            str(self.folder),
            body,
            str(lease),
            str(timeout),
        ]
        process = subprocess.Popen(
            command, cwd=HERE.parents[1], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(HERE.parents[1] / "src")},
        )  # fmt: skip
        self.processes.append(process)
        return process

    def wait_for(self, acts: int) -> None:
        """Wait until so many acts have begun."""
        deadline = time.monotonic() + 20
        while self.acts().count("begin") < acts:
            assert time.monotonic() < deadline, [process.poll() for process in self.processes]
            time.sleep(0.02)

    def acts(self) -> list[str]:
        path = self.folder / "acts"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def drivers(tmp_path: Path) -> Iterator[Drivers]:
    drivers = Drivers(tmp_path)
    yield drivers
    for process in drivers.processes:
        process.kill()
        process.communicate()


def test_the_second_driver_is_told_busy(drivers: Drivers) -> None:
    drivers.start(LONG)
    drivers.wait_for(1)
    app = project(drivers.folder, LONG)
    try:
        told = asyncio.run(app.drive.drive(R, asyncio.Event()))
    finally:
        app.close()
    assert isinstance(told, Busy)
    assert drivers.acts() == ["begin"]


def test_a_process_stopped_beyond_its_lease_is_fenced_when_it_goes_on(drivers: Drivers) -> None:
    zombie = drivers.start(TWO, lease=1.5)
    drivers.wait_for(1)
    os.kill(zombie.pid, signal.SIGSTOP)
    store = SqliteStore(drivers.folder / ".magsag" / "ledger.db")
    try:
        while isinstance(store.acquire(R, "another machine", 60), Occupied):
            time.sleep(0.1)
        os.kill(zombie.pid, signal.SIGCONT)
        deadline = time.monotonic() + 20
        while "LateOutcome" not in (kinds := [fact.kind for fact in store.read(R)]):
            assert time.monotonic() < deadline, kinds
            time.sleep(0.1)
        assert "StepSucceeded" not in kinds
        assert drivers.acts() == ["begin", "end"], "it acts no more"
        assert store.check() == []
    finally:
        store.close()


def test_a_stopped_process_that_goes_on_within_its_time_is_not_ended(drivers: Drivers) -> None:
    """The negative control of the keeper: standing still is not being blocked."""
    process = drivers.start('return await ctx.skill("act", {**payload, "seconds": 1})', timeout=2)
    drivers.wait_for(1)
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(4)
    os.kill(process.pid, signal.SIGCONT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert out.split()[0] in ("succeeded", "parked")


def test_cancelling_from_elsewhere_reaches_child_runs_within_a_second(drivers: Drivers) -> None:
    body = 'return await ctx.gather(*[ctx.delegate("child", {**payload, "seconds": 1.5}) for _ in range(3)])'
    process = drivers.start(body)
    drivers.wait_for(3)
    app = project(drivers.folder, body)
    try:
        result = asyncio.run(app.runs.cancel(R, "maria"))
        out, err = process.communicate(timeout=20)
        assert result.status is RunStatus.CANCELLED, err
        assert out.startswith("cancelled")
        rows = app.store.rows(RunQuery(root=R, roots_only=False, limit=None))
        assert len(rows) == 4
        assert {row.status for row in rows} == {RunStatus.CANCELLED}
        assert drivers.acts().count("end") == 3, "an effect under way ends as it does"
        assert app.store.check() == []
    finally:
        app.close()


def test_a_blocked_loop_is_named_and_ends_the_process_after_its_time(drivers: Drivers) -> None:
    process = drivers.start(BLOCKS, timeout=2)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "the event loop is blocked; use ctx.call for blocking code" in err
    assert "time.sleep(30)" in err
    assert "this process ends itself" in err
    resumed = drivers.start(BLOCKS, timeout=2)
    _, err = resumed.communicate(timeout=30)
    assert "this process ends itself" in err, "the run could be resumed, and its code is pinned"


def test_a_killed_act_is_in_doubt_and_nobody_waits_for_the_lease(drivers: Drivers) -> None:
    process = drivers.start(LONG, lease=60)
    drivers.wait_for(1)
    process.kill()
    process.wait()
    app = project(drivers.folder, LONG)
    began = time.monotonic()
    try:
        result = asyncio.run(app.runs.resume(R))
        assert time.monotonic() - began < 5
        assert [reason.on for reason in result.reasons] == [ParkedOn.DOUBT]
        run = read_run(app.store, R)
        assert run is not None
        assert [step.status for step in run.steps.values()] == [StepStatus.IN_DOUBT]
    finally:
        app.close()
    assert drivers.acts() == ["begin"]
