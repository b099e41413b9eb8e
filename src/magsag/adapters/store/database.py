"""One SQLite file and this process's one connection to it: opening, transactions, levels, recovery from failure.

What the tables mean is not decided here. A failed transaction has not happened; after an error of the medium the
connection is given up, and the next use opens a new one and moves the log into the file before it goes on, because
the system forgets which pages it could not write.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from magsag.adapters.store.failures import broken, is_busy, leaves_doubt, no_access
from magsag.adapters.store.migrations import State, migrate, state_of
from magsag.adapters.store.pragmas import set_up
from magsag.adapters.store.statements import migrations, statements
from magsag.domain.effects import Level
from magsag.domain.errors import StoreBroken

_GROWN_BYTES: Final = 4 << 20
_GROW_AFTER: Final = 16
"""synced commits after which a longer log pays: syncing inside a file of its full length costs half"""


class Database:
    """The connection and its lock: one transaction at a time, from any thread."""

    def __init__(self, path: Path, version: Callable[[], str], patience_seconds: float) -> None:
        self.path = path
        self.location = str(path)
        self.sql: Mapping[str, str] = statements()
        self._version = version
        self._patience_seconds = patience_seconds
        self.lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] = (0, 0)
        self._full = False
        self._synced = 0
        self._doubtful = False
        self._closed = False
        with self.lock:
            self._ready()

    def writing(self, level: Level) -> "Transaction":
        """A transaction that is committed at the end of the block, at this level, or has not happened."""
        return Transaction(self, level)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One consistent view of what is committed."""
        with self.lock:
            connection = self._ready()
            try:
                connection.execute("begin")
                yield connection
                connection.execute("commit")
            except BaseException as error:
                self._fail(connection, error)

    def one(self, name: str, parameters: tuple[object, ...] | dict[str, object] = ()) -> tuple[Any, ...] | None:
        """The first row of a named statement that only reads."""
        rows = self.all(name, parameters)
        return rows[0] if rows else None

    def all(self, name: str, parameters: tuple[object, ...] | dict[str, object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a named statement that only reads."""
        with self.lock:
            connection = self._ready()
            try:
                return connection.execute(self.sql[name], parameters).fetchall()
            except sqlite3.Error as error:
                self._fail(connection, error)

    def require_in_place(self) -> None:
        """Raise StoreBroken when the file was taken away: SQLite would go on writing to what nobody can find."""
        if self._identity() != self._file:
            raise StoreBroken(f"{self.path}: the file was moved or deleted while it was in use; put it back")

    def compact(self) -> bool:
        """Give the space of removed rows back to the disk; False where others are busy: it is only kept for reuse."""
        with self.lock:
            connection = self._ready()
            try:
                connection.execute("vacuum")
                (is_blocked, *_) = connection.execute("pragma wal_checkpoint(truncate)").fetchone()
            except sqlite3.Error as error:
                if not is_busy(error):
                    self._fail(connection, error)
                return False
            return not is_blocked

    def close(self) -> None:
        """Let go of the file."""
        with self.lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _ready(self) -> sqlite3.Connection:
        """The connection, opened where it is not."""
        if self._connection is None:
            if self._closed:
                raise StoreBroken(f"{self.path}: this store was closed; open it again")
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise no_access(self.path.parent, error) from error
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(
                self.path,
                timeout=self._patience_seconds,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=64,
            )
            self._prepare(connection)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, sqlite3.Error):
                raise broken(self.path, error) from error
            raise
        self._file = self._identity()
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Look first, so that a file that is not ours stays as it is; then set up and check every answer."""
        state = state_of(connection, self.path, migrations())
        set_up(connection, self.path, self._patience_seconds)
        if state is not State.CURRENT:
            migrate(connection, self.path, migrations(), self._version)
        self._full = False
        if self._doubtful:
            connection.execute("pragma wal_checkpoint(truncate)").fetchall()
            self._doubtful = False

    def _begin(self, level: Level) -> sqlite3.Connection:
        connection = self._connection or self._ready()
        try:
            self._choose(connection, level)
            connection.execute("begin immediate")
        except BaseException as error:
            self._fail(connection, error)
        return connection

    def _commit(self, connection: sqlite3.Connection, level: Level) -> None:
        try:
            connection.execute("commit")
        except BaseException as error:
            self._fail(connection, error)
        if level is Level.SYNCED:
            self._synced += 1
            if self._synced == _GROW_AFTER:
                self._grow(connection)

    def _fail(self, connection: sqlite3.Connection, error: BaseException) -> NoReturn:
        """Undo, and raise the error as ours."""
        self._undo(connection, error)
        if isinstance(error, sqlite3.Error):
            raise broken(self.path, error) from error
        raise error

    def _choose(self, connection: sqlite3.Connection, level: Level) -> None:
        full = level is Level.SYNCED
        if full != self._full:
            connection.execute(f"pragma synchronous = {'full' if full else 'normal'}")
            self._full = full

    def _undo(self, connection: sqlite3.Connection, error: BaseException) -> None:
        try:
            if connection.in_transaction:
                connection.execute("rollback")
        except sqlite3.Error:
            self._doubtful = True
        if self._doubtful or leaves_doubt(error):
            self._doubtful, self._connection = True, None
            with suppress(sqlite3.Error):
                connection.close()

    def _grow(self, connection: sqlite3.Connection) -> None:
        """Give the log its full length at once. A failure costs speed, nothing else."""
        try:
            if os.stat(f"{self.path}-wal").st_size >= _GROWN_BYTES:
                return
            self._choose(connection, Level.WRITTEN)
            connection.execute(self.sql["grow_log"], (_GROWN_BYTES,))
            connection.execute(self.sql["forget_growth"])
            connection.execute("pragma wal_checkpoint(restart)").fetchall()
        except (sqlite3.Error, OSError) as error:
            self._undo(connection, error)

    def _identity(self) -> tuple[int, int]:
        try:
            found = os.stat(self.path)
        except OSError:
            return (0, 0)
        return (found.st_dev, found.st_ino)


class Transaction:
    """What `Database.writing` gives to `with`; a class, because a generator costs a microsecond on every commit."""

    __slots__ = ("_connection", "_database", "_level")

    def __init__(self, database: Database, level: Level) -> None:
        self._database = database
        self._level = level

    def __enter__(self) -> sqlite3.Connection:
        self._database.lock.acquire()
        try:
            self._connection = self._database._begin(self._level)
        except BaseException:
            self._database.lock.release()
            raise
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self._database._commit(self._connection, self._level)
            else:
                self._database._fail(self._connection, error)
        finally:
            self._database.lock.release()
