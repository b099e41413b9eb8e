"""What the parts of the store in memory share."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final

from magsag.adapters.store.memory_budgets import MemoryBudgets
from magsag.adapters.store.memory_standing import MemoryStanding
from magsag.domain.closure import Closure
from magsag.domain.errors import LedgerClosed
from magsag.domain.facts import ParkedOn, RunStatus
from magsag.domain.ids import RunId
from magsag.ports.ledger import Lease, Record, RunRow, Sealed, Stored, TicketRow


@dataclass(slots=True)
class MemoryRun:
    """A run with its facts, each with its head."""

    run: RunId
    root: RunId
    parent: RunId | None
    program: str
    bundle: str
    tenant: str
    actor: str
    requester: str
    trace_id: str
    span_id: str
    created: int
    updated: int
    status: RunStatus = RunStatus.RUNNING
    parked_on: ParkedOn | None = None
    due: int | None = None
    seq: int = 0
    head: bytes = b""
    facts: list[tuple[Sealed, bytes]] = field(default_factory=list)


@dataclass(slots=True)
class MemoryLease:
    """Who drives a tree; `until` by the monotonic clock."""

    owner: str
    fence: int
    until: float


class MemoryPart:
    """A part of one store, and what it holds."""

    _lock: threading.RLock
    _runs: dict[RunId, MemoryRun]
    _leases: dict[RunId, MemoryLease]
    _blobs: dict[RunId, dict[str, bytes]]
    _bundles: dict[str, bytes]
    _records: dict[tuple[str, str], tuple[Record, RunId]]
    _tickets: dict[str, TicketRow]
    _standing_approvals: MemoryStanding
    _money: MemoryBudgets
    _closure: Closure | None

    def _require_open(self) -> None:
        if self._closure is not None:
            raise LedgerClosed(self._closure.why())

    def _in_force(self, lease: Lease) -> bool:
        held = self._leases.get(lease.root)
        return held is not None and held.fence == lease.fence and held.owner == lease.owner


ROW_FIELDS: Final = tuple(field.name for field in fields(RunRow))


def row_of(run: MemoryRun) -> RunRow:
    """As it is told."""
    return RunRow(**{name: getattr(run, name) for name in ROW_FIELDS})


def stored(fact: Sealed, seq: int, head: bytes) -> Stored:
    """A fact at its place."""
    return Stored(fact.kind, fact.body, fact.digest, fact.salt, fact.input, fact.output, seq, head)


def bytes_of(fact: Sealed) -> int:
    """What the fact takes."""
    return len(fact.body) + len(fact.input or b"") + len(fact.output or b"")


def bytes_of_blobs(blobs: Mapping[str, bytes]) -> int:
    """What large values take."""
    return sum(map(len, blobs.values()))
