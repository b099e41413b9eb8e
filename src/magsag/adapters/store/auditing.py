"""The ledger as an auditor sees it, the same on every database."""

from collections.abc import Callable, Generator
from pathlib import Path

from magsag.adapters.store.anchors import Anchors
from magsag.adapters.store.kin import weights
from magsag.adapters.store.reading import Answers
from magsag.ports.auditing import Chosen, Evidence, Verified
from magsag.ports.ledger import Fault, Weight


class AuditingPart:
    """`ports.auditing.Audited`, and what `ports.ledger.Upkeep` only reads."""

    _reads: Answers
    _anchors: Anchors
    _mine: tuple[str, ...] = ()
    """how a ledger with several files of anchors calls this one"""

    def verify(self, heard: Callable[[int], None] | None = None, copy: Path | None = None) -> Verified:
        from magsag.adapters.store.checking import examine  # a start of every command would pay for it

        with self._reads.reading() as session:
            return examine(session, self._reads.sql, self._anchors, heard, self._mine, copy)

    def evidence(self, chosen: Chosen | None = None) -> Generator[Evidence, None, None]:
        from magsag.adapters.store.evidence import evidence

        with self._reads.reading() as session:
            yield from evidence(session, self._reads.sql, self._anchors, self._mine, chosen)

    def check(self, heard: Callable[[int], None] | None = None) -> list[Fault]:
        return self.verify(heard).faults

    def weights(self) -> list[Weight]:
        with self._reads.reading() as session:
            return weights(session, self._reads.sql)
