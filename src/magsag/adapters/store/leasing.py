"""Who drives which run tree. Ends go by SQLite's clock; a dead process of this machine is seen by its lock file."""

from itertools import chain, islice
from typing import cast

from magsag.adapters.store.behind import BehindPart
from magsag.adapters.store.part import Part
from magsag.domain.effects import Level
from magsag.domain.ids import RunId
from magsag.ports.ledger import Lease, Occupied


class LeasingPart(BehindPart, Part):
    """`ports.ledger.Leases`."""

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
