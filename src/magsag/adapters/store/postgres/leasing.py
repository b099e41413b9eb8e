"""Who drives which run tree. Ends go by the server's clock; a dead process is seen by its lock, on any machine."""

from magsag.adapters.store.behind import BehindPart
from magsag.adapters.store.postgres.part import Part
from magsag.domain.ids import RunId
from magsag.ports.ledger import Lease, Occupied


class LeasingPart(BehindPart, Part):
    """`ports.ledger.Leases`, and which runs are due."""

    def owner(self) -> str:
        return self._owner.name()

    def acquire(self, root: RunId, owner: str, seconds: float) -> Lease | Occupied:
        self._require_not_behind(root)
        ((holder, fence, left, wrested),) = self._database.change("acquire_lease", (root, owner, int(seconds * 1000)))
        return Occupied(holder, left / 1000) if holder else Lease(root, owner, fence, wrested)

    def renew(self, owner: str, seconds: float) -> None:
        self._owner.renew(owner, int(seconds * 1000))

    def holds(self, lease: Lease) -> bool:
        return self._database.one("holds_lease", (lease.root, lease.owner, lease.fence)) is not None

    def release(self, lease: Lease) -> None:
        self._database.change("release_lease", (lease.root, lease.owner, lease.fence))

    def due(self, now: int, limit: int) -> list[RunId]:
        return [run for (run,) in self._database.all("due", (now, limit))]
