"""The whole ledger out, and another one in. What a move is, and in which order it happens: `services.keeping.moving`.

A closed ledger refuses by triggers, so that processes which have it open are refused too, and an open one pays nothing.
Making one waits for the writes that are under way, and those that come later meet it.
"""

from collections.abc import Iterator, Sequence
from typing import Final, assert_never

import psycopg
from psycopg import sql

from magsag.adapters.store.budgeting import budget_pieces, kept_name, kept_values
from magsag.adapters.store.failures import no_access
from magsag.adapters.store.moving import anchor_lines, append_owed, fact_values, run_values
from magsag.adapters.store.postgres.connection import Connection
from magsag.adapters.store.postgres.database import Row
from magsag.adapters.store.postgres.part import Part
from magsag.adapters.store.postgres.statements import version
from magsag.adapters.store.reading import run_row, ticket_row, ticket_values
from magsag.adapters.store.standing_approvals import standing_row, standing_values
from magsag.domain.closure import Closure, Course
from magsag.domain.errors import Invalid, StoreBroken
from magsag.domain.facts import ENDS
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
    Stored,
)
from magsag.ports.standing_approvals import KeptStanding

_TRIGGERS: Final = {
    "closed_to_leases": ("insert", "leases"),
    "closed_to_drivers": ("update", "leases"),
    "closed_to_facts": ("update", "runs"),
    "closed_to_runs": ("insert", "runs"),
}
"""every write makes or moves the row of a run, or takes a lease"""
_EVENTS: Final = {"insert": sql.SQL("insert"), "update": sql.SQL("update")}
_FETCHED: Final = 50
_TRIES: Final = 5
"""a writer that has read a closed ledger's leases and is about to be refused may wait for us, and we for it"""


