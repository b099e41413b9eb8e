"""The pages name everything that a reader may meet, and their examples can be read."""

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest

from magsag.catalog.findings import Notes
from magsag.catalog.reading import read
from magsag.catalog.survey import survey
from magsag.domain.context import Context
from magsag.domain.effects import DECLARABLE
from magsag.domain.errors import ErrorType
from magsag.domain.facts import ParkedOn
from magsag.domain.manifests import KINDS
from magsag.domain.manifests.flow import FlowStep, Loop
from magsag.domain.manifests.policy import AgentBlock, Environment, FlowGovernance, Hours, ModelLimits, Rule, StepLimits
from magsag.domain.manifests.policy_cases import PolicyCase
from magsag.domain.manifests.slo import Slo
from tests.unit.pages import ROOT, Block, blocks, differences, pages, typed

DOCS = ROOT / "docs"
SICK = ("docs/guides/troubleshooting.md",)
"""pages whose manifests are wrong on purpose: what they print is tried by the acceptance tests"""
READ = [
    block
    for path in pages()
    for block in blocks(path)
    if block.language in ("yaml", "json", "toml", "python") and block.page not in SICK
]
TYPED = [block for path in pages() for block in blocks(path) if block.language == "console"]
POLICY_PARTS = (Rule, PolicyCase, Hours, Environment, AgentBlock)
WORDS = {
    "guides/agent-development.md": [
        *KINDS["agent"].model_fields,
        *KINDS["skill"].model_fields,
        *KINDS["eval"].model_fields,
    ],
    "guides/flows.md": [
        *KINDS["flow"].model_fields,
        *FlowStep.model_fields,
        *Loop.model_fields,
        "attempts",
        "max_backoff",
    ],
    "policy.md": [
        field.alias or name
        for model in (
            KINDS["policy"],
            PolicyCase,
            Rule,
            Hours,
            Environment,
            AgentBlock,
            FlowGovernance,
            StepLimits,
            ModelLimits,
        )
        for name, field in model.model_fields.items()
    ],
    "durable-run.md": [*map(str, DECLARABLE), *map(str, ParkedOn)],
    "guides/slo.md": [*Slo.model_fields],
    "guides/troubleshooting.md": [*map(str, ErrorType), "| 0 |", "| 1 |", "| 2 |", "| 3 |", "| 4 |", "| 130 |"],
}


def faults(block: Block) -> list[str]:
    """What keeps an example from being read: its syntax, and for a manifest its model."""
    try:
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "python":
            ast.parse(block.text)
        else:
            return _yaml_faults(block.text)
    except (SyntaxError, ValueError) as error:
        return [str(error)]
    return []


def _yaml_faults(text: str) -> list[str]:
    document = read("example.yaml", text.encode())
    notes = Notes("")
    if isinstance(document.value, dict) and "kind" in document.value:
        survey({"example.yaml": text.encode()}, notes)
    return [*(fault.what for fault in document.faults), *map(str, notes.sorted())]


def unnamed(text: str, words: list[str]) -> list[str]:
    """The words that a page does not have."""
    written = {"with_": "with", "schema_version": "schema"}
    names = (written.get(word, word) for word in words)
    return [name for name in names if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)]


@pytest.mark.parametrize("block", READ, ids=lambda block: block.place)
def test_an_example_can_be_read(block: Block) -> None:
    assert faults(block) == []


@pytest.mark.parametrize("block", TYPED, ids=lambda block: block.place)
def test_a_console_block_is_made_of_commands_and_what_they_print(block: Block) -> None:
    assert list(typed(block))


@pytest.mark.parametrize("page", WORDS)
def test_a_guide_names_all_that_it_is_about(page: str) -> None:
    assert unnamed((DOCS / page).read_text(encoding="utf-8"), WORDS[page]) == []


def test_the_verbs_of_ctx_are_all_named() -> None:
    verbs = [f"ctx.{name}" for name in (*Context.__annotations__, *vars(Context)) if not name.startswith("_")]
    assert unnamed((DOCS / "guides" / "agent-development.md").read_text(encoding="utf-8"), verbs) == []


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = (folder / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in folder.glob("0*.md") if f"({path.name})" not in listed] == []


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("json", "{"),
        ("toml", "a ="),
        ("python", "def"),
        ("yaml", "a: [1"),
        ("yaml", "kind: flow\nschema: 1\nslug: a-b\nversion: 0.1.0\nstpes: []\n"),
    ],
)
def test_an_example_with_a_fault_is_seen(language: str, text: str) -> None:
    assert faults(Block("page.md", 1, language, text, None))


def test_a_word_that_is_missing_is_seen() -> None:
    assert unnamed("`needs` and `with`", ["needs", "with_", "need"]) == ["need"]


def test_what_differs_from_run_to_run_is_the_same() -> None:
    told = ["run 06gzhpge77y120832dtd  took 12 ms", "...", "the end of ..."]
    seen = "run 06gzhr92yfbew9xmg79q  took 0.8 s\nand more\nand more\nthe end of it"
    assert differences(told, seen, "/tmp") == []
    assert differences(["run first"], "run second", "/tmp")
    assert differences(["one"], "one\ntwo", "/tmp")


def test_a_console_block_that_begins_with_output_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\noutput\n```\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"page\.md:2"):
        list(typed(blocks(page, tmp_path)[0]))


def test_commands_go_on_over_lines(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ cat << END\nx\nEND\nx\n$ echo a \\\n  b  # exit 3\na b\n```\n", encoding="utf-8")
    (first, second) = typed(blocks(page, tmp_path)[0])
    assert (first.command, first.output) == ("cat << END\nx\nEND", ["x"])
    assert (second.command, second.code, second.output) == ("echo a \\\n  b", 3, ["a b"])
