"""A ledger in memory as an auditor sees it: the judgement of the other stores, without anchors."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import fields
from typing import Any

from magsag.adapters.store.reading import ticket_values
from magsag.adapters.store.rows import Seen, across, against_row
from magsag.adapters.store.shelved import check_records
from magsag.domain.ids import RunId
from magsag.domain.sealed import Fault, Stored
from magsag.engine.chain import verify
from magsag.ports.auditing import Chosen, Evidence, Reach, Verified
from magsag.ports.ledger import KeptBlob, KeptBundle, KeptRecord, KeptRun, KeptTicket, Piece, RunRow, TicketRow
from magsag.ports.standing_approvals import KeptStanding, StandingRow

_RUN, _FACT, _TICKET, _STANDING = (
    tuple(one.name for one in fields(cls)) for cls in (RunRow, Stored, TicketRow, StandingRow)
)


def verified(pieces: Sequence[Piece], heard: Callable[[int], None] | None) -> Verified:
    """All faults of one moment."""
    tickets: dict[str, list[tuple[Any, ...]]] = {}
    standing: dict[RunId, list[StandingRow]] = {}
    for piece in pieces:
        if isinstance(piece, KeptTicket):
            tickets.setdefault(piece.ticket.run, []).append(ticket_values(piece.ticket))
        elif isinstance(piece, KeptStanding):
            standing.setdefault(piece.row.run, []).append(piece.row)
    faults, reaches, seen, looked_at = list[Fault](), list[Reach](), Seen(), 0
    for piece in pieces:
        if isinstance(piece, KeptRun):
            row, facts = piece.row, list(piece.facts)
            seen.rows[row.run] = row
            faults += verify(row.run, facts)
            faults += against_row(row, facts, tickets.get(row.run, ()), standing, seen)
            reaches.append(Reach(row.run, len(facts), 0))
            looked_at += len(facts)
            if heard is not None:
                heard(looked_at)
    records = [piece for piece in pieces if isinstance(piece, KeptRecord)]
    rows = [(one.record.tenant, one.record.key, one.record.value, one.run, one.record.at) for one in records]
    faults += seen.shelf.note(rows, None)
    faults += across(seen, [(piece.root, piece.id, piece.body) for piece in pieces if isinstance(piece, KeptBlob)])
    faults += check_records(rows, seen.shelf, seen.rows, None)
    return Verified(faults, reaches, None)


def evidence_of(pieces: Sequence[Piece], chosen: Chosen | None) -> Generator[Evidence, None, None]:
    """The rows as they stand, tree by tree."""
    found = sorted(_rows_of(pieces), key=lambda one: one.root or "")
    rows = [one.values for one in found if one.sort == "run"]
    roots = None if chosen is None else chosen(rows)
    meant = {row["root"] for row in rows} if roots is None else set(roots)
    wanted = {row["bundle"] for row in rows if row["root"] in meant}
    for one in found:
        if one.root in meant or (one.root is None and (roots is None or one.values.get("hash") in wanted)):
            yield one


def _rows_of(pieces: Sequence[Piece]) -> Iterator[Evidence]:
    trees: dict[RunId, RunId] = {piece.row.run: piece.row.root for piece in pieces if isinstance(piece, KeptRun)}
    for piece in pieces:
        match piece:
            case KeptRun(row, facts):
                yield Evidence("run", {name: getattr(row, name) for name in _RUN}, row.root)
                for fact in facts:
                    values = {name: getattr(fact, name) for name in _FACT}
                    yield Evidence("fact", {"run": row.run, **values}, row.root)
            case KeptTicket(ticket):
                yield Evidence("ticket", {name: getattr(ticket, name) for name in _TICKET}, trees[ticket.run])
            case KeptStanding(row=kept):
                values = {name: getattr(kept, name) for name in _STANDING if name != "is_revoked"}
                yield Evidence("standing", {**values, "revoked": kept.is_revoked}, trees[kept.run])
            case KeptRecord(record, run):
                values = {"tenant": record.tenant, "key": record.key, "value": record.value}
                yield Evidence("record", {**values, "run": run, "updated": record.at}, trees.get(run))
            case KeptBlob(root, id, body):
                yield Evidence("blob", {"root": root, "id": id, "body": body}, root)
            case KeptBundle(hash, body):
                yield Evidence("bundle", {"hash": hash, "body": body})
            case _:
                pass
