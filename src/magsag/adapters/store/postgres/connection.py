"""One connection as a ledger needs it: patient up to a point, honest about syncs, with its schema in place."""

from typing import Any, Final, TypeVar

import psycopg
from psycopg import sql
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

from magsag.adapters.store.postgres.target import Target
from magsag.domain.errors import StoreBroken

T = TypeVar("T")
ANSWER_SECONDS: Final = 30.0
"""a server that has not answered by then is given up"""
_LIMITS: Final = (
    "set idle_in_transaction_session_timeout = 3000; set lock_timeout = 10000; set statement_timeout = 25000"
)
"""milliseconds. A process that stands still inside a transaction may block the others for less than a third of the
shortest lease"""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """Gives up on a server that does not answer: a broken network does not say that it is broken."""

    answer_seconds: float | None = ANSWER_SECONDS

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        return super().wait(gen, interval, self.answer_seconds if timeout is None else timeout)


def connect(target: Target) -> Connection:
    """Raises psycopg.Error, StoreBroken for a server that cannot keep a ledger."""
    connection = Connection.connect(autocommit=True, **target.parameters)
    try:
        configure(connection, target)
    except BaseException:
        connection.close()
        raise
    return connection


def configure(connection: psycopg.Connection[Any], target: Target) -> None:
    """Limits and schema; a commit that is acknowledged has to be on the disk, so what says otherwise is refused."""
    connection.execute(_LIMITS)
    connection.execute(sql.SQL("set search_path = {}").format(sql.Identifier(target.schema)))
    row = connection.execute("select current_setting('fsync'), current_setting('synchronous_commit')").fetchone()
    if row is None or row[0] != "on":
        raise StoreBroken(
            f"{target.shown}: the server runs with fsync off: what it acknowledges can be lost; switch fsync on"
        )
    if row[1] == "off":
        connection.execute("set synchronous_commit = on")


def is_whole(connection: psycopg.Connection[Any]) -> bool:
    """Whether it can be used after an error: nothing is open or under way on it."""
    return not connection.closed and connection.pgconn.transaction_status == TransactionStatus.IDLE
