"""This process's name for leases, and the lock by which every machine sees whether it lives.

The lock is an advisory one of a connection of its own: the server drops it when that connection ends, which is at
once when the process dies. A connection that was lost is made again with the next renewal; until then others may take
its leases, and whoever lost one is declined by the fence.
"""

import os
import socket
import threading
from typing import Any, Final

import psycopg

from magsag.adapters.store.postgres.connection import Connection, is_whole
from magsag.adapters.store.postgres.database import Database, Row
from magsag.adapters.store.postgres.failures import broken
from magsag.domain.errors import StoreBroken

PREFIX: Final = "postgres:"
"""owners whose life can be seen by a lock; `sql/functions.sql` knows it too"""


class Owner:
    """The name, and the connection that holds its lock and renews its leases."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._guard = threading.Lock()
        self._name: str | None = None
        self._connection: Connection | None = None

    def name(self) -> str:
        """The first call takes the lock. Raises StoreBroken."""
        with self._guard:
            if self._name is None:
                self._ready()
            assert self._name is not None
            return self._name

    def renew(self, owner: str, milliseconds: int) -> None:
        """Prolong the leases of an owner; waits for no write of this process. Raises StoreBroken."""
        with self._guard:
            self._execute(self._ready(), "renew_leases", (milliseconds, owner))

    def close(self) -> None:
        """Give the name up; its leases may be taken at once."""
        with self._guard:
            if self._connection is not None:
                self._connection.close()
            self._connection = self._name = None

    def _ready(self) -> Connection:
        """A name is ours once its lock is held: nobody may act under one that looks dead."""
        if self._connection is None or self._connection.closed:
            name = self._name or f"{PREFIX}{socket.gethostname()}:{os.getpid()}:{os.urandom(8).hex()}"
            self._connection = self._locked(name)
            self._name = self._database.owner = name
        return self._connection

    def _locked(self, name: str) -> Connection:
        """A new connection that holds the lock. After a broken network the server may still believe in the old one: it
        is ended, and the next try finds the lock free."""
        connection = self._database.own()
        try:
            if self._execute(connection, "take_owner_lock", (name,)).fetchone() != (True,):
                self._execute(connection, "end_owner", (name,))
                raise StoreBroken(f"{self._database.location}: an earlier connection of this process held its lock")
        except BaseException:
            connection.close()
            raise
        return connection

    def _execute(self, connection: Connection, statement: str, parameters: tuple[Any, ...]) -> psycopg.Cursor[Row]:
        try:
            return connection.execute(self._database.sql[statement].encode(), parameters, binary=True)
        except psycopg.Error as error:
            if not is_whole(connection):
                connection.close()
            raise broken(self._database.location, error) from error
