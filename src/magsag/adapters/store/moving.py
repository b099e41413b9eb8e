"""The whole file out, and another ledger in: what `adapters.store.closing` asks of SQLite."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, Final

from magsag.adapters.store.anchors import Rest
from magsag.adapters.store.closing import TRIGGERS, Alone, ClosingPart, triggers_of
from magsag.adapters.store.failures import broken
from magsag.adapters.store.part import Part
from magsag.adapters.store.pieces import Asked
from magsag.adapters.store.processlock import ProcessLock
from magsag.domain.closure import Closure
from magsag.domain.effects import Level
from magsag.domain.facts import ENDS
from magsag.domain.ids import RunId
from magsag.ports.ledger import RunRow

_TABLES: Final = (
    *("facts", "blobs", "records", "approvals", "standing_approvals", "budgets", "reservations", "caps", "bundles"),
    *("unanchored", "runs"),
)
_PUT: Final = {"bundle": "take_bundle", "run": "insert_run", "fact": "insert_fact", "blob": "insert_blob"}
"""others are put as always"""


class MovingPart(ClosingPart, Part):
    """`ports.ledger.Moving`."""

    _another = "a file that does not exist yet, in a folder of its own"

    @contextmanager
    def _alone(self, closing: bool) -> Iterator[Alone]:
        level = Level.SYNCED if closing else Level.WRITTEN
        with self._database.lock, self._anchors.held(), self._database.writing(level) as connection:
            yield _Alone(connection, self._database.sql, self._process)

    @contextmanager
    def _view(self) -> Iterator[Asked]:
        sql = self._database.sql
        try:
            with closing(sqlite3.connect(self._database.path, isolation_level=None)) as connection:
                connection.execute("begin")
                yield lambda name, parameters=(): connection.execute(sql[name], parameters)
        except sqlite3.Error as error:
            raise broken(self._database.path, error) from error


class _Alone:
    """`adapters.store.closing.Alone`."""

    def __init__(self, connection: sqlite3.Connection, sql: Mapping[str, str], process: ProcessLock) -> None:
        self._connection = connection
        self._sql = sql
        self._process = process

    def one(self, name: str, parameters: tuple[object, ...] = ()) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._connection.execute(self._sql[name], parameters).fetchone()
        return row

    def put(self, table: str, rows: Sequence[tuple[object, ...]]) -> None:
        self._connection.executemany(self._sql[_PUT.get(table, f"put_{table}")], rows)

    def put_anchored(self, row: RunRow) -> None:
        if row.status in ENDS:
            self.one("owe_anchor", (row.run,))

    def owed(self) -> list[Rest]:
        rests: list[Rest] = self._connection.execute(self._sql["unanchored"]).fetchall()
        self.one("empty_unanchored")
        return rests

    def driver(self) -> tuple[RunId, str] | None:
        leases = self._connection.execute(self._sql["live_leases"])
        return next(((root, owner) for root, owner in leases if not self._process.is_dead(owner)), None)

    def empty(self) -> None:
        for table in _TABLES:
            self.one(f"empty_{table}")

    def refuse(self, closure: Closure) -> None:
        words = closure.why().replace("'", "''")
        for name, event, table in triggers_of(closure):
            when = f"before {event} on {table}"
            self._connection.execute(f"create trigger {name} {when} begin select raise(abort, '{words}'); end")

    def let_in(self) -> None:
        for name in TRIGGERS:
            self._connection.execute(f"drop trigger if exists {name}")
