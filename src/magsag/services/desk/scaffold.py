"""Starts new projects, agents, skills and flows as copies of the shipped templates.

The rules of the templates stand beside them (`agents/_template/README.md`): `__slug__` becomes the slug, what lies
in a template's `contracts/` goes to the catalog's, and nothing is ever overwritten.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from magsag.domain.errors import Invalid, Refused

_SLUG: Final = re.compile(r"[a-z][a-z0-9-]{0,98}[a-z0-9]")
_SKIPPED: Final = frozenset({"__pycache__", ".DS_Store"})
_MARK: Final = "__slug__"


class Scaffold:
    """Copies templates of the shipped catalog into the catalog in force."""

    def __init__(self, shipped: Path, catalog: Path, is_own: bool) -> None:
        """`is_own`: the catalog in force belongs to the user's project."""
        self._shipped = shipped
        self._catalog = catalog
        self._is_own = is_own

    def project(self, folder: Path) -> list[Path]:
        """A working project in a new or empty folder; its files. Raises Refused when there is something in it."""
        if folder.exists() and not folder.is_dir():
            raise Refused(f"{folder} is a file; choose another name for the project")
        if folder.is_dir() and any(folder.iterdir()):
            raise Refused(f"{folder} is not empty; choose a new or empty folder")
        source = self._shipped / "_project_template"
        return _write({folder / path.relative_to(source): path.read_bytes() for path in _files(source)})

    def agent(self, slug: str, role: str) -> list[Path]:
        """A new main or sub agent; its files."""
        template = "agents/_template/mag-template" if role == "main" else "agents/_template/sag-template"
        return self._copy(template, slug, f"agents/{role}/{slug}")

    def skill(self, slug: str) -> list[Path]:
        """A new skill; its files."""
        return self._copy("skills/_template", slug, f"skills/{slug}")

    def flow(self, slug: str) -> list[Path]:
        """A new flow; its files."""
        return self._copy("flows/_template", slug, "flows")

    def _copy(self, template: str, slug: str, place: str) -> list[Path]:
        """Raises Invalid for a bad slug, Refused where there is no catalog of the user's or a file stands already."""
        if not _SLUG.fullmatch(slug):
            raise Invalid(f"{slug!r} is no slug: small letters, digits and dashes, at least two, a letter first")
        if not self._is_own:
            raise Refused("there is no project here to put it into; `magsag init DIR` makes one")
        source = self._shipped / template
        files: dict[Path, bytes] = {}
        for path in _files(source):
            relative = path.relative_to(source).as_posix().replace(_MARK, slug)
            start = self._catalog if relative.startswith("contracts/") else self._catalog / place
            files[start / relative] = path.read_bytes().replace(_MARK.encode(), slug.encode())
        return _write(files)


def _files(folder: Path) -> list[Path]:
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _SKIPPED.intersection(path.parts)]
    if not found:
        raise Refused(f"{folder}: the template is missing; install MAGSAG again")
    return found


def _write(files: Mapping[Path, bytes]) -> list[Path]:
    """All files or none, as far as the disk lets us."""
    if taken := [path for path in files if path.exists()]:
        raise Refused(f"{taken[0]} exists and is not overwritten; choose another slug or move it away")
    written: list[Path] = []
    try:
        for path, content in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            written.append(path)
            with path.open("xb") as file:
                file.write(content)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise Refused(f"{error.filename}: cannot be written: {error.strerror}") from error
    return written
