"""Reads `magsag.toml` into dotted keys, each with its line. What keys mean is decided elsewhere.

The TOML reader of Python gives no positions, so the line of a key is looked for in the text; where it is written
in a way that this does not see, the line of its table stands for it.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from magsag.domain.errors import Invalid
from magsag.domain.frozen import frozen

FILE: Final = "magsag.toml"
_NAME: Final = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_PATH: Final = rf"{_NAME}(?:\s*\.\s*{_NAME})*"
_TABLE: Final = re.compile(rf"\s*\[\[?\s*({_PATH})\s*\]\]?\s*(?:#.*)?")
_LINE: Final = re.compile(rf"\s*({_PATH})\s*=")
_PLACE: Final = re.compile(r"(.*?)\s*\(at line (\d+), column (\d+)\)")


@frozen
class Written:
    """The values of a settings file by dotted key, in the order of the file."""

    shown: str
    values: Mapping[str, object]
    lines: Mapping[str, int]

    def place(self, key: str) -> str:
        """`magsag.toml:3`, the line of the key or of the nearest table around it."""
        while key and key not in self.lines:
            key = key.rpartition(".")[0]
        return f"{self.shown}:{self.lines.get(key, 1)}"


def read_file(path: Path, shown: str) -> Written:
    """Raises Invalid, with the place, when the file cannot be read or is no TOML."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise Invalid(f"{shown}:{line}: the file is not UTF-8; save it as UTF-8") from error
    except OSError as error:
        raise Invalid(f"{shown}: cannot be read: {error.strerror}") from error
    import tomllib

    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Invalid(_syntax(shown, str(error))) from error
    return Written(shown, dict(_flat(tables)), _lines(text))


def _syntax(shown: str, message: str) -> str:
    if (match := _PLACE.fullmatch(message)) is None:
        return f"{shown}: no TOML: {message}"
    what, line, column = match.groups()
    return f"{shown}:{line}:{column}: no TOML: {what[0].lower()}{what[1:]}"


def _flat(tables: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Two levels, which is what there is; what lies deeper stays a value and is refused by its key."""
    for name, value in tables.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{key}", inner) for key, inner in value.items())
        else:
            yield name, value


def _lines(text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if match := _TABLE.fullmatch(line):
            table = _bare(match[1])
            found.setdefault(table, number)
        elif match := _LINE.match(line):
            name = _bare(match[1])
            found.setdefault(f"{table}.{name}" if table else name, number)
    return found


def _bare(path: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in path.split("."))
