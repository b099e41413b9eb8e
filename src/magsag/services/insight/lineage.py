"""Which programs stand above a recorded run, read from the ledger alone."""

from magsag.domain.facts import RunStarted
from magsag.domain.ids import RunId
from magsag.engine.chain import unseal
from magsag.ports.ledger import Ledger


class Lineages:
    """Answers for many runs; the beginnings of runs do not change, so each is read once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._begun: dict[RunId, RunStarted | None] = {}

    def above(self, started: RunStarted) -> tuple[str, ...]:
        """The exact references of the programs above, the root's first, as far as the ledger has their runs."""
        above: tuple[str, ...] = ()
        first: RunStarted | None = started
        while first is not None and first.lineage is None and first.parent is not None:
            first = self._first(first.parent)
            above = (first.program, *above) if first is not None else above
        return (*(first.lineage or ()), *above) if first is not None else above

    def _first(self, run: RunId) -> RunStarted | None:
        if run not in self._begun:
            found = self._ledger.read(run)
            fact = unseal(found[0]) if found else None
            self._begun[run] = fact if isinstance(fact, RunStarted) else None
        return self._begun[run]
