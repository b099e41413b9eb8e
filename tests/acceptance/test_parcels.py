"""Part 2 D: a run moves from ledger to ledger in one file."""

import json
from pathlib import Path

import pytest

from tests.acceptance.workshop import is_sound, magsag
from tests.unit.trip import write_trip


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The trip project with its run `first`."""
    folder = write_trip(tmp_path / "home")
    assert magsag("agent", "run", "trip-mag", "--run-id", "first", cwd=folder, stdin='{"who": "ann"}').code == 0
    return folder


@pytest.fixture
def away(tmp_path: Path) -> Path:
    """A folder without any catalog."""
    (tmp_path / "away").mkdir()
    return tmp_path / "away"


def test_an_exported_run_is_the_same_elsewhere(home: Path, away: Path) -> None:
    assert magsag("run", "export", "first", "--output", "run.json", cwd=home).code == 0
    done = magsag("run", "import", str(home / "run.json"), cwd=away)
    assert (done.code, done.out) == (0, "run first is imported: agent:trip-mag@1.0.0, succeeded\n")
    here, there = (magsag("run", "show", "first", "--json", cwd=folder).value for folder in (home, away))
    assert here == there
    assert is_sound(away)
    assert magsag("run", "replay", "first", cwd=away).code == 0
    again = magsag("run", "import", str(home / "run.json"), "--json", cwd=away)
    assert (again.code, "already" in again.error["message"]) == (2, True)


def test_a_fork_moves_too_and_was_made_when_it_was_forked(home: Path, away: Path) -> None:
    steps = magsag("run", "show", "first", "--json", cwd=home).value["steps"]
    forked = magsag("run", "fork", "first", "--from", steps[-1]["id"], "--run-id", "again", cwd=home)
    assert forked.code == 0, forked.err
    assert magsag("run", "import", "-", cwd=away, stdin=magsag("run", "export", "again", cwd=home).out).code == 0
    here, there = (magsag("run", "show", "again", "--json", cwd=folder).value for folder in (home, away))
    assert here == there
    assert is_sound(away)


def test_a_changed_file_is_refused_whole(home: Path, away: Path) -> None:
    document = json.loads(magsag("run", "export", "first", cwd=home).out)
    document["runs"][-1]["facts"][-1]["output"] = "{}"
    done = magsag("run", "import", "-", cwd=away, stdin=json.dumps(document))
    assert (done.code, "does not match its commitment" in done.err) == (2, True)
    assert magsag("run", "list", "--json", cwd=away).value == []


def test_a_parked_run_moves_with_its_code(home: Path, away: Path) -> None:
    assert magsag("agent", "run", "send-mag", "--run-id", "waits", cwd=home, stdin='{"of": "x"}').code == 3
    exported = magsag("run", "export", "waits", cwd=home)
    assert "is parked in both ledgers" in exported.err
    assert magsag("run", "import", "-", cwd=away, stdin=exported.out).code == 0
    resumed = magsag("agent", "run", "--resume", "waits", cwd=away)
    assert (resumed.code, "skill:post@1.0.0 asks" in resumed.err) == (3, True)
    assert is_sound(away)
