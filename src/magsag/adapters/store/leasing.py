"""Who drives which run tree. Ends go by SQLite's clock; a dead process of this machine is seen by its lock file."""

import time
from itertools import chain, islice
from typing import Final, cast

from magsag.adapters.store.behind import require_not_behind
from magsag.adapters.store.part import Part
from magsag.domain.effects import Level
from magsag.domain.ids import RunId
from magsag.ports.ledger import Lease, Occupied

_OTHER_CLOCKS: Final = 60_000_000
"""so far, in microseconds, may the clock run ahead by which a run was created"""


class LeasingPart(Part):
    """`ports.ledger.Leases`."""

    _opened: int | None = None
    _whole: set[RunId]
    """trees of which the ledger holds what was anchored"""

    def owner(self) -> str:
        return self._process.name()

    def acquire(self, root: RunId, owner: str, seconds: float) -> Lease | Occupied:
        sql = self._database.sql
        self._require_not_behind(root)
        with self._database.writing(Level.WRITTEN) as connection:
            holder, fence, left = connection.execute(sql["lease_state"], (root,)).fetchone() or ("", 0, 0)
            may_live = holder not in ("", owner) and not self._process.is_dead(holder)
            if may_live and left > 0:
                return Occupied(holder, left / 1000)
            if holder != owner:
                fence += 1
            connection.execute(sql["take_lease"], (root, owner, fence, int(seconds * 1000)))
        return Lease(root, owner, fence, wrested=may_live)

    def _require_not_behind(self, root: RunId) -> None:
        """Once for each tree that is older than this opening of the ledger: what is newer has no older copy."""
        if self._opened is None:
            self._opened, self._whole = time.time_ns() // 1000 + _OTHER_CLOCKS, set()
        if root not in self._whole:
            row = self._database.one("row", (root,))
            if row is not None and row[13] < self._opened:
                require_not_behind(self._anchors.path, root, self._head_at)
            self._whole.add(root)

    def _head_at(self, run: RunId, seq: int) -> bytes | None:
        row = self._database.one("head_at", (run, seq))
        return None if row is None else bytes(row[0])

    def renew(self, owner: str, seconds: float) -> None:
        with self._database.writing(Level.WRITTEN) as connection:
            connection.execute(self._database.sql["renew_leases"], (int(seconds * 1000), owner))

    def holds(self, lease: Lease) -> bool:
        return self._database.one("holds_lease", (lease.root, lease.owner, lease.fence)) is not None

    def release(self, lease: Lease) -> None:
        with self._database.writing(Level.WRITTEN) as connection:
            connection.execute(self._database.sql["release_lease"], (lease.root, lease.owner, lease.fence))

    def due(self, now: int, limit: int) -> list[RunId]:
        sql = self._database.sql
        with self._database.reading() as connection:
            rows = chain(connection.execute(sql["running"]), connection.execute(sql["due"], (now,)))
            wanting = (run for run, holder in rows if not holder or self._process.is_dead(cast(str, holder)))
            return list(islice(wanting, limit))
