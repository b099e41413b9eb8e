"""Who drives which run tree. Ends go by the server's clock; a dead process is seen by its lock, on any machine."""

import time
from typing import Final

from magsag.adapters.store.behind import require_not_behind
from magsag.adapters.store.postgres.part import Part
from magsag.domain.ids import RunId
from magsag.ports.ledger import Lease, Occupied

_OTHER_CLOCKS: Final = 60_000_000
"""so far, in microseconds, may the clock run ahead by which a run was created"""


class LeasingPart(Part):
    """`ports.ledger.Leases`, and which runs are due."""

    _opened: int | None = None
    _whole: set[RunId]
    """trees of which the ledger holds what this machine anchored"""

    def owner(self) -> str:
        return self._owner.name()

    def acquire(self, root: RunId, owner: str, seconds: float) -> Lease | Occupied:
        self._require_not_behind(root)
        ((holder, fence, left, wrested),) = self._database.change("acquire_lease", (root, owner, int(seconds * 1000)))
        return Occupied(holder, left / 1000) if holder else Lease(root, owner, fence, wrested)

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
        self._owner.renew(owner, int(seconds * 1000))

    def holds(self, lease: Lease) -> bool:
        return self._database.one("holds_lease", (lease.root, lease.owner, lease.fence)) is not None

    def release(self, lease: Lease) -> None:
        self._database.change("release_lease", (lease.root, lease.owner, lease.fence))

    def due(self, now: int, limit: int) -> list[RunId]:
        return [run for (run,) in self._database.all("due", (now, limit))]
