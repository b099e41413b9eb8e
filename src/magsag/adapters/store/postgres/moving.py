"""The whole ledger out, and another one in: what `adapters.store.closing` asks of Postgres.

Making a trigger waits for the writes that are under way, and those that come later meet it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import sql

from magsag.adapters.store.anchors import Rest
from magsag.adapters.store.closing import TRIGGERS, Alone, ClosingPart, triggers_of
from magsag.adapters.store.pieces import Asked
from magsag.adapters.store.postgres.connection import Connection
from magsag.adapters.store.postgres.database import Row
from magsag.adapters.store.postgres.part import Part
from magsag.adapters.store.postgres.statements import version
from magsag.domain.closure import Closure
from magsag.domain.errors import StoreBroken
from magsag.domain.facts import ENDS
from magsag.domain.ids import RunId
from magsag.ports.ledger import RunRow

_EVENTS: Final = {"insert": sql.SQL("insert"), "update": sql.SQL("update")}
_FETCHED: Final = 50
_TRIES: Final = 5
"""a writer that has read a closed ledger's leases and is about to be refused may wait for us, and we for it"""


class MovingPart(ClosingPart, Part):
    """`ports.ledger.Moving`."""

    _another = "a schema that does not exist yet: ?schema=NAME"

    def set_closure(self, closure: Closure | None, was: Closure | None) -> None:
        for left in range(_TRIES, -1, -1):
            try:
                super().set_closure(closure, was)
                return
            except StoreBroken as error:
                if not left or not isinstance(error.__cause__, psycopg.errors.DeadlockDetected):
                    raise

    @contextmanager
    def _alone(self, closing: bool) -> Iterator[Alone]:
        """Whoever closes locks tables in the order in which writers change them."""
        with self._database.lock, self._anchors.held(), self._database.changing() as connection:
            if closing:
                connection.execute("lock table standing, runs, leases in share row exclusive mode")
            yield _Alone(connection, self._database.sql, self._vouching)

    @contextmanager
    def _view(self) -> Iterator[Asked]:
        statements = self._database.sql
        with self._database.changing() as connection:
            connection.execute("set transaction isolation level repeatable read, read only")
            connection.execute("set local idle_in_transaction_session_timeout = 0; set local statement_timeout = 0")

            def rows(name: str, parameters: tuple[object, ...] = ()) -> Iterator[Row]:
                if parameters:
                    yield from connection.execute(statements[name].encode(), parameters, binary=True)
                    return
                with connection.cursor(name, binary=True) as cursor:
                    cursor.itersize = _FETCHED
                    cursor.execute(statements[name].encode())
                    yield from cursor

            yield rows


class _Alone:
    """`adapters.store.closing.Alone`."""

    def __init__(self, connection: Connection, statements: Mapping[str, str], vouching: str) -> None:
        self._connection = connection
        self._sql = statements
        self._vouching = vouching

    def one(self, name: str, parameters: tuple[object, ...] = ()) -> Row | None:
        cursor = self._execute(name, parameters)
        return cursor.fetchone() if cursor.description else None

    def put(self, table: str, rows: Sequence[tuple[object, ...]]) -> None:
        self._connection.cursor().executemany(self._sql[f"take_{table}"].encode(), rows)

    def put_anchored(self, row: RunRow) -> None:
        has_ended = row.status in ENDS
        self._execute("take_anchored", (row.run, self._vouching, has_ended, has_ended))

    def owed(self) -> list[Rest]:
        rests: list[Rest] = self._execute("anchor_debts", (self._vouching,)).fetchall()
        self._execute("settle_all", (self._vouching,))
        return rests

    def driver(self) -> tuple[RunId, str] | None:
        row = self.one("live_leases")
        return None if row is None else (row[0], row[1])

    def empty(self) -> None:
        self._execute("empty_all")

    def refuse(self, closure: Closure) -> None:
        make = sql.SQL("create trigger {} before {} on {} for each row execute function {}({})")
        refusal = sql.Identifier(f"refuse_closed_{version()}")
        for name, event, table in triggers_of(closure):
            words = (sql.Identifier(name), _EVENTS[event], sql.Identifier(table), refusal, sql.Literal(closure.why()))
            self._connection.execute(make.format(*words))

    def let_in(self) -> None:
        for name, (_, table) in TRIGGERS.items():
            drop = sql.SQL("drop trigger if exists {} on {}")
            self._connection.execute(drop.format(sql.Identifier(name), sql.Identifier(table)))

    def _execute(self, name: str, parameters: tuple[object, ...] = ()) -> psycopg.Cursor[Row]:
        return self._connection.execute(self._sql[name].encode(), parameters or None, binary=True)
