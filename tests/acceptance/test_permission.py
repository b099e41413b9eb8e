"""Story 11, by the real command: an agent may look up bands of some regions only, and a mode denies every effect."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.workshop import magsag

SHIPPED = Path(__file__).parents[2] / "catalog"
POLICY = """\
kind: policy
schema: 1
rules:
  - id: other-regions
    on: [skill:salary-band-lookup]
    by: [agent:compensation-advisor-sag]
    when: '!(args.location in ["EU", "US"])'
    verdict: deny
    reason: It may look up bands of EU and US only.
  - {id: notes-may, on: [skill:record-put], verdict: allow}
"""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    shutil.copytree(SHIPPED, tmp_path / "catalog", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "catalog" / "policies" / "regions.yaml").write_text(POLICY, encoding="utf-8")
    (tmp_path / "magsag.toml").write_text("", encoding="utf-8")
    return tmp_path


def advise(desk: Path, location: str, *more: str) -> Any:
    profile = {"candidate_profile": {"role": "Engineer", "level": "Senior", "location": location}}
    (desk / f"{location}.json").write_text(json.dumps(profile), encoding="utf-8")
    named = ("--input", f"{location}.json", "--run-id", location)
    return magsag("agent", "run", "compensation-advisor-sag", *named, *more, "--json", cwd=desk)


def test_a_region_that_the_agent_may_not_ask_about_is_denied_before_anything_starts(desk: Path) -> None:
    assert [advise(desk, location).code for location in ("EU", "JP")] == [0, 1]
    facts = magsag("run", "facts", "JP", "--json", cwd=desk).value
    (denied,) = [fact for fact in facts if fact["kind"] == "StepFailed"]
    assert {fact["kind"] for fact in facts}.isdisjoint({"StepStarted", "StepDone"})
    verdict = denied["body"]["verdict"]
    assert (verdict["decision"], verdict["rule"], verdict["place"]) == (
        "deny",
        "other-regions",
        "policies/regions.yaml:4",
    )
    assert denied["input"]["location"] == "JP"


def test_a_mode_denies_every_effect(desk: Path) -> None:
    assert advise(desk, "US", "--mode", "analysis_only").code == 0
    manifest = "kind: agent\nschema: 1\nslug: noter-mag\nversion: 0.1.0\nrole: main\nentrypoint: agent.py:run\n"
    noter = desk / "catalog" / "agents" / "main" / "noter-mag"
    noter.mkdir()
    (noter / "agent.yaml").write_text(f"{manifest}uses: [skill:record-put]\n", encoding="utf-8")
    text = 'async def run(payload, ctx):\n    return await ctx.skill("record-put", payload)\n'
    (noter / "agent.py").write_text(text, encoding="utf-8")
    (desk / "note.json").write_text('{"key": "a", "value": 1}', encoding="utf-8")
    asked = ("agent", "run", "noter-mag", "--input", "note.json", "--json")
    assert magsag(*asked, "--run-id", "noted", cwd=desk).code == 0
    refused = magsag(*asked, "--run-id", "shown", "--mode", "analysis_only", cwd=desk)
    assert (refused.code, "analysis-only" in refused.err) == (1, True)
