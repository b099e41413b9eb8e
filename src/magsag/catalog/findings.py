"""Findings: what a catalog has wrong, each with its place and the next move."""

from collections.abc import Iterable
from typing import Literal

from magsag.catalog.document import Document, Pointer
from magsag.domain.frozen import frozen

Severity = Literal["error", "warning"]


@frozen
class Finding:
    """One thing that is wrong, or, as a warning, that should not stay so."""

    place: str
    """`file:line:column`, from where the catalog was named"""
    what: str
    next: str
    severity: Severity
    path: str
    """the file, relative to the catalog"""
    line: int
    column: int
    subject: str | None = None
    """exact reference of what it is about (`skill:send-offer@0.3.0`, `contract:offer`); None for policies and people"""

    def __str__(self) -> str:
        return f"{self.place}: {self.what}; {self.next}" if self.next else f"{self.place}: {self.what}"


class Notes:
    """Collects findings: one per place and cause."""

    def __init__(self, shown: str) -> None:
        self._prefix = "" if shown in ("", ".") else shown.rstrip("/\\").replace("\\", "/") + "/"
        self._found: dict[tuple[str, int, int, str], Finding] = {}

    def add(
        self,
        path: str,
        at: tuple[int, int],
        what: str,
        next: str,
        *,
        subject: str | None = None,
        severity: Severity = "error",
    ) -> None:
        line, column = at
        place = f"{self._prefix}{path}:{line}:{column}"
        finding = Finding(place, what, next, severity, path, line, column, subject)
        self._found.setdefault((path, line, column, what), finding)

    def sorted(self) -> list[Finding]:
        """By file, line and column."""
        return sorted(self._found.values(), key=lambda finding: (finding.path, finding.line, finding.column))


class Notebook:
    """Notes about one manifest: knows its file and subject, and keeps quiet where the text itself is at fault."""

    def __init__(
        self, notes: Notes, path: str, document: Document, subject: str | None, faulted: Iterable[Pointer] = ()
    ) -> None:
        self._notes = notes
        self._path = path
        self._document = document
        self._subject = subject
        self._faulted = frozenset(faulted)
        self._spots = {(fault.line, fault.column) for fault in document.faults}

    def add(self, pointer: Pointer, what: str, next: str, *, key: bool = False, severity: Severity = "error") -> None:
        """At the value there; with `key` at the key that names it."""
        place = self._document.key_place(pointer) if key else self._document.place(pointer)
        self._put(pointer, place, what, next, severity)

    def add_in_text(self, pointer: Pointer, offset: int, what: str, next: str) -> None:
        """At one character of a text value."""
        self._put(pointer, self._document.text_place(pointer, offset), what, next, "error")

    def _put(self, pointer: Pointer, at: tuple[int, int], what: str, next: str, severity: Severity) -> None:
        if any(pointer[:length] in self._faulted for length in range(len(pointer) + 1)):
            return
        if self._document.place(pointer) in self._spots:
            return
        self._notes.add(self._path, at, what, next, subject=self._subject, severity=severity)
