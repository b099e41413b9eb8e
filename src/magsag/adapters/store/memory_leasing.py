"""Who drives which run tree in this process, and who hears of writes."""

import threading
import time

from magsag.adapters.store.memory_part import MemoryLease, MemoryPart, MemoryRun
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.ports.ledger import Lease, Occupied


class MemoryLeasing(MemoryPart):
    """`ports.ledger.Leases` and `ports.ledger.Wakes`."""

    _owner: str
    _written: threading.Condition
    _count: int
    """of writes"""
    _heard: int
    """the count at the last wait"""

    def owner(self) -> str:
        return self._owner

    def acquire(self, root: RunId, owner: str, seconds: float) -> Lease | Occupied:
        now = time.monotonic()
        with self._lock:
            self._require_open()
            held = self._leases.setdefault(root, MemoryLease("", 0, 0.0))
            if held.owner not in ("", owner) and held.until > now:
                return Occupied(held.owner, held.until - now)
            is_wrested = held.owner not in ("", owner)
            if held.owner != owner:
                held.owner, held.fence = owner, held.fence + 1
            held.until = now + seconds
            return Lease(root, owner, held.fence, is_wrested)

    def renew(self, owner: str, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._lock:
            self._require_open()
            for held in self._leases.values():
                if held.owner == owner:
                    held.until = until

    def holds(self, lease: Lease) -> bool:
        with self._lock:
            return self._in_force(lease) and self._leases[lease.root].until > time.monotonic()

    def release(self, lease: Lease) -> None:
        with self._lock:
            if self._in_force(lease):
                self._leases[lease.root].owner = ""

    def due(self, now: int, limit: int) -> list[RunId]:
        with self._lock:
            wanting = [run for run in self._runs.values() if run.run == run.root and self._wants_a_leg(run, now)]
            wanting.sort(key=lambda run: (run.due or 0, run.run))
            return [run.run for run in wanting[:limit]]

    def _wants_a_leg(self, run: MemoryRun, now: int) -> bool:
        held = self._leases.get(run.root)
        if held is not None and held.owner and held.until > time.monotonic():
            return False
        return run.status is RunStatus.RUNNING or (
            run.status is RunStatus.PARKED and run.due is not None and run.due <= now
        )

    def wait(self, seconds: float) -> bool:
        with self._lock:
            was_written = self._written.wait_for(lambda: self._count != self._heard, seconds)
            self._heard = self._count
            return was_written
