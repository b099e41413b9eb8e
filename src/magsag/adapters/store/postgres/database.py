"""This process's connections to one ledger: one that writes, some that read. Opening, statements, loss.

No transaction of the ledger waits for us: what locks is one statement. A lost connection fails the call that met it.
When the writing one is opened again, all leases of this process are given back first: a server that crashed has lost
what was written and not synced, and no tree that believes such facts may go on.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, NoReturn

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from magsag.adapters.store.postgres.connection import Connection, configure, connect, is_whole
from magsag.adapters.store.postgres.encoding import Parameter
from magsag.adapters.store.postgres.failures import broken
from magsag.adapters.store.postgres.migrations import bring_up_to_date
from magsag.adapters.store.postgres.prepared import called, prepare
from magsag.adapters.store.postgres.statements import statements
from magsag.adapters.store.postgres.target import Target
from magsag.domain.errors import StoreBroken

_READERS: Final = 4
_SLOW_SECONDS: Final = 1.0
"""an old connection says at once that it is gone; what takes longer is a network that is silent"""
_GLANCE_SECONDS: Final = 1.0
"""the pool waits for a server that is gone as for one that is busy; so often it is asked which of the two it is"""
Row = tuple[Any, ...]


class Session:
    """A connection inside one transaction, as the parts that two stores share use it."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection

    def execute(self, query: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> psycopg.Cursor[Row]:
        """Its rows."""
        return self._connection.execute(query.encode(), parameters or None, binary=True)


class Database:
    """The connections and their locks."""

    def __init__(self, target: Target, version: Callable[[], str], patience_seconds: float) -> None:
        self.location = target.shown
        self.target = target
        self.sql: Mapping[str, str] = statements()
        self.lock = threading.RLock()
        self.owner: str | None = None
        """whose leases are given back when the writing connection was lost"""
        self._version = version
        self._patience_seconds = patience_seconds
        self._writer: Connection | None = None
        self._prepared: set[str] = set()
        self._closed = False
        self._is_doubtful = False
        self._pool = ConnectionPool(
            kwargs={"autocommit": True, **target.parameters},
            connection_class=Connection,
            configure=lambda connection: configure(connection, target, patience_seconds),
            min_size=0,
            max_size=_READERS,
            timeout=patience_seconds,
            num_workers=1,
            open=False,
        )
        with self.lock:
            self._ready()

    def call(self, command: str, parameters: Sequence[Parameter]) -> list[tuple[bytes | None, ...]]:
        """One writing statement, in binary both ways; it is committed when this returns. Raises psycopg.Error
        for what the server refused and may be tried again, StoreBroken else."""
        with self.lock:
            connection = self._ready()
            try:
                if command not in self._prepared:
                    prepare(connection, command, self.sql[command], parameters)
                    self._prepared.add(command)
                return called(connection, command, parameters)
            except psycopg.Error as error:
                if isinstance(error, _TRY_AGAIN) and is_whole(connection):
                    raise
                self._fail(error)

    def change(self, name: str, parameters: Sequence[object] = ()) -> list[Row]:
        """A named statement that writes; it is committed when this returns."""
        with self.lock:
            connection = self._ready()
            try:
                cursor = connection.execute(self.sql[name].encode(), parameters or None, binary=True)
                return cursor.fetchall() if cursor.description else []
            except psycopg.Error as error:
                self._fail(error)

    def one(self, name: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> Row | None:
        """The first row of a named statement that only reads."""
        rows = self.all(name, parameters)
        return rows[0] if rows else None

    def all(self, name: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> list[Row]:
        """All rows of a named statement that only reads; one that met a connection of before a restart asks again."""
        for stale in range(_READERS, -1, -1):
            began = time.monotonic()
            try:
                with self._reader() as connection:
                    return Session(connection).execute(self.sql[name], parameters).fetchall()
            except psycopg.OperationalError as error:
                self._is_doubtful = True
                is_fresh = error.sqlstate is not None and not error.sqlstate.startswith("57P")
                if is_fresh or not stale or time.monotonic() - began > _SLOW_SECONDS:
                    raise broken(self.location, error) from error
            except psycopg.Error as error:
                raise broken(self.location, error) from error
        raise AssertionError("the last try answers or raises")

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One consistent view of what is committed, however long looking at it takes."""
        try:
            with self._reader() as connection, _unhurried(connection), connection.transaction():
                connection.execute("set transaction isolation level repeatable read, read only")
                connection.execute("set local idle_in_transaction_session_timeout = 0; set local statement_timeout = 0")
                yield Session(connection)
        except psycopg.Error as error:
            raise broken(self.location, error) from error

    @contextmanager
    def changing(self) -> Iterator[Connection]:
        """A transaction of several statements on a connection of its own, for what nobody is driving."""
        connection = self.own()
        connection.answer_seconds = None
        try:
            with connection, connection.transaction():
                yield connection
        except psycopg.Error as error:
            raise broken(self.location, error) from error

    def own(self) -> Connection:
        """One more connection, of the caller's own."""
        try:
            return connect(self.target, self._patience_seconds)
        except psycopg.Error as error:
            raise broken(self.location, error) from error

    def close(self) -> None:
        """Let go of all connections."""
        with self.lock:
            self._closed = True
            self._drop()
            self._pool.close()

    def _ready(self) -> Connection:
        if self._writer is None or self._writer.closed:
            if self._closed:
                raise StoreBroken(f"{self.location}: this store was closed; open it again")
            self._writer = self._open()
        return self._writer

    def _open(self) -> Connection:
        connection = self.own()
        try:
            bring_up_to_date(connection, self.target, self._version)
            if self.owner is not None:
                connection.execute(self.sql["give_back_all"].encode(), (self.owner,))
        except psycopg.Error as error:
            connection.close()
            raise broken(self.location, error) from error
        except BaseException:
            connection.close()
            raise
        self._prepared = set()
        return connection

    @contextmanager
    def _reader(self) -> Iterator[psycopg.Connection[Row]]:
        if self._closed:
            raise StoreBroken(f"{self.location}: this store was closed; open it again")
        if self._pool.closed:
            self._pool.open()
        if self._is_doubtful:
            self.own().close()  # says at once that there is no server, while the pool would wait for one
            self._is_doubtful = False
        connection = self._taken()
        try:
            with connection:
                yield connection
        finally:
            self._pool.putconn(connection)

    def _taken(self) -> Connection:
        """One of the pool's; it is put back there."""
        deadline = time.monotonic() + self._patience_seconds
        while True:
            try:
                return self._pool.getconn(min(self._patience_seconds, _GLANCE_SECONDS))
            except PoolTimeout as error:
                self._is_doubtful = True
                self.own().close()  # says what the pool cannot: why there is no connection
                self._is_doubtful = False
                if time.monotonic() > deadline:
                    raise broken(self.location, error) from error

    def _fail(self, error: psycopg.Error) -> NoReturn:
        if self._writer is not None and not is_whole(self._writer):
            self._is_doubtful = True
            self._drop()
        raise broken(self.location, error) from error

    def _drop(self) -> None:
        if self._writer is not None:
            with suppress(psycopg.Error):
                self._writer.close()
            self._writer = None


_TRY_AGAIN: Final = (psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected)
"""two writers met; nothing of this one has happened"""


@contextmanager
def _unhurried(connection: psycopg.Connection[Row]) -> Iterator[None]:
    assert isinstance(connection, Connection)
    patience, connection.answer_seconds = connection.answer_seconds, None
    try:
        yield
    finally:
        connection.answer_seconds = patience
