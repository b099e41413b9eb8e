"""One connection as a ledger needs it: patient up to a point, honest about syncs, with its schema in place."""

from typing import Any, Final, TypeVar

import psycopg
from psycopg import sql
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus

from magsag.adapters.store.postgres.target import Target
from magsag.domain.errors import StoreBroken

T = TypeVar("T")
PATIENCE_SECONDS: Final = 10.0
"""how long a lock is waited for; a statement may take twice as long, and after three times the server is given up"""
_IDLE_MILLISECONDS: Final = 3000
"""so long may who stands still inside a transaction block the others: less than a third of the shortest lease"""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """Gives up on a server that does not answer: a broken network does not say that it is broken."""

    answer_seconds: float | None = 3 * PATIENCE_SECONDS

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        return super().wait(gen, interval, self.answer_seconds if timeout is None else timeout)


def connect(target: Target, patience_seconds: float = PATIENCE_SECONDS) -> Connection:
    """Raises psycopg.Error, StoreBroken for a server that cannot keep a ledger."""
    connection = Connection.connect(autocommit=True, **target.parameters)
    try:
        configure(connection, target, patience_seconds)
    except BaseException:
        connection.close()
        raise
    return connection


def configure(connection: Connection, target: Target, patience_seconds: float) -> None:
    """Limits and schema; a commit that is acknowledged has to be on the disk, so what says otherwise is refused."""
    connection.answer_seconds = 3 * patience_seconds
    patience = int(patience_seconds * 1000)
    limits = {
        "search_path": f'"{target.schema}"',
        "idle_in_transaction_session_timeout": str(_IDLE_MILLISECONDS),
        "lock_timeout": str(patience),
        "statement_timeout": str(2 * patience),
        # Our statements are planned once: planning them for each value would cost more than running them.
        "plan_cache_mode": "force_generic_plan",
    }
    settings = sql.SQL(", ").join(sql.SQL("set_config({}, {}, false)").format(*pair) for pair in limits.items())
    ask = sql.SQL("select current_setting('fsync'), current_setting('synchronous_commit'), {}").format(settings)
    row = connection.execute(ask).fetchone()
    if row is None or row[0] != "on":
        raise StoreBroken(
            f"{target.shown}: the server runs with fsync off: what it acknowledges can be lost; switch fsync on"
        )
    if row[1] == "off":
        connection.execute("set synchronous_commit = on")


def is_whole(connection: psycopg.Connection[Any]) -> bool:
    """Whether it can be used after an error: nothing is open or under way on it."""
    return not connection.closed and connection.pgconn.transaction_status == TransactionStatus.IDLE
