"""Checks the pages: required ones exist, links and anchors lead somewhere, heads are complete, commands exist.

usage: python ops/tools/check_docs.py [ROOT]

Exit 1 with every finding as `file:line: what`; a page that nobody has looked at for 90 days is only a warning.
A command is checked wherever a page shows one: in shell blocks and in inline code. What a command prints, and
whether its arguments make sense, is the business of the acceptance tests.
"""

import re
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    import click

REQUIRED: Final = (
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "AGENTS.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "SSOT.md",
    "docs/architecture.md",
    "docs/decisions/0*.md",
    "docs/canonical/API_REFERENCE.md",
    "docs/canonical/CONFIG_REFERENCE.md",
)
"""what must exist; a pattern wants at least one file"""
STALE_DAYS: Final = 90
PROGRAMS: Final = frozenset({"magsag", "agdd"})

_SHELLS: Final = frozenset({"sh", "bash", "shell", "console"})
_BEFORE_A_PROGRAM: Final = re.compile(
    r"\w+=.*|uv|uvx|run|time|timeout|env|exec|nohup|xargs|\$|\d+\w?|-.*|python3?|!|if|then|do"
)
_FENCE: Final = re.compile(r"\s*(`{3,}|~{3,})\s*(\S*)")
_HEADING: Final = re.compile(r"#{1,6}\s+(.*?)\s*#*\s*$")
_LINK: Final = re.compile(r"""\]\(\s*<?([^)\s>]+)|^\s{0,3}\[[^\]]+\]:\s*<?(\S+?)>?(?:\s|$)|\b(?:href|src)="([^"]+)\"""")
_NAMED_ANCHOR: Final = re.compile(r"""<a\s+(?:id|name)="([^"]+)\"""")
_CODE: Final = re.compile(r"(`+)(.+?)\1")
_PLACEHOLDER: Final = re.compile(r"<.*|\{.*|[A-Z_]+|\.\.\.|…|\*")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing wrong, and where."""

    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


@dataclass(frozen=True, slots=True)
class Page:
    """A Markdown page taken apart. Line numbers start at 1."""

    path: Path
    name: str
    """its path below the root"""
    head: dict[str, str]
    prose: list[tuple[int, str]]
    blocks: list[tuple[str, list[tuple[int, str]]]]
    """fenced blocks: language and lines"""


Complain = Callable[[list[str]], str | None]
"""what is wrong with a command line without its program's name, or None"""


def check(root: Path, today: date, complain: Complain) -> tuple[list[Finding], list[Finding]]:
    """All findings and all warnings about the pages below `root`."""
    pages = [read_page(path, root) for path in page_paths(root)]
    findings = [*missing_pages(root), *changelog_faults(root)]
    for page in pages:
        findings += [*link_faults(page, root), *head_faults(page), *command_faults(page, complain)]
    return sorted(findings), sorted(finding for page in pages for finding in stale(page, today))


def page_paths(root: Path) -> list[Path]:
    """The pages that people read: those at the root and everything below docs/."""
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")])


def read_page(path: Path, root: Path) -> Page:
    """Take a page apart into its head, its prose and its fenced blocks."""
    lines = list(enumerate(path.read_text(encoding="utf-8").splitlines(), 1))
    page = Page(path, path.relative_to(root).as_posix(), {}, [], [])
    if lines and lines[0][1].strip() == "---":
        end = next((number for number, text in lines[1:] if text.strip() == "---"), 1)
        for _, text in lines[1 : end - 1]:
            key, colon, value = text.partition(":")
            if colon and not key.startswith((" ", "-", "#")):
                page.head[key.strip()] = value.strip().strip("\"'")
        lines = lines[end:]
    fence = ""
    for number, text in lines:
        mark = _FENCE.match(text)
        if not fence and mark:
            fence = mark[1]
            page.blocks.append((mark[2].lower(), []))
        elif fence and text.strip().startswith(fence) and not text.strip().strip(fence[0]):
            fence = ""
        elif fence:
            page.blocks[-1][1].append((number, text))
        else:
            page.prose.append((number, text))
    return page


def missing_pages(root: Path) -> Iterator[Finding]:
    for pattern in REQUIRED:
        if not any(path.is_file() for path in root.glob(pattern)):
            yield Finding(pattern, 1, "this page is required and missing; write it")


def changelog_faults(root: Path) -> Iterator[Finding]:
    path = root / "CHANGELOG.md"
    if path.is_file() and not re.search(r"^## \[?Unreleased\]?", path.read_text(encoding="utf-8"), re.MULTILINE):
        yield Finding(path.name, 1, "no section `## Unreleased`; what changes next is written there")


def head_faults(page: Page) -> Iterator[Finding]:
    """Pages below docs/ and the glossary carry front matter with a title and a description."""
    if page.name.startswith("docs/") or page.name == "SSOT.md":
        for key in ("title", "description"):
            if not page.head.get(key):
                yield Finding(page.name, 1, f"front matter lacks `{key}:`")
    if (synced := page.head.get("last_synced")) and _date(synced) is None:
        yield Finding(page.name, 1, f"last_synced {synced!r} is no date; write it as 2026-01-31")