class MovingPart(Part):
    """`ports.ledger.Moving`."""

    def closure(self) -> Closure | None:
        row = self._database.one("standing")
        return None if row is None else Closure(Course(row[0]), row[1], row[2])

    def set_closure(self, closure: Closure | None, was: Closure | None) -> None:
        for left in range(_TRIES, -1, -1):
            try:
                self._set_closure(closure, was)
                return
            except StoreBroken as error:
                if not left or not isinstance(error.__cause__, psycopg.errors.DeadlockDetected):
                    raise

    def _set_closure(self, closure: Closure | None, was: Closure | None) -> None:
        """Tables are locked in the order in which writers change them."""
        with self._database.lock, self._anchors.held(), self._database.changing() as connection:
            connection.execute("lock table standing, runs, leases in share row exclusive mode")
            row = self._one(connection, "standing")
            now = None if row is None else Closure(Course(row[0]), row[1], row[2])
            if now != was:
                raise Invalid(f"{self._database.location}: {now.why() if now else 'it was opened again meanwhile'}")
            _release(connection)
            self._execute(connection, "stand_open")
            if closure is None:
                if now is not None and now.course is Course.FILLING:
                    append_owed(self._anchors, self._execute(connection, "anchor_debts", (self._vouching,)).fetchall())
                    self._execute(connection, "settle_all", (self._vouching,))
                return
            if closure.course is Course.LEAVING:
                self._require_nobody(connection)
            if closure.course is Course.FILLING:
                self._empty(connection, again=now is not None and now.course is Course.FILLING)
            self._execute(connection, "stand", (closure.course, closure.elsewhere, closure.since))
            _refuse(connection, closure)

    def pieces(self) -> Iterator[Piece]:
        """The anchors are read first: they are never ahead of what is read after them."""
        yield from anchor_lines(self._anchors)
        with self._database.changing() as connection:
            connection.execute("set transaction isolation level repeatable read, read only")
            connection.execute("set local idle_in_transaction_session_timeout = 0; set local statement_timeout = 0")
            for hash, body in self._rows(connection, "pieces_bundles"):
                yield KeptBundle(hash, body)
            for row in self._rows(connection, "pieces_runs"):
                found = self._execute(connection, "facts_after", (row[0], 0))
                yield KeptRun(run_row(row), [Stored(*fact) for fact in found])
            for blob in self._rows(connection, "pieces_blobs"):
                yield KeptBlob(*blob)
            for tenant, key, value, run, updated in self._rows(connection, "pieces_records"):
                yield KeptRecord(Record(tenant, key, value, updated), run)
            for row in self._rows(connection, "pieces_tickets"):
                yield KeptTicket(ticket_row(row))
            for row in self._rows(connection, "pieces_standing_approvals"):
                yield KeptStanding(standing_row(row))
            yield from budget_pieces(lambda name: self._rows(connection, name))

    def fill(self, pieces: Sequence[Piece]) -> None:
        with self._database.lock, self._anchors.held(), self._database.changing() as connection:
            row = self._one(connection, "standing")
            if row is None or row[0] != Course.FILLING:
                raise Invalid(
                    f"{self._database.location}: this ledger is in use: nothing is put into it from elsewhere"
                )
            for piece in pieces:
                self._put(connection, piece)

    def _put(self, connection: Connection, piece: Piece) -> None:
        match piece:
            case AnchorLines(data):
                try:
                    self._anchors.take_over(data)
                except OSError as error:
                    raise no_access(self._anchors.path, error) from error
            case KeptBundle(hash, body):
                self._execute(connection, "take_bundle", (hash, body))
            case KeptRun(row, facts):
                self._execute(connection, "take_run", run_values(row))
                self._execute(connection, "take_anchored", (row.run, self._vouching, *[row.status in ENDS] * 2))
                rows = [fact_values(row.run, fact) for fact in facts]
                connection.cursor().executemany(self._database.sql["take_fact"].encode(), rows)
            case KeptBlob(root, id, body):
                self._execute(connection, "take_blob", (root, id, body))
            case KeptRecord(record, run):
                self._execute(connection, "take_record", (record.tenant, record.key, record.value, run, record.at))
            case KeptTicket(ticket):
                self._execute(connection, "take_ticket", ticket_values(ticket))
            case KeptStanding(row):
                self._execute(connection, "take_standing_approval", standing_values(row))
            case KeptBudget() | KeptReservation() | KeptCap():
                self._execute(connection, f"take_{kept_name(piece)}", kept_values(piece))
            case _:
                assert_never(piece)

    def _require_nobody(self, connection: Connection) -> None:
        if (row := self._one(connection, "live_leases")) is not None:
            raise Invalid(
                f"{self._database.location}: run {row[0]} is being driven by {row[1]}: stop what drives runs, "
                "or wait until they have come to rest, and try again"
            )

    def _empty(self, connection: Connection, again: bool) -> None:
        if not again:
            holds_anchors = self._anchors.path.stat().st_size > 0
            if holds_anchors or self._one(connection, "holds_something") is not None:
                what = f"its anchors {self._anchors.path}" if holds_anchors else "it"
                raise Invalid(
                    f"{self._database.location}: {what} hold what belongs to another ledger; "
                    "name a schema that does not exist yet: ?schema=NAME"
                )
        self._execute(connection, "empty_all")
        try:
            self._anchors.forget()
        except OSError as error:
            raise no_access(self._anchors.path, error) from error

    def _execute(self, connection: Connection, name: str, parameters: tuple[object, ...] = ()) -> psycopg.Cursor[Row]:
        return connection.execute(self._database.sql[name].encode(), parameters or None, binary=True)

    def _one(self, connection: Connection, name: str) -> Row | None:
        return self._execute(connection, name).fetchone()

    def _rows(self, connection: Connection, name: str) -> Iterator[Row]:
        """A few at a time: a ledger is larger than memory."""
        with connection.cursor(name, binary=True) as cursor:
            cursor.itersize = _FETCHED
            cursor.execute(self._database.sql[name].encode())
            yield from cursor


def _refuse(connection: Connection, closure: Closure) -> None:
    """A ledger that is filled takes new rows, but nobody drives them."""
    for name, (event, table) in _TRIGGERS.items():
        if name != "closed_to_runs" or closure.course is not Course.FILLING:
            make = sql.SQL("create trigger {} before {} on {} for each row execute function {}({})")
            words = (
                sql.Identifier(name),
                _EVENTS[event],
                sql.Identifier(table),
                _refusal(),
                sql.Literal(closure.why()),
            )
            connection.execute(make.format(*words))


def _refusal() -> sql.Identifier:
    return sql.Identifier(f"refuse_closed_{version()}")


def _release(connection: Connection) -> None:
    for name, (_, table) in _TRIGGERS.items():
        connection.execute(
            sql.SQL("drop trigger if exists {} on {}").format(sql.Identifier(name), sql.Identifier(table))
        )
