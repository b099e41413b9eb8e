"""The whole file out, and another ledger in. What a move is, and in which order it happens: `services.keeping.moving`.

A closed ledger refuses by triggers, so that processes which have it open are refused too, and an open one pays nothing.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Final, assert_never

from magsag.adapters.store.anchors import Anchors, Rest
from magsag.adapters.store.budgeting import budget_pieces, kept_name, kept_values
from magsag.adapters.store.failures import broken, no_access
from magsag.adapters.store.part import Part
from magsag.adapters.store.reading import run_row, ticket_row, ticket_values
from magsag.adapters.store.standing_approvals import standing_row, standing_values
from magsag.domain.closure import Closure, Course
from magsag.domain.effects import Level
from magsag.domain.errors import Invalid
from magsag.domain.facts import ENDS
from magsag.domain.ids import RunId
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
    Record,
    RunRow,
    Stored,
)
from magsag.ports.standing_approvals import KeptStanding

_LINES_BYTES: Final = 1 << 20
_RUNS_IN_A_LINE: Final = 1000
_TRIGGERS: Final = {
    "closed_to_leases": "before insert on leases",
    "closed_to_drivers": "before update on leases",
    "closed_to_facts": "before update on runs",
    "closed_to_runs": "before insert on runs",
}
"""every write makes or moves the row of a run, or takes a lease"""


_TABLES: Final = (
    *("facts", "blobs", "records", "approvals", "standing_approvals", "budgets", "reservations", "caps", "bundles"),
    *("unanchored", "runs"),
)


class MovingPart(Part):
    """`ports.ledger.Moving`."""

    def closure(self) -> Closure | None:
        row = self._database.one("standing")
        return None if row is None else Closure(Course(row[0]), row[1], row[2])

    def set_closure(self, closure: Closure | None, was: Closure | None) -> None:
        database, sql = self._database, self._database.sql
        with database.lock, self._anchors.held(), database.writing(Level.SYNCED) as connection:
            row = connection.execute(sql["standing"]).fetchone()
            now = None if row is None else Closure(Course(row[0]), row[1], row[2])
            if now != was:
                raise Invalid(f"{database.path}: {now.why() if now else 'it was opened again meanwhile'}")
            _release(connection)
            connection.execute(sql["stand_open"])
            if closure is None:
                if now is not None and now.course is Course.FILLING:
                    self._pay_anchors(connection)
                return
            if closure.course is Course.LEAVING:
                self._require_nobody(connection)
            if closure.course is Course.FILLING:
                self._empty(connection, again=now is not None and now.course is Course.FILLING)
            connection.execute(sql["stand"], (closure.course, closure.elsewhere, closure.since))
            _refuse(connection, closure)

    def pieces(self) -> Iterator[Piece]:
        """The anchors are read first: they are never ahead of what is read after them."""
        yield from anchor_lines(self._anchors)
        sql = self._database.sql
        try:
            with closing(sqlite3.connect(self._database.path, isolation_level=None)) as connection:
                connection.execute("begin")
                for hash, body in connection.execute(sql["pieces_bundles"]):
                    yield KeptBundle(hash, body)
                for row in connection.execute(sql["pieces_runs"]):
                    found = connection.execute(sql["facts_after"], (row[0], 0))
                    yield KeptRun(run_row(row), [Stored(*fact) for fact in found])
                for blob in connection.execute(sql["pieces_blobs"]):
                    yield KeptBlob(*blob)
                for tenant, key, value, run, updated in connection.execute(sql["pieces_records"]):
                    yield KeptRecord(Record(tenant, key, value, updated), run)
                for row in connection.execute(sql["pieces_tickets"]):
                    yield KeptTicket(ticket_row(row))
                for row in connection.execute(sql["pieces_standing_approvals"]):
                    yield KeptStanding(standing_row(row))
                yield from budget_pieces(lambda name: connection.execute(sql[name]))
        except sqlite3.Error as error:
            raise broken(self._database.path, error) from error

    def fill(self, pieces: Sequence[Piece]) -> None:
        database, sql = self._database, self._database.sql
        with database.lock, self._anchors.held(), database.writing(Level.WRITTEN) as connection:
            row = connection.execute(sql["standing"]).fetchone()
            if row is None or row[0] != Course.FILLING:
                raise Invalid(f"{database.path}: this ledger is in use: nothing is put into it from elsewhere")
            for piece in pieces:
                self._put(connection, piece)

    def _put(self, connection: sqlite3.Connection, piece: Piece) -> None:
        sql = self._database.sql
        match piece:
            case AnchorLines(data):
                try:
                    self._anchors.take_over(data)
                except OSError as error:
                    raise no_access(self._anchors.path, error) from error
            case KeptBundle(hash, body):
                connection.execute(sql["take_bundle"], (hash, body))
            case KeptRun(row, facts):
                connection.execute(sql["insert_run"], run_values(row))
                connection.executemany(sql["insert_fact"], [fact_values(row.run, fact) for fact in facts])
                if row.status in ENDS:
                    connection.execute(sql["owe_anchor"], (row.run,))
            case KeptBlob(root, id, body):
                connection.execute(sql["insert_blob"], (root, id, body))
            case KeptRecord(record, run):
                connection.execute(sql["put_record"], (record.tenant, record.key, record.value, run, record.at))
            case KeptTicket(ticket):
                connection.execute(sql["put_ticket"], ticket_values(ticket))
            case KeptStanding(row):
                connection.execute(sql["put_standing_approval"], standing_values(row))
            case KeptBudget() | KeptReservation() | KeptCap():
                connection.execute(sql[f"put_{kept_name(piece)}"], kept_values(piece))
            case _:
                assert_never(piece)

    def _require_nobody(self, connection: sqlite3.Connection) -> None:
        for root, owner in connection.execute(self._database.sql["live_leases"]):
            if not self._process.is_dead(owner):
                raise Invalid(
                    f"{self._database.path}: run {root} is being driven by {owner}: stop what drives runs, "
                    "or wait until they have come to rest, and try again"
                )

    def _empty(self, connection: sqlite3.Connection, again: bool) -> None:
        sql = self._database.sql
        if not again:
            holds_anchors = self._anchors.path.stat().st_size > 0
            if holds_anchors or connection.execute(sql["holds_something"]).fetchone() is not None:
                what = f"its anchors {self._anchors.path}" if holds_anchors else "it"
                raise Invalid(
                    f"{self._database.path}: {what} hold what belongs to another ledger; "
                    "name a file that does not exist yet, in a folder of its own"
                )
        for table in _TABLES:
            connection.execute(sql[f"empty_{table}"])
        try:
            self._anchors.forget()
        except OSError as error:
            raise no_access(self._anchors.path, error) from error

    def _pay_anchors(self, connection: sqlite3.Connection) -> None:
        """What ended elsewhere and has no line there has one now."""
        sql = self._database.sql
        append_owed(self._anchors, connection.execute(sql["unanchored"]).fetchall())
        connection.execute(sql["empty_unanchored"])


def anchor_lines(anchors: Anchors) -> Iterator[AnchorLines]:
    """Whole lines, many at a time."""
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
    """Lines for those that have none yet. Raises StoreBroken."""
    anchored = {run: lines[-1] for run, lines in anchors.claims().runs.items() if lines}
    owed = [rest for rest in rests if anchored.get(rest[0]) != (rest[1], rest[2].hex())]
    try:
        for start in range(0, len(owed), _RUNS_IN_A_LINE):
            anchors.append(owed[start : start + _RUNS_IN_A_LINE])
    except OSError as error:
        raise no_access(anchors.path, error) from error


def _refuse(connection: sqlite3.Connection, closure: Closure) -> None:
    """A ledger that is filled takes new rows, but nobody drives them."""
    words = closure.why().replace("'", "''")
    for name, when in _TRIGGERS.items():
        if name != "closed_to_runs" or closure.course is not Course.FILLING:
            connection.execute(f"create trigger {name} {when} begin select raise(abort, '{words}'); end")


def _release(connection: sqlite3.Connection) -> None:
    for name in _TRIGGERS:
        connection.execute(f"drop trigger if exists {name}")


def run_values(row: RunRow) -> tuple[object, ...]:
    """A row of `runs` in the order of the statements."""
    return (
        row.run, row.root, row.parent, row.program, row.bundle, row.tenant, row.actor, row.requester, row.trace_id,
        row.span_id, row.status, row.parked_on, row.due, row.created, row.updated, row.seq, row.head,
    )  # fmt: skip


def fact_values(run: RunId, fact: Stored) -> tuple[object, ...]:
    """A row of `facts` in the order of the statements."""
    return run, fact.seq, fact.kind, fact.body, fact.digest, fact.salt, fact.input, fact.output, fact.head
