"""The store of runs that need not outlive their process: `[features] durable` off, and unit tests.

Same behaviour as the SQLite store, `magsag.testing.store_suite` says so; nothing is on disk, so all levels are
the same here, and there are no anchors.
"""

import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from magsag.adapters.store.memory_budgets import MemoryBudgets
from magsag.adapters.store.memory_leasing import MemoryLeasing
from magsag.adapters.store.memory_measures import MeasuresInMemory
from magsag.adapters.store.memory_part import MemoryLease, MemoryRun
from magsag.adapters.store.memory_standing import MemoryStanding
from magsag.adapters.store.memory_upkeep import MemoryUpkeep
from magsag.adapters.store.throttled import MemoryThrottles
from magsag.adapters.store.tombstones import require_all
from magsag.domain.budget import Cap
from magsag.domain.effects import Level
from magsag.domain.facts import ENDS, RunStatus
from magsag.domain.ids import RunId
from magsag.engine.chain import link
from magsag.ports.ledger import Declined, NewRun, Sealed, Write, Written

_COUNT: Final = itertools.count(1)


class MemoryStore(MemoryUpkeep, MemoryLeasing, MemoryThrottles, MeasuresInMemory):
    """All of `ports.ledger.Store`, in dicts."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._measures = {}
        self._runs = {}
        self._leases = {}
        self._blobs = {}
        self._bundles = {}
        self._records = {}
        self._tickets = {}
        self._throttles = {}
        self._standing_approvals = MemoryStanding()
        self._money = MemoryBudgets()
        self._closure = None
        self._owner = f"memory:{next(_COUNT)}"
        self._written = threading.Condition(self._lock)
        self._count = 0
        self._heard = -1

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        with self._lock:
            self._require_open()
            self._count += 1
            self._written.notify_all()
            return [self._write(item) for item in writes]

    def _write(self, item: Write) -> Written | Declined:
        run = self._runs.get(item.run)
        if not self._may_write(item):
            return Declined("lease")
        if item.create is not None:
            if run is not None:
                return Declined("exists")
            run = self._created(item.run, item.create)
        elif run is None:
            return Declined("unknown")
        if (declined := self._takes(item)) is not None:
            return declined
        self._standing_approvals.take(item)
        head = run.head
        for fact in item.facts:
            head = link(head, fact.digest)
            run.facts.append((fact, head))
        run.head, run.seq = head, len(run.facts)
        if item.blobs:
            self._blobs.setdefault(item.root, {}).update(item.blobs)
        self._tickets.update((ticket.id, ticket) for ticket in item.tickets)
        for record in item.records:
            self._records[record.tenant, record.key] = record, item.run
        if (change := item.change) is not None:
            woken = run.due if (run.status, change.status) == (RunStatus.RUNNING, RunStatus.PARKED) else None
            run.status, run.parked_on = change.status, change.parked_on
            run.due, run.updated = _sooner(change.due, woken), change.updated
        if item.wake is not None and (root := self._runs.get(item.root)) is not None and root.status not in ENDS:
            root.due = _sooner(root.due, item.wake)
        if item.release and item.lease is not None:
            self.release(item.lease)
        return Written(run.seq, head, self._money.balances(item))

    def _may_write(self, item: Write) -> bool:
        own = item.lease is None or (item.lease.root == item.root and self._in_force(item.lease))
        return own and (item.under is None or self._in_force(item.under))

    def _created(self, id: RunId, new: NewRun) -> MemoryRun:
        run = self._runs[id] = MemoryRun(
            id, new.root, new.parent, new.program, new.bundle, new.tenant, new.actor, new.requester,
            new.trace_id, new.span_id, new.created, new.created,
        )  # fmt: skip
        if new.owner is not None:
            self._leases[new.root] = MemoryLease(new.owner, 1, time.monotonic() + new.lease_seconds)
        return run

    def _takes(self, item: Write) -> Declined | None:
        """Whether each ticket is the next version of the one that stands, and budgets have what it reserves."""
        stand = ((self._tickets[one.id].version if one.id in self._tickets else 0, one) for one in item.tickets)
        follow = all(version == one.version - 1 for version, one in stand)
        if not (follow and self._standing_approvals.allow(item)):
            return Declined("approval")
        short = self._money.write(item)
        return None if short is None else Declined("budget", short)

    def put_bundle(self, hash: str, body: bytes) -> None:
        with self._lock:
            self._bundles.setdefault(hash, body)

    def set_cap(self, cap: Cap) -> bool:
        with self._lock:
            self._require_open()
            return self._money.set_cap(cap)

    def erase(self, root: RunId, tombstones: Mapping[RunId, Mapping[int, Sealed]], at: int) -> bool:
        with self._lock:
            require_all(tombstones, [id in self._runs for id in tombstones])
            for id, stones in tombstones.items():
                run = self._runs[id]
                for seq in stones:
                    fact, head = run.facts[seq - 1]
                    run.facts[seq - 1] = replace(fact, salt=None, input=None, output=None), head
                self._write(Write(id, root, list(stones.values())))
                run.updated = at
            self._blobs.pop(root, None)
            mine = [ticket for ticket in self._tickets.values() if ticket.root == root]
            self._tickets.update((ticket.id, replace(ticket, salt=None)) for ticket in mine)
        return True


def _sooner(one: int | None, other: int | None) -> int | None:
    return min((due for due in (one, other) if due is not None), default=None)
