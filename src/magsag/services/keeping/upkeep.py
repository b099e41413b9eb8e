"""Keeping the ledger in order: what people ask of the store by hand. The store itself does the work."""

from collections.abc import Callable
from typing import Final

from magsag.domain.errors import Invalid, LedgerClosed
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.domain.sealed import Fault
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store, Vacuumed

_DAY: Final = 86_400_000_000
_HOUR: Final = 3_600_000_000
MEGABYTE: Final = 1_000_000
_TELL_AFTER: Final = 50_000
"""so many facts are a second or two of looking"""


@frozen
class Shrunk:
    """What a vacuum did, and what is left."""

    removed: Vacuumed
    bytes: int
    """what the ledger takes; after a dry run, about what it would take"""
    fits: bool
    """whether that is what was asked for"""


class Upkeep:
    """The ledger as a thing to look after."""

    def __init__(self, make: Callable[[], Store], store: Callable[[], Store], clock: Clock) -> None:
        """`make` opens the ledger, or makes it; `store` raises Invalid where there is none."""
        self._make = make
        self._store = store
        self._clock = clock

    def open(self) -> dict[str, object]:
        """Open the ledger, make it when there is none, and describe it. Raises StoreBroken."""
        return self._make().describe()

    def check(self, heard: Callable[[str], None]) -> list[Fault]:
        """Everything that is wrong with digests, chains, statuses and anchors; `heard` is told how far it is."""
        return self._store().check(now_and_then("verified", heard))

    def accept(self, by: str) -> dict[RunId, int]:
        """Let runs go on though the anchors hold more of them: these, and up to which fact they hold."""
        return self._store().accept(by)

    def vacuum(self, hot_days: int, dry_run: bool, max_megabytes: int | None = None) -> Shrunk:
        """Remove run trees that ended before the last `hot_days` days, counted from midnight UTC.

        With `max_megabytes` younger ones too, the oldest first, until the ledger takes no more than that. What was
        touched in the last hour stays, and so do the bundles that processes begin runs with (`services.steps.bundles`).
        Raises Invalid for numbers that mean nothing, LedgerClosed for a ledger that was moved.
        """
        if hot_days < 0:
            raise Invalid(f"--hot-days {hot_days}: days are counted from 0")
        store, now = self._store(), self._clock.now()
        if (standing := store.closure()) is not None:
            raise LedgerClosed(standing.why())
        removed = store.vacuum(min(now - now % _DAY - hot_days * _DAY, now - _HOUR), dry_run)
        size = _bytes(store)
        if max_megabytes is None:
            return Shrunk(removed, size, True)
        most = max_megabytes * MEGABYTE
        if size > most:
            removed, size = (self._forecast if dry_run else self._shrunk)(store, removed, size, most)
        return Shrunk(removed, size, size <= most)

    def _shrunk(self, store: Store, removed: Vacuumed, size: int, most: int) -> tuple[Vacuumed, int]:
        """Remove more until it fits, or nothing is left, or the backend keeps the space for new rows."""
        floor = removed.cutoff
        while size > most and (cutoff := self._cutoff(store, size - most, floor)) is not None:
            floor, there = cutoff, {weight.root: weight.bytes for weight in store.weights()}
            removed, before = _both(removed, store.vacuum(cutoff, dry_run=False)), size
            size, left = _bytes(store), {weight.root for weight in store.weights()}
            freed = sum(taken for root, taken in there.items() if root not in left)
            if before - size < freed / 2:
                break
        return removed, size

    def _cutoff(self, store: Store, wanted: int, floor: int) -> int | None:
        """Before when trees must have been touched for about so many bytes to go; None when none is left."""
        freed, cutoff = 0, None
        for weight in store.weights():
            if freed >= wanted or weight.updated >= self._clock.now() - _HOUR:
                break
            if weight.updated >= floor:
                freed, cutoff = freed + weight.bytes, weight.updated + 1
        return cutoff

    def _forecast(self, store: Store, hot: Vacuumed, size: int, most: int) -> tuple[Vacuumed, int]:
        """What would go, and about how much would be left."""
        cutoff = self._cutoff(store, size - most, 0)
        found = store.vacuum(max(cutoff or 0, hot.cutoff), dry_run=True)
        freed = sum(weight.bytes for weight in store.weights() if weight.updated < found.cutoff)
        return found, max(0, size - freed)

    def backup(self, destination: str) -> str:
        """Write a consistent copy while others go on; how to put it back. Raises Invalid where one exists."""
        return self._store().backup(destination)


def now_and_then(what: str, heard: Callable[[str], None]) -> Callable[[int], None]:
    """For `ports.ledger.Upkeep.check`: a word after so many facts."""
    told = 0

    def hear(facts: int) -> None:
        nonlocal told
        if facts - told >= _TELL_AFTER:
            told = facts
            heard(f"{what} {facts:,} facts")

    return hear


def _bytes(store: Store) -> int:
    return int(str(store.describe()["bytes"]))


def _both(one: Vacuumed, other: Vacuumed) -> Vacuumed:
    sums = (one.runs + other.runs, one.facts + other.facts, one.bundles + other.bundles)
    return Vacuumed(*sums, max(one.cutoff, other.cutoff), one.dry_run)
