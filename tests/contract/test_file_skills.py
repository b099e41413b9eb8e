"""The built-in skills for files, and `ctx.files` behind them, in runs of a project that names them."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from magsag.adapters.settings import packaged_catalog
from magsag.adapters.store.memory import MemoryStore
from magsag.app import App
from magsag.domain.errors import Invalid
from magsag.domain.facts import RunStatus
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Order
from magsag.testing import build_app
from tests.unit.world import agent

MAY = "kind: policy\nschema: 1\nrules: [{id: may, on: ['skill:file-write'], verdict: allow}]\n"
CALLS = 'return [await ctx.skill(name, given) for name, given in payload["calls"]]'


class Desk:
    """A project whose agent calls the skills that it is told to call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = folder / "workspace"

    def app(self, **settings: Any) -> App:
        files = {
            **agent("main", CALLS, "skill:file-read, skill:file-write, skill:file-search"),
            "policies/may.yaml": MAY,
        }
        return build_app(self.folder, files, store=MemoryStore(), **settings)

    def run(self, *calls: tuple[str, dict[str, Any]], **settings: Any) -> RunResult:
        app = self.app(**settings)
        asked = {"calls": [list(call) for call in calls]}
        return asyncio.run(app.runs.run(Order("agent:main", asked)))

    def fails(self, skill: str, given: dict[str, Any]) -> tuple[str, str]:
        error = self.run((skill, given)).error
        assert error is not None
        return str(error.type), error.message

    def put(self, path: str, content: str | bytes) -> None:
        file = self.workspace / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_what_was_written_is_found_and_read(desk: Desk) -> None:
    text = "first\nthe Word here\nlast wörd\n"
    result = desk.run(
        ("file-write", {"path": "notes/a.md", "text": text}),
        ("file-write", {"path": "notes/a.md", "text": text}),
        ("file-search", {"text": "WORD", "ignore_case": True, "name": "*.md"}),
        ("file-read", {"path": "notes/a.md"}),
    )
    assert result.status is RunStatus.SUCCEEDED, result.error
    size = len(text.encode())
    assert result.output == [
        {"path": "notes/a.md", "bytes": size},
        {"path": "notes/a.md", "bytes": size},
        {"matches": [{"path": "notes/a.md", "line": 2, "text": "the Word here"}], "more": False, "passed_over": 0},
        {"path": "notes/a.md", "text": text, "bytes": size},
    ]
    assert sorted(path.name for path in (desk.workspace / "notes").iterdir()) == ["a.md"]


def test_a_search_passes_over_what_is_no_text(desk: Desk) -> None:
    desk.put("a.txt", "needle\n" * 250)
    desk.put("b.bin", b"needle\0needle")
    desk.put("c.txt", b"needle \xff")
    desk.put("d.txt", "needle" + "x" * 2_000_000)
    (found,) = desk.run(("file-search", {"text": "needle"})).output
    assert (len(found["matches"]), found["more"]) == (200, True)
    (found,) = desk.run(("file-search", {"text": "needle", "name": "[b-d]*"})).output
    assert found == {"matches": [], "more": False, "passed_over": 3}
    (found,) = desk.run(("file-search", {"text": "nothing like it", "folder": "a.txt"})).output
    assert found["matches"] == []


@pytest.mark.parametrize(
    ("skill", "given", "type", "said"),
    [
        ("file-read", {"path": "missing"}, "raised", "missing: no such file or directory"),
        ("file-read", {"path": "binary"}, "raised", "binary is no UTF-8 text: byte 0"),
        ("file-read", {"path": "large"}, "denied", "large is not reached: it is larger than 1048576 bytes"),
        ("file-read", {"path": "folder"}, "denied", "folder is not reached: it is a folder"),
        ("file-read", {"path": "binary/below"}, "denied", "a link or a file stands where a folder should"),
        ("file-read", {"path": "../magsag.toml"}, "denied", "without `.`, `..`"),
        ("file-read", {"path": ""}, "input_contract", ""),
        ("file-write", {"path": "folder", "text": ""}, "denied", "it is a folder"),
        ("file-write", {"path": "a" * 300, "text": ""}, "raised", "name too long"),
        ("file-write", {"path": "new", "text": "x" * 1_048_577}, "invalid_value", "larger than 1048576 bytes"),
        ("file-search", {"text": "x", "folder": "missing"}, "raised", "no such file"),
    ],
)
def test_what_cannot_be_reached_says_why(desk: Desk, skill: str, given: dict[str, Any], type: str, said: str) -> None:
    desk.put("binary", b"\xff\xfe")
    desk.put("large", "x" * 1_048_577)
    desk.put("folder/file", "")
    assert desk.fails(skill, given)[0] == type
    assert said in desk.fails(skill, given)[1]
    assert not (desk.workspace / "new").exists()


def test_modes_hold_what_changes_files(desk: Desk) -> None:
    write = ("file-write", {"path": "a", "text": "x"})
    assert desk.run(write, mode="analysis_only").status is RunStatus.DENIED
    assert desk.run(write, mode="safe_mode").status is RunStatus.DENIED
    desk.run(write, mode="dry_run")
    assert not (desk.workspace / "a").exists()


def test_a_workspace_that_holds_the_ledger_is_none(desk: Desk) -> None:
    with pytest.raises(Invalid, match="set `workspace` to a folder beside it"):
        desk.run(("file-read", {"path": "magsag.toml"}), workspace=str(desk.folder))


def test_an_absent_workspace_is_made(desk: Desk) -> None:
    (found,) = desk.run(("file-search", {"text": "x"}), workspace=str(desk.folder / "other/place")).output
    assert found["matches"] == []
    assert (desk.folder / "other/place").is_dir()


def test_the_skills_are_shipped_with_contracts_that_name_every_field() -> None:
    for name in ("read", "write", "search"):
        for side in ("input", "output"):
            schema = json.loads((packaged_catalog() / f"contracts/file_{name}_{side}.schema.json").read_text())
            assert schema["additionalProperties"] is False
