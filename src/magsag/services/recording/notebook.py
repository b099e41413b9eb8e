"""A recorder that writes nothing: what would go on record is believed in memory, and listed for whoever asks.

For replays, which may leave no trace, and for facts that are made up first and written all at once.
"""

from collections.abc import Sequence

from magsag.domain.effects import Level
from magsag.domain.facts import Fact
from magsag.domain.ids import RunId
from magsag.engine.evolve import evolve
from magsag.engine.run import Run
from magsag.ports.clock import Clock
from magsag.ports.ledger import Change, Ledger, NewRun, Write
from magsag.services.recording.driven import Tree
from magsag.services.recording.recorder import Recorder


class Notebook(Recorder):
    """Facts and large values of runs that nobody else sees."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        super().__init__(ledger, clock)
        self.facts: list[tuple[RunId, Fact]] = []
        self.blobs: dict[str, bytes] = {}

    def keep(
        self, tree: Tree, run: Run, fact: Fact, create: NewRun | None = None, change: Change | None = None
    ) -> None:
        """Believe a fact and list it."""
        evolve(run, fact)
        self.facts.append((run.id, fact))

    async def record(
        self,
        tree: Tree,
        run: Run,
        facts: Sequence[Fact],
        level: Level,
        *,
        create: NewRun | None = None,
        change: Change | None = None,
        release: bool = False,
        beside: Sequence[Write] = (),
    ) -> None:
        """The same for several; nothing has to be waited for."""
        for fact in facts:
            self.keep(tree, run, fact)

    def add_blob(self, tree: Tree, run: Run, id: str, data: bytes) -> None:
        """Keep a large value."""
        self.blobs[id] = data

    async def settle(self) -> None:
        """Nothing is on its way."""
