"""What the parts of the SQLite store share. Each part serves one need of `ports.ledger`."""

from magsag.adapters.store.anchors import Anchors
from magsag.adapters.store.database import Database
from magsag.adapters.store.processlock import ProcessLock
from magsag.adapters.store.reading import Answers


class Part:
    """A part of one store."""

    def __init__(self, database: Database, anchors: Anchors, process: ProcessLock) -> None:
        self._database = database
        self._reads: Answers = database
        self._anchors = anchors
        self._mine: tuple[str, ...] = ()
        """nobody else writes anchors of this ledger"""
        self._process = process