def stale(page: Page, today: date) -> Iterator[Finding]:
    synced = _date(page.head.get("last_synced", ""))
    if synced and (today - synced).days > STALE_DAYS:
        what = f"last synced {(today - synced).days} days ago; read it against the code, then set last_synced"
        yield Finding(page.name, 1, what)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def link_faults(page: Page, root: Path) -> Iterator[Finding]:
    """Relative links must lead to a file or folder, anchors to a heading."""
    for number, text in page.prose:
        for groups in _LINK.findall(_CODE.sub("", text)):
            target = unquote(next(group for group in groups if group))
            if re.match(r"[a-z][a-z0-9+.-]*:|//", target, re.IGNORECASE):
                continue
            place, _, anchor = target.partition("#")
            start = root if place.startswith("/") else page.path.parent
            path = start / place.lstrip("/") if place else page.path
            if not path.exists():
                yield Finding(page.name, number, f"dead link {target!r}: there is no such file")
            elif anchor and path.suffix == ".md" and anchor not in anchors(read_page(path, root)):
                yield Finding(page.name, number, f"dead anchor {target!r}: no heading of that page gives it")


def anchors(page: Page) -> set[str]:
    """The anchors that a page's headings get when it is shown, and those it names itself."""
    found: set[str] = set()
    seen: Counter[str] = Counter()
    for _, text in page.prose:
        found.update(_NAMED_ANCHOR.findall(text))
        if heading := _HEADING.match(text):
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return found


def command_faults(page: Page, complain: Complain) -> Iterator[Finding]:
    for number, line in command_lines(page):
        for words in program_calls(line):
            if what := complain(words[1:]):
                yield Finding(page.name, number, f"`{shlex.join(words)}`: {what}")


def command_lines(page: Page) -> Iterator[tuple[int, str]]:
    """The lines that a reader would type: in shell blocks, and inline code that starts with a program of ours."""
    for language, lines in page.blocks:
        if language in _SHELLS:
            yield from typed_lines(lines)
    for number, text in page.prose:
        for _, code in _CODE.findall(text):
            if code.split(maxsplit=1)[:1] and code.split(maxsplit=1)[0] in PROGRAMS:
                yield number, code


def typed_lines(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Without output (a block with `$ ` has it on the other lines), here-documents and continuations."""
    has_prompts = any(text.lstrip().startswith("$ ") for _, text in lines)
    here, joined, first = "", "", 0
    for number, text in lines:
        if here:
            here = "" if text.strip() == here else here
            continue
        is_typed = text.lstrip().startswith("$ ") or not has_prompts or joined
        if not is_typed:
            continue
        first = first or number
        joined += text.lstrip().removeprefix("$ ").removesuffix("\\")
        if not text.endswith("\\"):
            yield first, joined
            mark = re.search(r"<<-?\s*['\"]?(\w+)", joined)
            here, joined, first = mark[1] if mark else "", "", 0


def program_calls(line: str) -> Iterator[list[str]]:
    """The calls of our programs in one shell line, each with the program's name first."""
    for words in simple_commands(line):
        for index, word in enumerate(words):
            name = word.rsplit("/", 1)[-1]
            if name in PROGRAMS:
                yield [name, *words[index + 1 :]]
                break
            if "uv" not in words[:index] and not _BEFORE_A_PROGRAM.fullmatch(name):
                break


def simple_commands(line: str) -> Iterator[list[str]]:
    """Cut a shell line at pipes and the like; redirections and comments are left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        tokens = list(lexer)
    except ValueError:
        tokens = line.split()
    words: list[str] = []
    is_redirected = False
    for token in tokens:
        if token.startswith("#"):
            break
        if not token.strip("();<>|&"):
            is_redirected = bool({"<", ">"} & set(token))
            if not is_redirected:
                yield words
                words = []
        elif is_redirected:
            is_redirected = False
        else:
            words.append(token)
    yield words


def complaint(command: "click.Command", words: list[str]) -> str | None:
    """What `--help` does not know of this command line: a command or an option."""
    import click

    path, rest = "magsag", [word.strip("[]") for word in words if word not in {"...", "…"}]
    while True:
        context = click.Context(command, info_name=path)
        try:
            _, rest, _ = command.make_parser(context).parse_args(rest)
        except click.UsageError as error:
            return error.format_message()
        if not isinstance(command, click.Group) or not rest or _PLACEHOLDER.fullmatch(rest[0]):
            return None
        found = command.get_command(context, rest[0])
        if found is None:
            return f"`{path}` has no command {rest[0]!r}; see `{path} --help`"
        command, path, rest = found, f"{path} {rest[0]}", rest[1:]


def main(arguments: list[str]) -> int:
    from magsag.surfaces.cli import cli

    root = Path(arguments[0] if arguments else Path(__file__).parents[2]).resolve()
    findings, warnings = check(root, datetime.now(UTC).date(), partial(complaint, cli))
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for finding in findings:
        print(finding)
    print(f"docs: {len(page_paths(root))} pages, {len(findings)} findings, {len(warnings)} warnings", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
