"""Erases what a run was told and what it said: payloads go, facts and chains stay, and each erasure is a fact.

Only ended runs are erased: one that may go on would miss what it was told. What others took over from a run (forks, and
runs that continue it) are runs of their own; they are named, not touched. Nor are records, which outlive their runs.
"""

from collections.abc import Iterator
from typing import Final

from magsag.domain import facts
from magsag.domain.errors import Invalid
from magsag.domain.facts import ENDS
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.domain.sealed import Sealed
from magsag.engine.chain import seal, unseal
from magsag.ports.clock import Clock
from magsag.ports.ledger import RunQuery, Store
from magsag.services.recording.known import known_row

_BY_PEOPLE: Final = frozenset({"ApprovalDecided", "StandingApproved", "StandingRevoked", "BreakerMoved"})


@frozen
class Erased:
    """What is gone."""

    run: RunId
    runs: int
    """of its tree"""
    facts: int
    """whose payloads were removed now"""
    is_overwritten: bool
    """False: old bytes may stand in the files until the next vacuum"""
    words: int
    """facts that keep a reason which a person wrote"""
    copies: tuple[RunId, ...]
    """runs that took payloads over from this one; they keep them"""


class Erasing:
    """Takes payloads away, on record."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def erase(self, run: RunId, by: str) -> Erased:
        """Erase a whole run tree; a second time finds nothing. Raises Invalid for a part of a tree and an open one."""
        row = known_row(self._store, run)
        if row.root != run:
            raise Invalid(f"run {run} is a part of run {row.root}: erase that")
        rows = self._store.rows(RunQuery(root=run, roots_only=False, limit=None))
        for one in rows:
            if one.status not in ENDS:
                raise Invalid(f"run {one.run} is {one.status}: a run can be erased once it has ended, or is cancelled")
        at = self._clock.now()
        stones = {one.run: found for one in rows if (found := dict(self._tombstones(one.run, at, by)))}
        done = self._store.erase(run, stones, at) if stones else True
        words = sum(map(self._words, (one.run for one in rows)))
        return Erased(run, len(rows), sum(map(len, stones.values())), done, words, tuple(self._copies(run)))

    def _words(self, run: RunId) -> int:
        """Reasons are part of who decided what, so they stay with the facts."""
        told = (unseal(one) for one in self._store.read(run) if one.kind in _BY_PEOPLE)
        return sum(bool(getattr(fact, "reason", "") and getattr(fact, "by", None)) for fact in told)

    def _tombstones(self, run: RunId, at: int, by: str) -> Iterator[tuple[int, Sealed]]:
        for stored in self._store.read(run):
            if stored.input is not None or stored.output is not None:
                fact = facts.PayloadErased(at=at, seq=stored.seq, by=by)
                yield stored.seq, seal(fact, self._clock.chance(16))

    def _copies(self, run: RunId) -> Iterator[RunId]:
        for row in self._store.rows(RunQuery(limit=None)):
            if row.run == run or not (found := self._store.read(row.run)):
                continue
            started = unseal(found[0])
            if isinstance(started, facts.RunStarted) and run in (started.forked_from, started.continues):
                yield row.run
