"""Which installed packages a catalog's Python imports, and whether those of today are fit for a run of yesterday.

Found by reading the code, never by running it; the standard library and magsag itself are left out. A package is
recorded by the name and version of its distribution, as `importlib.metadata` knows them.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from pydantic_core import from_json, to_json

from magsag.catalog.python_text import parsed
from magsag.domain.errors import Broken
from magsag.domain.frozen import frozen

RECORD: Final = ".packages.json"
"""the record's name in a frozen bundle; no file of that name is ever read from a catalog's folder"""
_IMPORTS: Final = re.compile(rb"\bfrom\s+([\w.]+)\s+import\b|\bimport\s+([^#\n;]+)")
_OWN: Final = frozenset(sys.stdlib_module_names) | {"magsag", "__future__", ""}


@frozen
class Drift:
    """A package that is another one now."""

    name: str
    was: str
    now: str | None
    """None when it is not installed"""

    @property
    def is_compatible(self) -> bool:
        """Whether the first number of the version is the same."""
        return self.now is not None and _major(self.was) == _major(self.now)


def packages_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """Distribution -> version, for what the Python among these files imports and is installed here."""
    names = {name for path, source in files.items() if path.endswith(".py") for name in _imported(source)}
    if not names:
        return {}
    found = {distribution for name in names for distribution in _distributions().get(name, ())}
    return {name: version for name in sorted(found) if (version := _installed(name)) is not None}


def drifts(recorded: Mapping[str, str]) -> list[Drift]:
    """Those that are installed in another version now, or not at all."""
    found = (Drift(name, was, _installed(name)) for name, was in sorted(recorded.items()))
    return [drift for drift in found if drift.now != drift.was]


def record_of(packages: Mapping[str, str]) -> bytes:
    """As it stands in a frozen bundle."""
    return to_json(dict(sorted(packages.items())))


def read_record(data: bytes) -> dict[str, str]:
    """Raises Broken for what `record_of` did not write."""
    try:
        held = from_json(data)
        return {str(name): str(version) for name, version in held.items()}
    except (ValueError, AttributeError) as error:
        raise Broken(f"the packages of a stored bundle cannot be read: {error}; run `magsag data check`") from error


def _imported(source: bytes) -> Iterator[str]:
    """First names of what is imported absolutely. Most files import nothing foreign: those are not parsed."""
    if not any(word not in _OWN for line in _IMPORTS.finditer(source) for word in _words(line)):
        return
    import ast  # a frozen bundle has its record

    try:
        tree = parsed(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (_first(alias.name) for alias in node.names if _first(alias.name) not in _OWN)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module and _first(node.module) not in _OWN:
            yield _first(node.module)


def _words(line: re.Match[bytes]) -> Iterator[str]:
    if line[1] is not None:
        yield _first(line[1].decode("utf-8", "replace"))
        return
    for part in line[2].decode("utf-8", "replace").split(","):
        yield _first(part.strip().partition(" ")[0])


def _first(name: str) -> str:
    return name.partition(".")[0]


def _major(version: str) -> str:
    """`2` of `2.7.1`, `1!2` of `1!2.7`."""
    return version.partition(".")[0]


@cache
def _distributions() -> Mapping[str, list[str]]:
    from importlib.metadata import packages_distributions  # reads every installed package

    return packages_distributions()


def _installed(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version  # only those who ask pay for it

    try:
        return version(name)
    except PackageNotFoundError:
        return None
