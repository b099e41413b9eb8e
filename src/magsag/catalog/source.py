"""Reads a catalog's files from the disk; the only file of the catalog that does.

Decides which files belong to a catalog: manifests and contracts (YAML, JSON), prompts (Markdown) and Python.
Folders whose name starts with `_` or `.`, and `tests`, are left alone. Links to folders are not followed, and
endings in capital letters are not read: both are told, since a policy may stand there.
"""

import os
from pathlib import Path
from typing import Final

from magsag.domain.errors import Invalid
from magsag.domain.frozen import frozen

SUFFIXES: Final = (".yaml", ".yml", ".json", ".md", ".py")
_SKIPPED: Final = frozenset({"tests", "node_modules"})


@frozen
class Source:
    """The files of one catalog as they were at one moment."""

    root: str
    """absolute folder"""
    files: dict[str, bytes]
    """posix path relative to the root -> content, sorted"""
    unread: dict[str, str]
    """what could not be read, with the reason"""


def read_folder(root: Path) -> Source:
    """Read all files of a catalog. Raises Invalid when there is no such folder."""
    if not root.is_dir():
        raise Invalid(f"{root}: there is no catalog folder; `magsag init DIR` makes a project with one")
    files: dict[str, bytes] = {}
    unread: dict[str, str] = {}
    base = str(root)

    def note(error: OSError) -> None:
        unread[_relative(str(error.filename or base), base)] = error.strerror or str(error)

    for folder, names, leaves in os.walk(base, onerror=note):
        names[:] = sorted(name for name in names if name[0] not in "_." and name not in _SKIPPED)
        for name in names:
            if os.path.islink(path := os.path.join(folder, name)):
                unread[_relative(path, base)] = "it is a link to a folder, and those are not followed"
        for leaf in leaves:
            if leaf.endswith(SUFFIXES) and not leaf.startswith("."):
                _read_file(os.path.join(folder, leaf), base, files, unread)
            elif leaf.lower().endswith(SUFFIXES) and not leaf.startswith("."):
                unread[_relative(os.path.join(folder, leaf), base)] = "its ending has capital letters"
    return Source(os.path.abspath(base), dict(sorted(files.items())), unread)


def stamp_of(root: Path) -> frozenset[tuple[str, int, int]]:
    """Name, time and size of every file below a folder: another answer means that something was changed there."""
    found = set()
    for folder, _, leaves in os.walk(root):
        for leaf in leaves:
            path = os.path.join(folder, leaf)
            try:
                at = os.stat(path)
            except OSError:
                continue
            found.add((path, at.st_mtime_ns, at.st_size))
    return frozenset(found)


def _read_file(path: str, base: str, files: dict[str, bytes], unread: dict[str, str]) -> None:
    relative = _relative(path, base)
    try:
        relative.encode()
        if not os.path.isfile(path):
            raise OSError(0, "it is no ordinary file")
        with open(path, "rb") as file:
            files[relative] = file.read()
    except UnicodeEncodeError:
        unread[relative.encode("utf-8", "replace").decode()] = "its name is not UTF-8"
    except OSError as error:
        unread[relative] = error.strerror or str(error)


def _relative(path: str, base: str) -> str:
    return os.path.relpath(path, base).replace(os.sep, "/")
