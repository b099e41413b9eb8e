"""Stores that fail when they are told to: commits that do not happen, and processes that die at one."""

import os
import signal
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, cast

from magsag.domain.effects import Level
from magsag.domain.errors import StoreBroken
from magsag.ports.ledger import Declined, Store, Write, Written


class When(StrEnum):
    """On which side of a commit something happens."""

    BEFORE = "before"
    AFTER = "after"


class BreakingStore:
    """Passes everything on to another store; the writes whose numbers (1 is the first) are in `broken` fail."""

    def __init__(self, store: Store, broken: frozenset[int] = frozenset()) -> None:
        self._store = store
        self.broken = broken
        self.writes = 0

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        self.writes += 1
        if self.writes in self.broken:
            raise StoreBroken(f"write {self.writes} fails on purpose")
        return self._store.write(writes, level)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class DyingStore:
    """Passes everything on; the process kills itself before or after its write of that number."""

    def __init__(self, store: Store, number: int, when: When) -> None:
        self._store = store
        self._number = number
        self._when = when
        self.writes = 0

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        self.writes += 1
        if self.writes == self._number and self._when is When.BEFORE:
            os.kill(os.getpid(), signal.SIGKILL)
        answers = self._store.write(writes, level)
        if self.writes == self._number:
            os.kill(os.getpid(), signal.SIGKILL)
        return answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def breaking(store: Store, *numbers: int) -> Store:
    """The same store, but its writes of these numbers fail."""
    return cast(Store, BreakingStore(store, frozenset(numbers)))


def dying(store: Store, number: int, when: When) -> Store:
    """The same store, but the process dies at the write of this number."""
    return cast(Store, DyingStore(store, number, when))
