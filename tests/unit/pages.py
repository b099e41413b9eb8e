"""The examples of our pages: which blocks are typed, which are files, and what counts as the same output.

The rules, for those who write pages:

    console     is typed line by line in the page's own folder; `# exit 3` behind a command says how it ends (else 0).
                Lines without `$ ` are what it prints; none at all: whatever it likes. `...` stands for anything.
    sh          is shown, not typed: what needs a clone, a network or a person.
    yaml, python, toml, json with a path in its first line (`# catalog/flows/a.yaml`) or in a comment above the block
                (`<!-- file: a.json -->`): a file of that folder. Without a path: an example that must be readable.

Ids, times, hashes and sizes differ from run to run and are compared as if they were the same.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ops.tools.check_docs import page_paths, read_page

ROOT: Final = Path(__file__).parents[2]
HOME: Final = "/home/you"
"""how pages call the folder in which their examples are typed"""

_FILE_LINE: Final = re.compile(r"# ([\w./-]+\.(?:yaml|yml|py|toml|md|txt))")
_FILE_MARK: Final = re.compile(r"<!-- file: (\S+) -->")
_EXIT: Final = re.compile(r"\s+# exit (\d+)\s*$")
_VOLATILE: Final = (
    (re.compile(r"\b0[0-9a-hjkmnp-tv-z]{19}\b"), "RUN"),
    (re.compile(r"\b[0-9a-f]{12,64}\b"), "HASH"),
    (re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:\+00:00|Z)?)?"), "DATE"),
    (re.compile(r"\b\d[\d,]*(?:\.\d+)? ?(?:ms|s|min|MB|kB|KB|bytes)\b"), "AMOUNT"),
    (re.compile(r'("(?:\w+_)?(?:ms|took|at|due|act_by|bytes)": ?)\d+(?:\.\d+)?'), r"\1N"),
    (re.compile(r"bash: line \d+: +\d+ Killed.*"), "Killed"),
    (re.compile(r"[ \t]+"), " "),
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page."""

    page: str
    line: int
    """of its first line"""
    language: str
    text: str
    file: str | None
    """where it belongs, when it is a file"""

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True)
class Typed:
    """One command, and what the page says of it."""

    line: int
    command: str
    code: int
    output: list[str]


def pages() -> list[Path]:
    """Everything that people read and that nobody generates."""
    return [path for path in page_paths(ROOT) if "canonical" not in path.parts]


def blocks(path: Path, root: Path = ROOT) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    page = read_page(path, root)
    prose = dict(page.prose)
    found = []
    for language, lines in page.blocks:
        if lines:
            first = lines[0][0]
            mark = _FILE_MARK.fullmatch(prose.get(first - 2, "").strip())
            own = _FILE_LINE.fullmatch(lines[0][1].strip()) if language in ("yaml", "python", "toml") else None
            text = "\n".join(line for _, line in lines) + "\n"
            found.append(Block(page.name, first, language, text, (mark or own or (None, None))[1]))
    return found


def typed(block: Block) -> Iterator[Typed]:
    """The commands of a console block; a trailing backslash goes on, a here-document goes to its end.

    What `make` types is output: the rest of its block is what it shows.
    """
    lines = block.text.splitlines()
    at = 0
    while at < len(lines):
        start = at
        if not lines[at].startswith("$ "):
            raise ValueError(f"{block.page}:{block.line + at}: a console block begins with `$ `")
        command = [lines[at][2:]]
        at += 1
        while command[-1].endswith("\\") or _is_open(command):
            command.append(lines[at])
            at += 1
        output = []
        while at < len(lines) and (command[0].startswith("make ") or not lines[at].startswith("$ ")):
            output.append(lines[at])
            at += 1
        text = "\n".join(command)
        code = _EXIT.search(text)
        yield Typed(block.line + start, _EXIT.sub("", text), int(code[1]) if code else 0, output)


def differences(told: list[str], seen: str, folder: str) -> list[str]:
    """What of the told output was not seen, or the other way round; empty when they agree."""
    pattern = [_normal(line, folder) for line in told]
    lines = [_normal(line, folder) for line in seen.splitlines()]
    return (
        [] if _agree(pattern, lines) else [f"told {line!r}" for line in pattern] + [f"seen {line!r}" for line in lines]
    )


def _is_open(command: list[str]) -> bool:
    """Whether a here-document waits for its end."""
    start = re.search(r"<<-?\s*['\"]?(\w+)['\"]?", command[0])
    return start is not None and (len(command) == 1 or command[-1].strip() != start[1])


def _normal(line: str, folder: str) -> str:
    line = line.replace(folder, HOME)
    for pattern, word in _VOLATILE:
        line = pattern.sub(word, line)
    return line.strip()


def _agree(told: list[str], seen: list[str]) -> bool:
    """Line by line; `...` alone stands for any number of lines, inside a line for any text."""
    if not told:
        return not seen
    if told[0] == "...":
        return any(_agree(told[1:], seen[at:]) for at in range(len(seen) + 1))
    return bool(seen) and _same(told[0], seen[0]) and _agree(told[1:], seen[1:])


def _same(told: str, seen: str) -> bool:
    parts = (re.escape(part) for part in told.split("..."))
    return re.fullmatch(".*".join(parts), seen) is not None
