"""When a ledger may be closed, filled and opened again, the same on every database. The order of a move:
`services.keeping.moving`.

A closed ledger refuses by triggers, so that processes which have it open are refused too, and an open one pays nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

from magsag.adapters.store.anchors import Anchors, Rest
from magsag.adapters.store.pieces import Asked, anchor_lines, append_owed, pieces_of, rows_of
from magsag.adapters.store.reading import Answers, closure_of
from magsag.domain.closure import Closure, Course
from magsag.domain.errors import Invalid
from magsag.domain.ids import RunId
from magsag.ports.ledger import AnchorLines, KeptRun, Piece, RunRow

TRIGGERS: Final = {
    "closed_to_leases": ("insert", "leases"),
    "closed_to_drivers": ("update", "leases"),
    "closed_to_facts": ("update", "runs"),
    "closed_to_runs": ("insert", "runs"),
}
"""every write makes or moves the row of a run, or takes a lease"""


def triggers_of(closure: Closure) -> Iterator[tuple[str, str, str]]:
    """Name, event and table. A ledger that is filled takes new rows, but nobody drives them."""
    for name, (event, table) in TRIGGERS.items():
        if name != "closed_to_runs" or closure.course is not Course.FILLING:
            yield name, event, table


class Alone(Protocol):
    """A ledger in one transaction that no other write overlaps."""

    def one(self, name: str, parameters: tuple[object, ...] = (), /) -> tuple[Any, ...] | None:
        """The first row of a named statement, where it answers any."""

    def put(self, table: str, rows: Sequence[tuple[object, ...]], /) -> None:
        """Rows of another ledger; `table` in the singular."""

    def put_anchored(self, row: RunRow, /) -> None:
        """Note of a run from elsewhere whether its end is to be anchored here."""

    def owed(self) -> list[Rest]:
        """Ended runs that may have no line in the anchors; from now on they are none of these."""

    def driver(self) -> tuple[RunId, str] | None:
        """A tree that is driven, and by whom."""

    def empty(self) -> None:
        """Remove all that is in it."""

    def refuse(self, closure: Closure, /) -> None:
        """Make the triggers."""

    def let_in(self) -> None:
        """Remove them."""


class ClosingPart(ABC):
    """`ports.ledger.Moving`."""

    _reads: Answers
    _anchors: Anchors
    _another: str
    """what to name instead of a ledger that is in use"""

    @abstractmethod
    def _alone(self, closing: bool) -> AbstractContextManager[Alone]:
        """The ledger and its anchors, ours while the block runs; all of it happens, or nothing. Raises StoreBroken."""

    @abstractmethod
    def _view(self) -> AbstractContextManager[Asked]:
        """One moment of it, however long looking takes. Raises StoreBroken."""

    def set_closure(self, closure: Closure | None, was: Closure | None) -> None:
        with self._alone(closing=True) as ledger:
            now = closure_of(ledger.one("standing"))
            if now != was:
                raise Invalid(f"{self._reads.location}: {now.why() if now else 'it was opened again meanwhile'}")
            was_filled = now is not None and now.course is Course.FILLING
            ledger.let_in()
            ledger.one("stand_open")
            if closure is None:
                if was_filled:
                    append_owed(self._anchors, ledger.owed())
                return
            if closure.course is Course.LEAVING:
                self._require_nobody(ledger)
            if closure.course is Course.FILLING:
                self._empty(ledger, again=was_filled)
            ledger.one("stand", (closure.course, closure.elsewhere, closure.since))
            ledger.refuse(closure)

    def pieces(self) -> Iterator[Piece]:
        """The anchors are read first: they are never ahead of what is read after them."""
        yield from anchor_lines(self._anchors)
        with self._view() as rows:
            yield from pieces_of(rows)

    def fill(self, pieces: Sequence[Piece]) -> None:
        with self._alone(closing=False) as ledger:
            now = closure_of(ledger.one("standing"))
            if now is None or now.course is not Course.FILLING:
                raise Invalid(f"{self._reads.location}: this ledger is in use: nothing is put into it from elsewhere")
            for piece in pieces:
                if isinstance(piece, AnchorLines):
                    self._anchors.take_over(piece.data)
                for table, rows in rows_of(piece):
                    ledger.put(table, rows)
                if isinstance(piece, KeptRun):
                    ledger.put_anchored(piece.row)

    def _require_nobody(self, ledger: Alone) -> None:
        if (driven := ledger.driver()) is not None:
            raise Invalid(
                f"{self._reads.location}: run {driven[0]} is being driven by {driven[1]}: stop what drives runs, "
                "or wait until they have come to rest, and try again"
            )

    def _empty(self, ledger: Alone, again: bool) -> None:
        if not again:
            holds_anchors = self._anchors.path.stat().st_size > 0
            if holds_anchors or ledger.one("holds_something") is not None:
                what = f"its anchors {self._anchors.path}" if holds_anchors else "it"
                raise Invalid(
                    f"{self._reads.location}: {what} hold what belongs to another ledger; name {self._another}"
                )
        ledger.empty()
        self._anchors.forget()
