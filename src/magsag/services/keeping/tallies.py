"""What a whole ledger holds, counted and hashed by sort, so that two of any backend can be compared."""

from collections.abc import Iterable
from dataclasses import fields
from hashlib import sha256
from typing import Final, assert_never

from pydantic_core import to_json

from magsag.domain.frozen import frozen
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
    RunRow,
    Stored,
    TicketRow,
)
from magsag.ports.standing_approvals import KeptStanding, StandingRow

SORTS: Final = (
    *("anchors", "bundles", "runs", "facts", "large values", "records", "tickets", "standing approvals"),
    *("budgets", "reservations", "caps"),
)

_ROW: Final = tuple(field.name for field in fields(RunRow))
_TICKET: Final = tuple(field.name for field in fields(TicketRow))
_STANDING: Final = tuple(field.name for field in fields(StandingRow))


@frozen
class Tally:
    """How many of one sort there are, and one sha256 over all of them in their order, as hex."""

    count: int
    hash: str


def tally(pieces: Iterable[Piece]) -> dict[str, Tally]:
    """By sort; pieces come in the order of `ports.ledger.Moving.pieces`."""
    counting = _Counting()
    for piece in pieces:
        counting.add(piece)
    return counting.tallies()


class _Counting:
    def __init__(self) -> None:
        self._counts = dict.fromkeys(SORTS, 0)
        self._hashes = {sort: sha256() for sort in SORTS}

    def add(self, piece: Piece) -> None:
        match piece:
            case AnchorLines(data):
                self._counts["anchors"] += data.count(b"\n")
                self._hashes["anchors"].update(data)
            case KeptBundle(hash, body):
                self._add("bundles", hash.encode(), body)
            case KeptRun(row, facts):
                self._add("runs", *_row(row))
                for fact in facts:
                    self._add("facts", *_fact(fact))
            case KeptBlob(root, id, body):
                self._add("large values", root.encode(), id.encode(), body)
            case KeptRecord(record, run):
                key = (record.tenant.encode(), record.key.encode())
                self._add("records", *key, record.value, run.encode(), b"%d" % record.at)
            case KeptTicket(ticket):
                self._add("tickets", *_ticket(ticket))
            case KeptStanding(row):
                self._add("standing approvals", *(str(getattr(row, name)).encode() for name in _STANDING))
            case KeptBudget(standing):
                self._add("budgets", to_json(standing))
            case KeptReservation(reservation):
                self._add("reservations", to_json(reservation))
            case KeptCap(cap):
                self._add("caps", to_json(cap))
            case _:
                assert_never(piece)

    def tallies(self) -> dict[str, Tally]:
        return {sort: Tally(self._counts[sort], self._hashes[sort].hexdigest()) for sort in SORTS}

    def _add(self, sort: str, *parts: bytes | None) -> None:
        """Lengths keep neighbours apart; what is absent is not what is empty."""
        self._counts[sort] += 1
        for part in parts:
            self._hashes[sort].update(b"-" if part is None else b"%d:" % len(part))
            self._hashes[sort].update(part or b"")


def _row(row: RunRow) -> tuple[bytes, ...]:
    return to_json([getattr(row, name) for name in _ROW if name != "head"]), row.head


def _fact(fact: Stored) -> tuple[bytes | None, ...]:
    place = b"%d" % fact.seq, fact.kind.encode()
    return *place, fact.body, fact.digest, fact.salt, fact.input, fact.output, fact.head


def _ticket(ticket: TicketRow) -> tuple[bytes | None, ...]:
    named = [getattr(ticket, name) for name in _TICKET if name not in ("salt", "body")]
    return to_json(named), ticket.salt, ticket.body
