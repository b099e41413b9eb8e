"""Real processes, killed at every commit and in every act, before and after; then another process goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import pytest

from magsag.domain.effects import Effect
from magsag.domain.facts import StepStarted
from magsag.domain.ids import RunId
from magsag.engine.chain import unseal
from magsag.services.steps.beginnings import read_run
from magsag.testing import Sink
from tests.acceptance.crash_project import ledger

HERE: Final = Path(__file__).parent
PROGRAMS: Final = ("agent:boss", "flow:everything")
WRITES: Final = 40
"""more commits than either program makes"""
ACTS: Final = ("put", "book", "pay", "mail")
POINTS: Final = [f"{number}:{when}" for number in range(1, WRITES + 1) for when in ("before", "after")]
IN_ACTS: Final = [f"{slug}:{when}" for slug in ACTS for when in ("before", "after")]


class Answer(NamedTuple):
    """What a process said, if it lived to say it."""

    code: int
    said: dict[str, Any]


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


def drive(
    folder: Path, program: str, sink: Sink, number: int = 0, when: str = "before", die_in: str = "", dsn: str = ""
) -> Answer:
    """A process that drives the run; code -9 when it was killed."""
    command = [sys.executable, str(HERE / "crash_project.py"), str(folder), program, sink.url, str(number), when]
    path = os.pathsep.join(str(HERE.parents[1] / name) for name in ("src", "."))
    environment = {**os.environ, "DIE_IN": die_in, "LEDGER_DSN": dsn, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return Answer(done.returncode, json.loads(done.stdout) if done.returncode == 0 else {})


@pytest.fixture(scope="module", params=PROGRAMS)
def clean(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sink: Sink) -> tuple[str, Any]:
    """A program, and its output when nothing happens to it."""
    answer = drive(tmp_path_factory.mktemp("clean"), request.param, sink)
    assert answer.said["status"] == "succeeded", answer
    return request.param, answer.said["output"]


def begun(folder: Path, effect: Effect, dsn: str) -> list[tuple[str, str]]:
    """Steps of this kind with an intent and no outcome, and their keys, in all runs."""
    store = ledger(folder, dsn)
    try:
        found: list[tuple[str, str]] = []
        for run in (RunId("r"), *(RunId(f"r.{step}") for step in ("helper#1", "below"))):
            state = read_run(store, run)
            starts = [fact for stored in store.read(run) if isinstance(fact := unseal(stored), StepStarted)]
            for fact in starts:
                if fact.proposal.effect is effect and state is not None and not state.steps[fact.step].order:
                    found.append((fact.step, fact.key))
        return found
    finally:
        store.close()


def kill_and_resume(folder: Path, clean: tuple[str, Any], sink: Sink, point: str, dsn: str = "") -> None:
    """Kill at the point, go on in another process, and look at everything."""
    program, output = clean
    place, _, when = point.partition(":")
    put, mailed = sink.count("put"), sink.count("mail")
    if place.isdigit():
        killed = drive(folder, program, sink, int(place), when, dsn=dsn)
    else:
        killed = drive(folder, program, sink, die_in=point, dsn=dsn)
    open_mails = begun(folder, Effect.UNREPEATABLE, dsn) if killed.code else []
    began = time.monotonic()
    resumed = drive(folder, program, sink, dsn=dsn)
    assert time.monotonic() - began < 8, "it waited for the lease of the dead process"
    if open_mails:
        assert resumed.said["status"] == "parked", (point, resumed)
        assert {on for on, _ in resumed.said["reasons"]} == {"doubt"}, (point, resumed)
    else:
        assert resumed.said["status"] == "succeeded", (point, resumed)
        assert _plain(resumed.said["output"]) == _plain(output), point
    assert set((sink.count("mail") - mailed).values()) <= {1}, point
    assert set((sink.count("put") - put).values()) <= {1, 2}, point
    store = ledger(folder, dsn)
    try:
        assert store.check() == [], point
    finally:
        store.close()


def _plain(output: Any) -> Any:
    """Without chance, which another run draws anew."""
    return output[:-1] if isinstance(output, list) else output


def some(points: list[str], seed: int, count: int) -> list[str]:
    return sorted(Random(seed).sample(points, count))


@pytest.mark.parametrize("point", some(POINTS[:60], 7, 5) + some(IN_ACTS, 3, 3))
def test_a_killed_run_is_finished_by_another_process(
    tmp_path: Path, clean: tuple[str, Any], sink: Sink, point: str
) -> None:
    kill_and_resume(tmp_path, clean, sink, point)


@pytest.mark.needs("postgres")
@pytest.mark.parametrize("point", some(POINTS[:50], 5, 2) + some(IN_ACTS, 8, 1))
def test_a_killed_run_is_finished_in_postgres_too(
    tmp_path: Path, clean: tuple[str, Any], sink: Sink, point: str, dsn: str
) -> None:
    kill_and_resume(tmp_path, clean, sink, point, dsn)


@pytest.mark.prove
@pytest.mark.needs("postgres")
@pytest.mark.parametrize("point", POINTS + IN_ACTS)
def test_killed_anywhere_in_postgres(tmp_path: Path, clean: tuple[str, Any], sink: Sink, point: str, dsn: str) -> None:
    kill_and_resume(tmp_path, clean, sink, point, dsn)


@pytest.mark.prove
@pytest.mark.parametrize("point", POINTS + IN_ACTS)
def test_killed_anywhere(tmp_path: Path, clean: tuple[str, Any], sink: Sink, point: str) -> None:
    kill_and_resume(tmp_path, clean, sink, point)
