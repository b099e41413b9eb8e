"""A run tree while this process drives it: what is believed of it, and whether it still may be."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from magsag.domain.errors import Broken
from magsag.domain.ids import RunId
from magsag.engine.run import Run
from magsag.ports.ledger import Lease

if TYPE_CHECKING:
    from magsag.services.recording.commits import Commit


@dataclass(slots=True, eq=False)
class Tree:
    """A run tree that this process drives."""

    root: RunId
    lease: Lease
    runs: dict[RunId, Run] = field(default_factory=dict)
    heads: dict[RunId, bytes] = field(default_factory=dict)
    """the chain of each run as of its last commit"""
    seqs: dict[RunId, int] = field(default_factory=dict)
    """up to where each run is known; it lags while facts that others appended have not been heard"""
    blobs: dict[bytes, str] = field(default_factory=dict)
    """digest of a large value's bytes -> its id"""
    handles: dict[str, object] = field(default_factory=dict)
    """id of a large value -> what programs are handed"""
    clean: dict[str, int] = field(default_factory=dict)
    """id of a large value -> how many secrets were known when it held none of them"""
    children: dict[RunId, int] = field(default_factory=dict)
    """how many child runs each run has started"""
    owed: "Commit | None" = None
    """of the last outcome that was not waited for: nothing of the tree acts before it is on record"""
    lost: Broken | None = None
    """why nothing of this tree may go on in this process"""
    when_lost: Callable[[], None] | None = None

    def lose(self, why: Broken) -> None:
        """Drop the tree: every later proposal is refused."""
        if self.lost is None:
            self.lost = why
            if self.when_lost is not None:
                self.when_lost()
