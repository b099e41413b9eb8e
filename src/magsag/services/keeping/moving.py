"""Moves the whole ledger into another store, of any backend, so that at no instant two of them may act.

The old one is closed first, then copied and compared; it is closed for good before the new one opens. Whatever breaks
in between leaves the old one as it was, or, after a kill, closed until somebody moves it again or cancels.
"""

from collections.abc import Callable
from contextlib import closing
from typing import Final, assert_never

from magsag.domain.errors import Invalid, LedgerClosed, Refused, StoreBroken
from magsag.domain.frozen import frozen
from magsag.ports.clock import Clock
from magsag.ports.ledger import (
    AnchorLines,
    Closure,
    Course,
    KeptBlob,
    KeptBudget,
    KeptBundle,
    KeptCap,
    KeptRecord,
    KeptReservation,
    KeptRun,
    KeptTicket,
    Piece,
    Store,
)
from magsag.ports.standing_approvals import KeptStanding
from magsag.services.keeping.tallies import Tally, tally
from magsag.services.keeping.upkeep import now_and_then

_COMMIT_BYTES: Final = 4 << 20
"""so much is put into the new ledger at once"""
_COMMIT_PIECES: Final = 500
Heard = Callable[[str], None]
"""told what is being done"""


@frozen
class Moved:
    """What went where; both ledgers held the same."""

    source: str
    target: str
    tallies: dict[str, Tally]
    """by sort: anchors, bundles, runs, facts, large values, records, tickets, standing approvals, budgets,
    reservations, caps"""


class Moving:
    """Moves the ledger of this process."""

    def __init__(self, store: Callable[[], Store], open_other: Callable[[str], Store], clock: Clock) -> None:
        """`open_other` opens or makes the ledger of a name. Raises Invalid, StoreBroken."""
        self._store = store
        self._open_other = open_other
        self._clock = clock

    def migrate(self, to: str, heard: Heard) -> Moved:
        """Raises Invalid while a run is driven or when `to` is not empty, Refused for a ledger that has faults."""
        source = self._store()
        if source.describe()["backend"] == "memory":
            raise Invalid("runs in memory cannot be moved; switch [features] durable on to keep them in a ledger")
        with closing(self._open_other(to)) as target:
            here, there = _place(source), _place(target)
            if here == there:
                raise Invalid(f"{there} is the ledger that is to be moved: name another one")
            was = source.closure()
            if was is not None and was.course is not Course.LEAVING:
                return self._finish(_Way(source, target, here, there, heard), was)
            leaving = Closure(Course.LEAVING, there, self._clock.now())
            source.set_closure(leaving, was)
            try:
                return self._move(_Way(source, target, here, there, heard), leaving)
            except BaseException:
                if source.closure() == leaving:
                    source.set_closure(None, leaving)
                raise

    def cancel(self) -> Closure:
        """Open the ledger that an interrupted move left closed. Raises Invalid when there is none, or it is over."""
        source = self._store()
        was = source.closure()
        if was is None:
            raise Invalid("this ledger is in use: there is no move to cancel")
        if was.course is not Course.LEAVING:
            raise LedgerClosed(f"{_place(source)}: {was.why()}")
        source.set_closure(None, was)
        return was

    def _move(self, way: "_Way", leaving: Closure) -> Moved:
        way.heard(f"checking {way.here}")
        if faults := way.source.check(now_and_then("checked", way.heard)):
            shown = f"{faults[0].where}: {faults[0].what}"
            raise Refused(f"this ledger has {len(faults)} faults, so it stays where it is; the first: {shown}")
        way.copy(self._clock.now())
        moved = way.compare()
        if moved is None:
            raise StoreBroken(f"{way.there} does not hold what was put into it; nothing was moved, run it again")
        left = Closure(Course.LEFT, way.there, self._clock.now())
        way.source.set_closure(left, leaving)
        way.target.set_closure(None, way.target.closure())
        return moved

    def _finish(self, way: "_Way", was: Closure) -> Moved:
        """The old ledger was closed for good, and the process died before it opened the new one."""
        closure = way.target.closure()
        if was.course is not Course.LEFT or was.elsewhere != way.there:
            raise LedgerClosed(f"{way.here}: {was.why()}")
        if closure is None or closure.course is not Course.FILLING:
            raise LedgerClosed(f"{way.here}: {was.why()}; that move is done already, there is nothing left to move")
        moved = way.compare()
        if moved is None:
            way.copy(self._clock.now())
            moved = way.compare()
        if moved is None:
            raise StoreBroken(f"{way.there} does not hold what was put into it; run it again")
        way.target.set_closure(None, way.target.closure())
        return moved


@frozen
class _Way:
    """From one ledger to another."""

    source: Store
    target: Store
    here: str
    there: str
    heard: Heard

    def copy(self, now: int) -> None:
        """Everything, in commits of a bearable size, into a ledger that drives nothing meanwhile."""
        self.target.set_closure(Closure(Course.FILLING, self.here, now), self.target.closure())
        batch: list[Piece] = []
        runs = size = 0
        for piece in self.source.pieces():
            batch.append(piece)
            size += _size(piece)
            runs += isinstance(piece, KeptRun)
            if size >= _COMMIT_BYTES or len(batch) >= _COMMIT_PIECES:
                self.target.fill(batch)
                self.heard(f"copied {runs:,} runs")
                batch, size = [], 0
        self.target.fill(batch)
        self.heard(f"copied {runs:,} runs to {self.there}")

    def compare(self) -> Moved | None:
        """What both hold; None when they differ."""
        self.heard("comparing")
        tallies = tally(self.source.pieces())
        return Moved(self.here, self.there, tallies) if tally(self.target.pieces()) == tallies else None


def _size(piece: Piece) -> int:
    match piece:
        case AnchorLines(data):
            return len(data)
        case KeptBundle(_, body) | KeptBlob(_, _, body):
            return len(body)
        case KeptRun(_, facts):
            return sum(len(fact.body) + len(fact.input or b"") + len(fact.output or b"") for fact in facts)
        case KeptRecord(record):
            return len(record.value)
        case KeptTicket(ticket):
            return len(ticket.body)
        case KeptStanding():
            return 0
        case KeptBudget() | KeptReservation() | KeptCap():
            return 200
        case _:
            assert_never(piece)


def _place(store: Store) -> str:
    return str(store.describe()["location"])
