"""The SQLite ledger as an auditor sees it."""

from collections.abc import Callable, Generator
from pathlib import Path

from magsag.adapters.store.part import Part
from magsag.ports.auditing import Chosen, Evidence, Verified


class AuditingPart(Part):
    """`ports.auditing.Audited`."""

    def verify(self, heard: Callable[[int], None] | None = None, copy: Path | None = None) -> Verified:
        from magsag.adapters.store.checking import examine  # a start of every command would pay for it

        with self._database.reading() as connection:
            return examine(connection, self._database.sql, self._anchors, heard, copy=copy)

    def evidence(self, chosen: Chosen | None = None) -> Generator[Evidence, None, None]:
        from magsag.adapters.store.evidence import evidence

        with self._database.reading() as connection:
            yield from evidence(connection, self._database.sql, self._anchors, chosen=chosen)
