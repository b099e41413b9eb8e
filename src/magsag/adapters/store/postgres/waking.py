"""Hears that others have written: the server tells all who listen when a run may want a leg."""

import psycopg
from psycopg import sql

from magsag.adapters.store.postgres.connection import Connection
from magsag.adapters.store.postgres.failures import broken
from magsag.adapters.store.postgres.part import Part


class WakingPart(Part):
    """`ports.ledger.Wakes`, on a connection of its own."""

    _listening: Connection | None = None

    def wait(self, seconds: float) -> bool:
        connection, is_deaf = self._listening, False
        if connection is None or connection.closed:
            connection, is_deaf = self._database.own(), True
            self._listening = connection
        try:
            if is_deaf:
                self._listen(connection)
                return True
            return self._heard(connection, seconds)
        except psycopg.Error as error:
            connection.close()
            raise broken(self._database.location, error) from error

    def _listen(self, connection: Connection) -> None:
        channel = sql.Identifier(f"magsag_{self._database.target.schema}")
        connection.execute(sql.SQL("listen {}").format(channel))

    def _heard(self, connection: Connection, seconds: float) -> bool:
        """One is enough; those that came with it are taken too."""
        heard = any(True for _ in connection.notifies(timeout=seconds, stop_after=1))
        if heard:
            for _ in connection.notifies(timeout=0):
                pass
        return heard

    def _deafen(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None
