"""What `magsag init` copies, by its own code; that the whole of it runs is for the acceptance tests."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from magsag.domain.effects import Effect
from magsag.domain.facts import Decision
from magsag.domain.manifests import Flow, Policy, Skill
from tests.unit.shipped import ROOT, Company, function, manifest, values

PROJECT = ROOT / "_project_template"
CATALOG = PROJECT / "catalog"


@pytest.fixture
def outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outbox"


def triage(*texts: str) -> tuple[Any, Company]:
    company = Company(CATALOG)
    tickets = [{"id": f"T-{number}", "text": text} for number, text in enumerate(texts, start=1)]
    return company.run("triage-mag", {"tickets": tickets}), company


def test_the_example_input_leads_to_one_report(outbox: Path) -> None:
    output = Company(CATALOG).run("triage-mag", values(PROJECT / "examples" / "tickets.json"))
    assert [(each["topic"], each["urgent"]) for each in output["tickets"]] == [
        ("billing", False),
        ("access", True),
        ("access", False),
    ]
    (written,) = outbox.iterdir()
    assert output["report"] == f"outbox/{written.name}"
    assert [each["id"] for each in json.loads(written.read_text(encoding="utf-8"))["tickets"]] == ["T-2"]


def test_without_an_urgent_ticket_no_report_is_written(outbox: Path) -> None:
    output, company = triage("How are you?")
    assert output == {"tickets": [{"id": "T-1", "topic": "other", "urgent": False}], "report": ""}
    assert "file-report" not in company.calls
    assert not outbox.exists()


def test_the_same_act_twice_is_one_file(outbox: Path) -> None:
    run = function(CATALOG / "skills" / "file-report", "skill.py:run")
    company = Company(CATALOG)
    first, second = (run({"tickets": []}, company) for _ in range(2))
    company.idempotency_key = "../../another/key"
    third = run({"tickets": []}, company)
    assert first == second != third
    assert len(list(outbox.iterdir())) == 2


def test_the_skill_has_an_effect_and_a_rule_that_allows_it() -> None:
    skill = manifest(CATALOG / "skills" / "file-report" / "skill.yaml")
    assert isinstance(skill, Skill)
    assert skill.effect is Effect.IDEMPOTENT
    policy = manifest(CATALOG / "policies" / "triage.yaml")
    assert isinstance(policy, Policy)
    allowing = [rule for rule in policy.rules if rule.verdict is Decision.ALLOW]
    assert [(rule.on, rule.when) for rule in allowing] == [(("skill:file-report",), None)]
    assert all(rule.reason for rule in policy.rules)


def test_the_flow_has_a_map_and_a_decision() -> None:
    flow = manifest(CATALOG / "flows" / "triage.yaml")
    assert isinstance(flow, Flow)
    assert any(step.for_each for step in flow.steps)
    assert any(step.when for step in flow.steps)


def test_its_settings_are_readable_and_its_traces_are_kept_out_of_git() -> None:
    assert tomllib.loads((PROJECT / "magsag.toml").read_text(encoding="utf-8")) == {"environment": "development"}
    ignored = (PROJECT / ".gitignore").read_text(encoding="utf-8").split()
    assert {".magsag/", "outbox/"} <= set(ignored)


def test_its_pages_name_only_what_is_there() -> None:
    page = (PROJECT / "README.md").read_text(encoding="utf-8")
    named = [word.strip("`") for word in page.split() if word.startswith(("`catalog/", "`tests/", "examples/"))]
    assert named
    assert [name for name in named if not (PROJECT / name).exists() and not name.startswith("catalog/_schemas")] == []
