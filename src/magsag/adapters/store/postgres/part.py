"""What the parts of the Postgres store share. Each part serves one need of `ports.ledger`."""

from magsag.adapters.store.anchors import Anchors
from magsag.adapters.store.postgres.database import Database
from magsag.adapters.store.postgres.owner import Owner
from magsag.adapters.store.reading import Answers


class Part:
    """A part of one store."""

    def __init__(self, database: Database, anchors: Anchors, vouching: str, owner: Owner) -> None:
        self._database = database
        self._reads: Answers = database
        self._anchors = anchors
        self._vouching = vouching
        """the name of this file of anchors in the ledger"""
        self._mine: tuple[str, ...] = (vouching,)
        self._owner = owner
