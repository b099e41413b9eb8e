"""Each check of the pages finds its fault, and leaves a good page alone."""

from datetime import date
from pathlib import Path

import click
import pytest

from ops.tools.check_docs import REQUIRED, Finding, check, complaint, program_calls

TODAY = date(2026, 11, 20)
HEAD = "---\ntitle: A page\ndescription: About it.\nlast_synced: 2026-11-01\n---\n"


@click.group()
def program() -> None: ...


@program.group()
def run() -> None: ...


@run.command()
@click.argument("run")
@click.option("--json", "as_json", is_flag=True)
@click.option("--limit", type=int)
def show(run: str, as_json: bool, limit: int) -> None: ...


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree of pages without a fault."""
    for name in REQUIRED:
        path = tmp_path / name.replace("*", "0001-first")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{HEAD}# A page\n", encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n", encoding="utf-8")
    return tmp_path


def faults(tree: Path) -> list[str]:
    return [str(finding) for finding in _check(tree)[0]]


def warnings(tree: Path) -> list[str]:
    return [str(finding) for finding in _check(tree)[1]]


def _check(tree: Path) -> tuple[list[Finding], list[Finding]]:
    return check(tree, TODAY, lambda words: complaint(program, words))


def write(tree: Path, name: str, text: str) -> None:
    path = tree / name
    path.write_text(path.read_text(encoding="utf-8") + text if path.exists() else text, encoding="utf-8")


def test_good_pages_pass(tree: Path) -> None:
    assert (faults(tree), warnings(tree)) == ([], [])


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_required_page_is_found(tree: Path, name: str) -> None:
    (tree / name.replace("*", "0001-first")).unlink()
    assert faults(tree) == [f"{name}:1: this page is required and missing; write it"]


def test_a_changelog_without_unreleased_is_found(tree: Path) -> None:
    (tree / "CHANGELOG.md").write_text("# Changelog\n\n## 0.1.0\n\nNothing Unreleased.\n", encoding="utf-8")
    assert faults(tree) == ["CHANGELOG.md:1: no section `## Unreleased`; what changes next is written there"]


@pytest.mark.parametrize("key", ["title", "description"])
@pytest.mark.parametrize("name", ["SSOT.md", "docs/architecture.md"])
def test_a_head_without_title_or_description_is_found(tree: Path, name: str, key: str) -> None:
    path = tree / name
    path.write_text(path.read_text(encoding="utf-8").replace(f"{key}:", f"x{key}:"), encoding="utf-8")
    assert faults(tree) == [f"{name}:1: front matter lacks `{key}:`"]


def test_a_page_outside_docs_needs_no_head(tree: Path) -> None:
    (tree / "README.md").write_text("# Hello\n", encoding="utf-8")
    assert faults(tree) == []


def test_a_dead_link_is_found_with_its_line(tree: Path) -> None:
    write(tree, "docs/architecture.md", "\nSee [it](nowhere.md), [that](../SSOT.md), [far](https://example.org/x).\n")
    assert faults(tree) == ["docs/architecture.md:8: dead link 'nowhere.md': there is no such file"]


@pytest.mark.parametrize("text", ["[![a](no.svg)](SSOT.md)", "[a]: no.svg", '<img src="no.svg">', "[a](<no.svg>)"])
def test_a_dead_link_is_found_in_every_notation(tree: Path, text: str) -> None:
    write(tree, "README.md", f"\n{text}\n")
    assert faults(tree) == ["README.md:8: dead link 'no.svg': there is no such file"]


def test_a_link_in_code_is_no_link(tree: Path) -> None:
    write(tree, "README.md", "\n`[a](no.md)`\n\n```text\n[b](no.md)\n```\n")
    assert faults(tree) == []


def test_anchors_follow_headings(tree: Path) -> None:
    write(tree, "README.md", "\n## The `run` noun, twice\n\n## The run noun, twice\n\n")
    write(tree, "README.md", "[a](#the-run-noun-twice) [b](#the-run-noun-twice-1) [c](README.md#a-page)\n")
    assert faults(tree) == []


def test_a_dead_anchor_is_found(tree: Path) -> None:
    write(tree, "README.md", "\n[a](#elsewhere)\n[b](SSOT.md#elsewhere)\n")
    assert [fault.split(":")[1] for fault in faults(tree)] == ["8", "9"]


def test_an_unknown_command_is_found(tree: Path) -> None:
    write(tree, "README.md", "\n```sh\nmagsag run show abc --json\nmagsag run shwo abc\n```\n")
    assert faults(tree) == [
        "README.md:10: `magsag run shwo abc`: `magsag run` has no command 'shwo'; see `magsag run --help`"
    ]


@pytest.mark.parametrize(
    "line",
    [
        "$ agdd nothing",
        "echo '{}' | magsag nothing",
        "uv run --extra all magsag nothing",
        "MAGSAG_ENV=x .venv/bin/magsag nothing > out.json",
        "true && magsag nothing",
        "magsag run show abc --nothing",
        "magsag run show --limit",
    ],
)
def test_a_command_is_found_wherever_a_line_holds_it(tree: Path, line: str) -> None:
    write(tree, "README.md", f"\n```console\n{line}\n```\n")
    assert len(faults(tree)) == 1


def test_a_command_in_inline_code_is_checked(tree: Path) -> None:
    write(tree, "README.md", "\nTry `magsag run show RUN`, then `magsag nothing`.\n")
    assert len(faults(tree)) == 1


@pytest.mark.parametrize(
    "block",
    [
        "sh\nmagsag run show RUN [--json] 2>&1 | head  # as JSON",
        "sh\nmagsag run \\\n  show abc",
        "sh\nmagsag <noun> --help",
        "console\n$ magsag run show abc\nmagsag nothing of this is typed",
        "sh\ncat > a.txt <<'END'\nmagsag nothing\nEND",
        "text\nmagsag nothing",
        "sh\necho magsag nothing",
        "sh\nmagsag --help",
    ],
)
def test_what_is_known_or_not_typed_passes(tree: Path, block: str) -> None:
    write(tree, "README.md", f"\n```{block}\n```\n")
    assert faults(tree) == []


def test_calls_are_cut_at_pipes_and_redirections() -> None:
    calls = list(program_calls("magsag run show a --json | jq . > x.json; agdd run show b"))
    assert calls == [["magsag", "run", "show", "a", "--json"], ["agdd", "run", "show", "b"]]


def test_an_old_page_is_a_warning_only(tree: Path) -> None:
    path = tree / "docs/architecture.md"
    path.write_text(path.read_text(encoding="utf-8").replace("2026-11-01", "2026-08-21"), encoding="utf-8")
    assert faults(tree) == []
    assert "91 days ago" in warnings(tree)[0]


def test_a_last_synced_that_is_no_date_is_found(tree: Path) -> None:
    path = tree / "SSOT.md"
    path.write_text(path.read_text(encoding="utf-8").replace("2026-11-01", "soon"), encoding="utf-8")
    assert "'soon' is no date" in faults(tree)[0]
