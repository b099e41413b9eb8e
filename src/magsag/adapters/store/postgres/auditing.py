"""The Postgres ledger as an auditor sees it, from this machine."""

from collections.abc import Callable, Generator
from pathlib import Path

from magsag.adapters.store.postgres.part import Part
from magsag.ports.auditing import Chosen, Evidence, Verified


class AuditingPart(Part):
    """`ports.auditing.Audited`."""

    def verify(self, heard: Callable[[int], None] | None = None, copy: Path | None = None) -> Verified:
        from magsag.adapters.store.checking import examine  # a start of every command would pay for it

        with self._database.reading() as session:
            return examine(session, self._database.sql, self._anchors, heard, (self._vouching,), copy)

    def evidence(self, chosen: Chosen | None = None) -> Generator[Evidence, None, None]:
        from magsag.adapters.store.evidence import evidence

        with self._database.reading() as session:
            yield from evidence(session, self._database.sql, self._anchors, (self._vouching,), chosen)
