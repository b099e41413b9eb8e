"""Part 2 D: runs are forked and compared, and shown as they once stood."""

from pathlib import Path

import pytest

from tests.acceptance.workshop import is_sound, magsag
from tests.unit.trip import write_trip

pytestmark = pytest.mark.measured


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The trip project with its run `first`."""
    write_trip(tmp_path)
    assert magsag("agent", "run", "trip-mag", "--run-id", "first", cwd=tmp_path, stdin='{"who": "ann"}').code == 0
    return tmp_path


def test_a_fork_goes_on_from_its_step_and_leaves_the_original_alone(project: Path) -> None:
    before = magsag("run", "facts", "first", "--json", cwd=project).value
    forked = ("run", "fork", "first", "--from", "planner-sag", "--set", "smart.text=moin", "--run-id", "second")
    done = magsag(*forked, cwd=project)
    assert (done.code, done.value["said"]) == (0, "moin")
    first, second = (magsag("run", "show", run, "--json", cwd=project).value for run in ("first", "second"))
    assert done.value["both"] == first["output"]["both"]
    assert (second["forked_from"], first["forked_from"]) == ("first", None)
    assert magsag("run", "facts", "first", "--json", cwd=project).value == before
    assert is_sound(project)
    assert magsag("run", "replay", "second", cwd=project).code == 0
    assert magsag(*forked, cwd=project).code == 2


def test_two_runs_are_compared(project: Path) -> None:
    fork = ("run", "fork", "first", "--from", "price#1", "--set", "smart.text=moin", "--run-id", "second")
    assert magsag(*fork, cwd=project).code == 0
    done = magsag("run", "diff", "first", "second", cwd=project)
    assert done.code == 1
    assert done.out.splitlines()[0] == "runs first and second part at step smart#1"
    listed = magsag("run", "diff", "first", "second", "--json", cwd=project).value["differences"]
    assert listed[0] == {
        "step": "smart#1",
        "what": "output",
        "first": '"hi there"',
        "second": '"moin"',
        "pointer": "/text",
    }
    same = magsag("run", "diff", "first", "first", cwd=project)
    assert (same.code, same.out) == (0, "runs first and first are the same\n")


def test_a_run_is_shown_as_it_stood(project: Path) -> None:
    shown = magsag("run", "show", "first", "--at", "smart", "--json", cwd=project)
    assert [step["id"] for step in shown.value["steps"]] == ["stamp#1", "smart#1"]
    assert (shown.value["status"], shown.value["output"]) == ("running", None)
    assert magsag("run", "show", "first", "--at", "nosuch", cwd=project).code == 2


def test_a_flow_is_forked(project: Path) -> None:
    done = magsag("flow", "run", "plan-trip", "--run-id", "flow", cwd=project, stdin='{"stops": ["a", "b"]}')
    assert done.code == 0, done.err
    arguments = ("run", "fork", "flow", "--from", "again.2/tries", "--set", "look.1.price=7", "--run-id", "other")
    again = magsag(*arguments, cwd=project)
    assert (again.code, again.value["looked"][1]["price"]) == (0, 7)
    assert again.value["looked"][0] == done.value["looked"][0]
