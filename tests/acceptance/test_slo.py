"""Story 25, by the real command: objectives that are missed stop a CI job, and warn about, ask about or refuse runs."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from magsag.adapters.settings import os_user
from tests.acceptance.workshop import Done, magsag

AGENT: Final = """\
kind: agent
schema: 1
slug: pay-mag
version: 0.1.0
role: main
entrypoint: agent.py:run
slo: {success_rate: 0.75, p95_ms: 60000, min_runs: 2, action: ACTION}
"""
CODE: Final = """\
async def run(payload, ctx):
    if payload == "bad":
        raise ValueError("no")
    return payload
"""
PEOPLE: Final = f"""\
kind: people
schema: 1
people:
  - {{id: "{os_user()}", proof: os_user}}
exclude_requester: false
"""
LAX: Final = "kind: policy\nschema: 1\nflow_governance: {min_runs: 1}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    agent = folder / "catalog/agents/main/pay-mag"
    agent.mkdir(parents=True)
    (agent / "agent.py").write_text(CODE)
    (folder / "catalog/people.yaml").write_text(PEOPLE)
    (folder / "lax.yaml").write_text(LAX)
    (folder / "magsag.toml").write_text("")
    promise(folder, "warn")
    return folder


def promise(folder: Path, action: str) -> None:
    (folder / "catalog/agents/main/pay-mag/agent.yaml").write_text(AGENT.replace("ACTION", action))


def run(folder: Path, payload: str, id: str, *more: str) -> Done:
    return magsag("agent", "run", "pay-mag", "--run-id", id, *more, cwd=folder, stdin=json.dumps(payload))


def missed(folder: Path) -> None:
    """Two of four runs fail."""
    for number, payload in enumerate(["fine", "bad", "fine", "bad"]):
        assert run(folder, payload, f"r{number}").code == (payload == "bad")


def test_a_summary_of_missed_objectives_stops_the_job_here_and_elsewhere(project: Path, tmp_path: Path) -> None:
    missed(project)
    assert magsag("flow", "summarize", "--output", "s.json", cwd=project).code == 0
    gate = ("flow", "gate", "--policy", "lax.yaml")
    told = magsag(*gate, "s.json", cwd=project)
    assert told.code == 1
    said = "- agent:pay-mag: success_rate 0.5 < target 0.75 (4 runs, error budget left -100%)\n  runs r3, r1\n"
    assert told.out == f"GOVERNANCE GATE FAILED\n{said}"
    here = magsag(*gate, "--json", cwd=project)
    assert here.code == 1
    assert here.out == magsag(*gate, "s.json", "--json", cwd=project).out

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    files: list[str] = []
    for number in (2, 0, 3, 1):
        exported = magsag("run", "export", f"r{number}", cwd=project).out
        (elsewhere / f"{number}.json").write_text(exported)
        files += ["--recompute", f"{number}.json"]
    (elsewhere / "lax.yaml").write_text(LAX)
    there = magsag(*gate, *files, "--json", cwd=elsewhere)
    assert (there.code, there.out) == (1, here.out)
    good = magsag(*gate, *files[:4], "--json", cwd=elsewhere)
    assert (good.code, good.value["passed"], good.value["objectives"][0]["runs"]) == (0, True, 2)

    told = magsag(*gate, *files, *files[:2], cwd=elsewhere)
    assert (told.code, "is in two of the files" in told.err) == (2, True)
    text = (elsewhere / "1.json").read_text()
    (elsewhere / "1.json").write_text(text.replace('\\"failed\\"', '\\"succeeded\\"'))
    altered = magsag(*gate, *files, cwd=elsewhere)
    assert (altered.code, "is not as it was exported" in altered.err) == (2, True)
    assert not (elsewhere / ".magsag").exists()


def test_missed_objectives_warn_ask_and_refuse(project: Path) -> None:
    missed(project)
    shown = magsag("agent", "show", "pay-mag", cwd=project)
    assert "objectives  4 runs in the last 7d; missed, so: warn" in shown.out
    warned = run(project, "fine", "warned")
    assert warned.code == 0
    assert "warning magsag.slo: agent:pay-mag: success_rate 0.5 is less than 0.75" in warned.err

    promise(project, "block")
    refused = run(project, "fine", "refused", "--json")
    assert (refused.code, refused.error["details"]["rule"]) == (1, "slo:success_rate")
    assert "runs r3, r1" in refused.error["message"]

    left = run(project, "fine", "left", "--detach")
    assert (left.code, left.out) == (1, "")
    assert "run left denied: denied: agent:pay-mag@0.1.0 starts no run: " in left.err
    assert magsag("run", "show", "left", "--json", cwd=project).value["status"] == "denied"

    promise(project, "ask")
    asked = run(project, "fine", "asked", "--json")
    assert asked.code == 3
    (reason,) = asked.error["reasons"]
    assert (reason["on"], reason["step"]) == ("approval", "@start")
    approved = magsag("approval", "approve", reason["ticket"], cwd=project)
    assert approved.code == 0, approved.err
    assert json.loads(magsag("agent", "run", "--resume", "asked", cwd=project).out) == "fine"
    assert magsag("run", "replay", "asked", cwd=project).code == 0
    assert magsag("policy", "replay", "--with", "lax.yaml", cwd=project).code == 0

    log: Any = magsag("audit", "log", "--json", cwd=project).value
    found = [(one["run"], one["decision"]) for one in log if one["rule"] == "slo:success_rate" and one["step"] is None]
    assert found[-4:] == [("warned", "allow"), ("refused", "deny"), ("left", "deny"), ("asked", "ask")]
    stands = magsag("agent", "show", "pay-mag", "--json", cwd=project).value["objectives"]
    assert (stands["runs"], stands["objectives"][0]["burn_rate"]["long"]) == (6, round(2 / 6 / 0.25, 6))
    assert magsag("data", "check", cwd=project).code == 0
