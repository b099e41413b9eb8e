"""A ledger in pieces, for moving it: rows into pieces and back, the same on every database."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol, assert_never

from magsag.adapters.store.anchors import Anchors, Rest
from magsag.adapters.store.budgeting import budget_pieces, kept_name, kept_values
from magsag.adapters.store.failures import no_access
from magsag.adapters.store.reading import run_row, ticket_row, ticket_values
from magsag.adapters.store.standing_approvals import standing_row, standing_values
from magsag.domain.ids import RunId
from magsag.ports.budgets import KeptBudget, KeptCap, KeptReservation
from magsag.ports.ledger import (
    AnchorLines,
    KeptBlob,
    KeptBundle,
    KeptRecord,
    KeptRun,
    KeptTicket,
    Piece,
    Record,
    RunRow,
    Stored,
)
from magsag.ports.standing_approvals import KeptStanding

_LINES_BYTES: Final = 1 << 20
_RUNS_IN_A_LINE: Final = 1000
Row = tuple[Any, ...]
Filled = tuple[str, list[tuple[object, ...]]]
"""a table in the singular, and rows of it in the order of the statements"""


class Asked(Protocol):
    """Answers a named statement."""

    def __call__(self, name: str, parameters: tuple[object, ...] = (), /) -> Iterator[Row]:
        """Its rows; without parameters a few at a time, since a table is larger than memory."""


def pieces_of(rows: Asked) -> Iterator[Piece]:
    """All that a ledger holds but for its anchors."""
    for hash, body in rows("pieces_bundles"):
        yield KeptBundle(hash, body)
    for row in rows("pieces_runs"):
        yield KeptRun(run_row(row), [Stored(*fact) for fact in rows("facts_after", (row[0], 0))])
    for blob in rows("pieces_blobs"):
        yield KeptBlob(*blob)
    for tenant, key, value, run, updated in rows("pieces_records"):
        yield KeptRecord(Record(tenant, key, value, updated), run)
    for row in rows("pieces_tickets"):
        yield KeptTicket(ticket_row(row))
    for row in rows("pieces_standing_approvals"):
        yield KeptStanding(standing_row(row))
    yield from budget_pieces(rows)


def rows_of(piece: Piece) -> list[Filled]:
    """The rows again; anchors have none."""
    match piece:
        case AnchorLines():
            return []
        case KeptBundle(hash, body):
            return [("bundle", [(hash, body)])]
        case KeptRun(row, facts):
            return [("run", [_run_values(row)]), ("fact", [_fact_values(row.run, fact) for fact in facts])]
        case KeptBlob(root, id, body):
            return [("blob", [(root, id, body)])]
        case KeptRecord(record, run):
            return [("record", [(record.tenant, record.key, record.value, run, record.at)])]
        case KeptTicket(ticket):
            return [("ticket", [ticket_values(ticket)])]
        case KeptStanding(row):
            return [("standing_approval", [standing_values(row)])]
        case KeptBudget() | KeptReservation() | KeptCap():
            return [(kept_name(piece), [kept_values(piece)])]
        case _:
            assert_never(piece)


def anchor_lines(anchors: Anchors) -> Iterator[AnchorLines]:
    """Whole lines, many at a time. Raises StoreBroken."""
    try:
        with anchors.path.open("rb") as file:
            while lines := file.readlines(_LINES_BYTES):
                data = b"".join(lines)
                yield AnchorLines(data[: data.rfind(b"\n") + 1])
    except FileNotFoundError:
        return
    except OSError as error:
        raise no_access(anchors.path, error) from error


def append_owed(anchors: Anchors, rests: Sequence[Rest]) -> None:
    """Lines for those that have none yet; call it inside `held`."""
    anchored = {run: lines[-1] for run, lines in anchors.claims().runs.items() if lines}
    owed = [rest for rest in rests if anchored.get(rest[0]) != (rest[1], rest[2].hex())]
    for start in range(0, len(owed), _RUNS_IN_A_LINE):
        anchors.append(owed[start : start + _RUNS_IN_A_LINE])


def _run_values(row: RunRow) -> tuple[object, ...]:
    return (
        row.run, row.root, row.parent, row.program, row.bundle, row.tenant, row.actor, row.requester, row.trace_id,
        row.span_id, row.status, row.parked_on, row.due, row.created, row.updated, row.seq, row.head,
    )  # fmt: skip


def _fact_values(run: RunId, fact: Stored) -> tuple[object, ...]:
    return run, fact.seq, fact.kind, fact.body, fact.digest, fact.salt, fact.input, fact.output, fact.head
