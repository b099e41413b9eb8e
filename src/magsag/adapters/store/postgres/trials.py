"""A Postgres ledger of a proof with which somebody tampers: rows are changed, looked at, and changed back."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any, Final

from magsag.adapters.store.checking import examine
from magsag.adapters.store.evidence import evidence
from magsag.adapters.store.postgres.database import Session
from magsag.adapters.store.postgres.store import PostgresStore
from magsag.adapters.store.trials import anchored, applied
from magsag.ports.auditing import Evidence, Verified
from magsag.services.proofs.edits import Edit

_EXCUSES: Final = ("update anchored set owed = true, vacuumed = true where run = %s",)


class PostgresTrial:
    """`services.proofs.audit.Trial` on one schema that nobody else writes meanwhile."""

    def __init__(self, store: PostgresStore) -> None:
        self._database = store._database
        self._anchors = store._anchors
        self._mine = store._mine

    def tampered(self, edits: Sequence[Edit]) -> tuple[int, Verified, list[Evidence]]:
        """See `services.proofs.audit.Trial`."""
        sql = self._database.sql
        with closing(self._database.own()) as connection, connection.transaction(force_rollback=True):
            connection.execute("set local idle_in_transaction_session_timeout = 0; set local statement_timeout = 0")

            def change(statement: str, values: tuple[Any, ...]) -> int:
                return connection.execute(statement.encode(), values).rowcount

            changed = applied(edits, change, "%s", _EXCUSES)
            session = Session(connection)
            with anchored(self._anchors.path, edits) as altered:
                verified = examine(session, sql, self._anchors, None, self._mine)
                found = list(evidence(session, sql, self._anchors, self._mine))
        return changed + altered, verified, found
