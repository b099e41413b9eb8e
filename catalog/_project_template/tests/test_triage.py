"""The whole project at work, in a copy, so that its own ledger and outbox stay as they are."""

import json
import shutil
from pathlib import Path

import pytest

from magsag import Project

ROOT = Path(__file__).parents[1]
CALM = {"id": "T-1", "text": "How do I change my password?"}
URGENT = {"id": "T-2", "text": "Urgent: nobody can log in."}


@pytest.fixture
def project(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "catalog", tmp_path / "catalog")
    shutil.copy(ROOT / "magsag.toml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return Project.open(".")


def test_an_urgent_ticket_is_reported(project):
    result = project.run_sync("triage-mag", {"tickets": [CALM, URGENT]})
    assert [ticket["urgent"] for ticket in result.output["tickets"]] == [False, True]
    report = json.loads(Path(result.output["report"]).read_text(encoding="utf-8"))
    assert report["tickets"] == [{"id": "T-2", "topic": "access", "urgent": True}]


def test_without_an_urgent_ticket_nothing_is_written(project):
    result = project.run_sync("triage-mag", {"tickets": [CALM]})
    assert result.output["report"] == ""
    assert not Path("outbox").exists()


def test_the_record_shows_each_act(project):
    result = project.run_sync("triage-mag", {"tickets": [URGENT]})
    assert "file-report" in str(result.tree)
    assert result.facts
