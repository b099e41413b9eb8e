"""All of a store in memory out, and another ledger in."""

import time
from collections.abc import Iterator, Sequence
from typing import assert_never

from magsag.adapters.store.memory_part import ROW_FIELDS, MemoryRun, row_of
from magsag.adapters.store.memory_reading import MemoryReading
from magsag.domain.closure import Closure, Course
from magsag.domain.errors import Invalid
from magsag.ports.ledger import (
    AnchorLines,
    KeptBlob,
    KeptBudget,
    KeptBundle,
    KeptCap,
    KeptRecord,
    KeptReservation,
    KeptRun,
    KeptTicket,
    Piece,
)
from magsag.ports.standing_approvals import KeptStanding


class MemoryMoving(MemoryReading):
    """`ports.ledger.Moving`."""

    def closure(self) -> Closure | None:
        return self._closure

    def set_closure(self, closure: Closure | None, was: Closure | None) -> None:
        with self._lock:
            if self._closure != was:
                raise Invalid(self._closure.why() if self._closure else "this ledger was opened again meanwhile")
            if closure is not None and closure.course is Course.LEAVING:
                self._require_nobody()
            if closure is not None and closure.course is Course.FILLING:
                self._empty()
            self._closure = closure

    def pieces(self) -> Iterator[Piece]:
        with self._lock:
            found: list[Piece] = [KeptBundle(hash, body) for hash, body in sorted(self._bundles.items())]
            found += [KeptRun(row_of(self._runs[id]), self.read(id)) for id in sorted(self._runs)]
            blobs = [(root, id, body) for root, held in self._blobs.items() for id, body in held.items()]
            found += [KeptBlob(*blob) for blob in sorted(blobs)]
            found += [KeptRecord(*self._records[key]) for key in sorted(self._records)]
            found += [KeptTicket(self._tickets[id]) for id in sorted(self._tickets)]
            found += [KeptStanding(row) for _, row in sorted(self._standing_approvals.rows.items())]
            found += self._money.pieces()
        return iter(found)

    def fill(self, pieces: Sequence[Piece]) -> None:
        with self._lock:
            if self._closure is None or self._closure.course is not Course.FILLING:
                raise Invalid("this ledger is in use: nothing is put into it from elsewhere")
            for piece in pieces:
                self._put(piece)

    def _put(self, piece: Piece) -> None:
        match piece:
            case AnchorLines():
                pass  # there are none in memory
            case KeptBundle(hash, body):
                self._bundles[hash] = body
            case KeptRun(row, facts):
                given = {name: getattr(row, name) for name in ROW_FIELDS}
                self._runs[row.run] = MemoryRun(**given, facts=[(fact, fact.head) for fact in facts])
            case KeptBlob(root, id, body):
                self._blobs.setdefault(root, {})[id] = body
            case KeptRecord(record, run):
                self._records[record.tenant, record.key] = record, run
            case KeptTicket(ticket):
                self._tickets[ticket.id] = ticket
            case KeptStanding(standing):
                self._standing_approvals.rows[standing.id] = standing
            case KeptBudget() | KeptReservation() | KeptCap():
                self._money.put(piece)
            case _:
                assert_never(piece)

    def _require_nobody(self) -> None:
        for root, held in self._leases.items():
            if held.owner and held.until > time.monotonic():
                raise Invalid(f"run {root} is being driven by {held.owner}: wait until it has come to rest")

    def _empty(self) -> None:
        again = self._closure is not None and self._closure.course is Course.FILLING
        if not again and (self._runs or self._bundles or self._records or self._money.caps()):
            raise Invalid("this ledger holds something already: name an empty one")
        for held in (
            self._runs,
            self._bundles,
            self._blobs,
            self._records,
            self._tickets,
            self._standing_approvals.rows,
        ):
            held.clear()
        self._money.clear()
