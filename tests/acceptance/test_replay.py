"""Part 2 D: a run replays without model, tool, clock, chance and network, and changed code is named."""

import json
from pathlib import Path

import pytest

from tests.acceptance.workshop import Done, is_sound, magsag
from tests.unit.trip import write_trip

pytestmark = pytest.mark.measured


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The trip project with its run `first`, whose replies are gone by now."""
    write_trip(tmp_path)
    done = magsag("agent", "run", "trip-mag", "--run-id", "first", cwd=tmp_path, stdin='{"who": "ann"}')
    assert done.code == 0, done.err
    (tmp_path / "replies.yaml").unlink()
    return tmp_path


def facts(folder: Path) -> list[object]:
    found: list[object] = magsag("run", "facts", "first", "--json", cwd=folder).value
    return found


def replay(folder: Path, *arguments: str, wrap: tuple[str, ...] = ()) -> Done:
    return magsag("run", "replay", "first", *arguments, cwd=folder, wrap=wrap)


def test_a_run_replays_to_the_same_facts_and_leaves_no_trace(project: Path) -> None:
    before = facts(project)
    done = replay(project)
    assert (done.code, done.out) == (0, "run first replays to the same facts: 19 steps in 3 runs\n")
    assert facts(project) == before
    assert is_sound(project)


@pytest.mark.needs("unshare")
def test_a_replay_needs_no_network(project: Path) -> None:
    done = replay(project, "--json", wrap=("unshare", "-n"))
    assert done.code == 0, done.err
    assert done.value == {"run": "first", "runs": 3, "steps": 19, "difference": None}


def test_a_replay_needs_no_catalog(project: Path) -> None:
    (project / "catalog").rename(project / "gone")
    assert replay(project).code == 0


def test_a_changed_word_of_a_prompt_is_the_first_difference(project: Path) -> None:
    agent = project / "catalog/agents/main/trip-mag/agent.py"
    agent.write_text(agent.read_text().replace("please say", "kindly say"))
    done = replay(project, "--catalog", ".")
    assert done.code == 1
    assert "run first, step smart#1: its input for model:smart differs at /messages/0/content" in done.out
    assert replay(project).code == 0


def test_a_removed_step_is_the_first_difference_as_json(project: Path) -> None:
    flow = project / "catalog/flows/plan-trip.yaml"
    flow.write_text(flow.read_text().replace("max_rounds: 2", "max_rounds: 1"))
    done = replay(project, "--catalog", "catalog", "--json")
    assert done.code == 1
    assert done.value["difference"] == {
        "run": "first.planner-sag#1",
        "step": "again.2/tries",
        "what": "less",
        "said": "the record has this step (skill:price@1.0.0), now it is not asked for",
        "pointer": None,
    }


def test_a_parked_run_replays_to_its_park(project: Path) -> None:
    write_trip(project)
    parked = magsag("agent", "run", "send-mag", "--run-id", "waits", cwd=project, stdin='{"of": "x"}')
    assert parked.code == 3
    done = magsag("run", "replay", "waits", "--json", cwd=project)
    assert (done.code, done.value["runs"], done.value["difference"]) == (0, 2, None)
    assert not (project / "posted.txt").exists()


def test_wrong_questions_are_refused(project: Path) -> None:
    assert magsag("run", "replay", "nobody", cwd=project).code == 2
    missing = replay(project, "--catalog", "nowhere")
    assert (missing.code, "nowhere" in missing.err) == (2, True)
    (project / "empty").mkdir()
    assert replay(project, "--catalog", "empty").code == 2
    assert json.loads(replay(project, "--json").out)["difference"] is None
