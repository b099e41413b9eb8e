"""The store of runs that need not outlive their process: `[features] durable` off, and unit tests.

Same behaviour as the SQLite store, `magsag.testing.store_suite` says so; nothing is on disk, so all levels are
the same here, and there are no anchors.
"""

import itertools
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Final, assert_never

from magsag.adapters.store.budgeting import first_day_kept
from magsag.adapters.store.memory_budgets import MemoryBudgets
from magsag.adapters.store.memory_measures import MeasuresInMemory
from magsag.adapters.store.memory_standing import MemoryStanding
from magsag.adapters.store.throttled import MemoryThrottles
from magsag.adapters.store.tombstones import require_all
from magsag.adapters.store.words import text_of, tokens
from magsag.domain.approval import TicketState
from magsag.domain.budget import BudgetRow, Cap, Reservation
from magsag.domain.closure import Closure, Course
from magsag.domain.effects import Level
from magsag.domain.errors import Invalid, LedgerClosed, StoreBroken
from magsag.domain.facts import ENDS, ParkedOn, RunStarted, RunStatus
from magsag.domain.ids import RunId
from magsag.engine.chain import link, unseal
from magsag.engine.keeping import Kin, leaving
from magsag.ports.auditing import Chosen, Evidence, Verified
from magsag.ports.ledger import (
    AnchorLines,
    Declined,
    Fault,
    Hit,
    KeptBlob,
    KeptBudget,
    KeptBundle,
    KeptCap,
    KeptRecord,
    KeptReservation,
    KeptRun,
    KeptTicket,
    Lease,
    NewRun,
    Occupied,
    Piece,
    Record,
    RunQuery,
    RunRow,
    Sealed,
    Stored,
    TicketQuery,
    TicketRow,
    Vacuumed,
    Weight,
    Write,
    Written,
)
from magsag.ports.standing_approvals import KeptStanding, StandingQuery, StandingRow

_COUNT: Final = itertools.count(1)


@dataclass(slots=True)
class _Run:
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
class _Held:
    owner: str
    fence: int
    until: float


class MemoryStore(MemoryThrottles, MeasuresInMemory):
    """All of `ports.ledger.Store`, in dicts."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._measures = {}
        self._runs: dict[RunId, _Run] = {}
        self._leases: dict[RunId, _Held] = {}
        self._blobs: dict[RunId, dict[str, bytes]] = {}
        self._bundles: dict[str, bytes] = {}
        self._records: dict[tuple[str, str], tuple[Record, RunId]] = {}
        self._tickets: dict[str, TicketRow] = {}
        self._throttles = {}
        self._standing_approvals = MemoryStanding()
        self._money = MemoryBudgets()
        self._closure: Closure | None = None
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

    def _created(self, id: RunId, new: NewRun) -> _Run:
        run = self._runs[id] = _Run(
            id, new.root, new.parent, new.program, new.bundle, new.tenant, new.actor, new.requester,
            new.trace_id, new.span_id, new.created, new.created,
        )  # fmt: skip
        if new.owner is not None:
            self._leases[new.root] = _Held(new.owner, 1, time.monotonic() + new.lease_seconds)
        return run

    def read(self, run: RunId, after: int = 0) -> list[Stored]:
        with self._lock:
            if (found := self._runs.get(run)) is None:
                return []
            return [_stored(fact, seq, head) for seq, (fact, head) in enumerate(found.facts[after:], after + 1)]

    def blob(self, root: RunId, id: str) -> bytes:
        with self._lock:
            data = self._blobs.get(root, {}).get(id)
        if data is None:
            raise StoreBroken(f"run {root}: the large value {id} is not in the store")
        return data

    def record(self, tenant: str, key: str) -> bytes | None:
        with self._lock:
            found = self._records.get((tenant, key))
            return None if found is None else found[0].value

    def ticket(self, id: str) -> TicketRow | None:
        with self._lock:
            return self._tickets.get(id)

    def tickets(self, query: TicketQuery) -> list[TicketRow]:
        with self._lock:
            found = [ticket for ticket in self._tickets.values() if self._is_asked_for(ticket, query)]
        return sorted(found, key=lambda ticket: (ticket.opened, ticket.id))[: query.limit]

    def standing_approvals(self, query: StandingQuery) -> list[StandingRow]:
        with self._lock:
            return self._standing_approvals.found(query)

    def _is_asked_for(self, ticket: TicketRow, query: TicketQuery) -> bool:
        waits = ticket.state is TicketState.OPEN and self._runs[ticket.root].status not in ENDS
        return (
            (query.root is None or ticket.root == query.root)
            and (query.prefix is None or ticket.id.startswith(query.prefix))
            and (waits or not query.waiting)
        )

    def budgets(self, runs: Sequence[RunId] = ()) -> list[BudgetRow]:
        with self._lock:
            return self._money.budgets(runs)

    def reservations(self) -> list[Reservation]:
        with self._lock:
            return self._money.reservations()

    def caps(self) -> list[Cap]:
        with self._lock:
            return self._money.caps()

    def set_cap(self, cap: Cap) -> bool:
        with self._lock:
            self._require_open()
            return self._money.set_cap(cap)

    def _takes(self, item: Write) -> Declined | None:
        """Whether each ticket is the next version of the one that stands, and budgets have what it reserves."""
        stand = ((self._tickets[one.id].version if one.id in self._tickets else 0, one) for one in item.tickets)
        follow = all(version == one.version - 1 for version, one in stand)
        if not (follow and self._standing_approvals.allow(item)):
            return Declined("approval")
        short = self._money.write(item)
        return None if short is None else Declined("budget", short)

    def seqs(self, roots: Sequence[RunId]) -> dict[RunId, int]:
        with self._lock:
            return {root: self._runs[root].seq for root in roots if root in self._runs}

    def put_bundle(self, hash: str, body: bytes) -> None:
        with self._lock:
            self._bundles.setdefault(hash, body)

    def bundle(self, hash: str) -> bytes | None:
        with self._lock:
            return self._bundles.get(hash)

    def owner(self) -> str:
        return self._owner

    def acquire(self, root: RunId, owner: str, seconds: float) -> Lease | Occupied:
        now = time.monotonic()
        with self._lock:
            self._require_open()
            held = self._leases.setdefault(root, _Held("", 0, 0.0))
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

    def _in_force(self, lease: Lease) -> bool:
        held = self._leases.get(lease.root)
        return held is not None and held.fence == lease.fence and held.owner == lease.owner

    def row(self, run: RunId) -> RunRow | None:
        with self._lock:
            found = self._runs.get(run)
            return None if found is None else _row(found)

    def named(self, prefix: str) -> list[RunId]:
        with self._lock:
            return sorted(id for id, run in self._runs.items() if id == run.root and id.startswith(prefix))[:10]

    def rows(self, query: RunQuery) -> list[RunRow]:
        with self._lock:
            found = [run for run in self._runs.values() if _matches(run, query)]
            found.sort(key=lambda run: (run.created, run.run), reverse=query.root is None)
            return [_row(run) for run in found[: query.limit]]

    def due(self, now: int, limit: int) -> list[RunId]:
        with self._lock:
            wanting = [run for run in self._runs.values() if run.run == run.root and self._wants_a_leg(run, now)]
            wanting.sort(key=lambda run: (run.due or 0, run.run))
            return [run.run for run in wanting[:limit]]

    def _wants_a_leg(self, run: _Run, now: int) -> bool:
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

    def search(self, words: str, limit: int) -> list[Hit]:
        wanted = set(tokens(words))
        if not wanted:
            return []
        with self._lock:
            hits = [
                Hit(run.run, seq, fact.kind, text_of(fact)[:200])
                for run in self._runs.values()
                for seq, (fact, _) in enumerate(run.facts, 1)
                if wanted.issubset(tokens(text_of(fact)))
            ]
        return hits[:limit]

    def describe(self) -> dict[str, object]:
        with self._lock:
            return {
                "backend": "memory",
                "location": "this process",
                "runs": len(self._runs),
                "facts": sum(run.seq for run in self._runs.values()),
                "bundles": len(self._bundles),
                "bytes": sum(_size(fact) for run in self._runs.values() for fact, _ in run.facts)
                + sum(map(_blob_bytes, self._blobs.values())),
            }

    def check(self, heard: Callable[[int], None] | None = None) -> list[Fault]:
        return self.verify(heard).faults

    def verify(self, heard: Callable[[int], None] | None = None, copy: Path | None = None) -> Verified:
        from magsag.adapters.store.memory_audit import verified  # heavy, and asked for by hand

        return verified(list(self.pieces()), heard)

    def evidence(self, chosen: Chosen | None = None) -> Generator[Evidence, None, None]:
        from magsag.adapters.store.memory_audit import evidence_of

        return evidence_of(list(self.pieces()), chosen)

    def accept(self, by: str) -> dict[RunId, int]:
        return {}

    def vacuum(self, before: int, dry_run: bool) -> Vacuumed:
        with self._lock:
            leaves = leaving(self._kin(), before)
            gone = [run for run in self._runs.values() if run.root in leaves]
            needed = {run.bundle for run in self._runs.values() if run.root not in leaves}
            bundles = [hash for hash in self._bundles if hash not in needed]
            counted = Vacuumed(len(gone), sum(run.seq for run in gone), len(bundles), before, dry_run)
            if not dry_run:
                for run in gone:
                    del self._runs[run.run]
                    self._leases.pop(run.root, None)
                    self._blobs.pop(run.root, None)
                self._standing_approvals.vacuum(set(leaves))
                self._money.forget(run.run for run in gone)
                self._money.forget_days(first_day_kept(before))
                self._tickets = {id: kept for id, kept in self._tickets.items() if kept.root not in leaves}
                for hash in bundles:
                    del self._bundles[hash]
            return counted

    def weights(self) -> list[Weight]:
        with self._lock:
            found: dict[RunId, Weight] = {}
            leaves = leaving(self._kin(), 1 << 62)
            for run in self._runs.values():
                if run.root in leaves:
                    known = found.get(run.root, Weight(run.root, 0, _blob_bytes(self._blobs.get(run.root, {}))))
                    size = known.bytes + sum(_size(fact) for fact, _ in run.facts)
                    found[run.root] = Weight(run.root, max(known.updated, run.updated), size)
            return sorted(found.values(), key=lambda weight: (weight.updated, weight.root))

    def _kin(self) -> Iterator[Kin]:
        for run in self._runs.values():
            first = unseal(_stored(run.facts[0][0], 1, run.facts[0][1])) if run.facts else None
            continues = first.continues if isinstance(first, RunStarted) else None
            yield Kin(run.run, run.root, run.parent, continues, run.updated, run.status not in ENDS)

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

    def backup(self, destination: str) -> None:
        raise Invalid(
            f"{destination}: runs in memory cannot be copied; switch [features] durable on to keep them in a file"
        )

    def closure(self) -> Closure | None:
        return self._closure

    def set_closure(self, closure: Closure | None, was: Closure | None) -> None:
        with self._lock:
            if self._closure != was:
                raise Invalid(self._closure.why() if self._closure else "this ledger was opened again meanwhile")
            if closure is not None and closure.course is Course.LEAVING:
                self._require_nobody()
            if closure is not None and closure.course is Course.FILLING:
                self._empty()
            self._closure = closure

    def pieces(self) -> Iterator[Piece]:
        with self._lock:
            found: list[Piece] = [KeptBundle(hash, body) for hash, body in sorted(self._bundles.items())]
            found += [KeptRun(_row(self._runs[id]), self.read(id)) for id in sorted(self._runs)]
            blobs = [(root, id, body) for root, held in self._blobs.items() for id, body in held.items()]
            found += [KeptBlob(*blob) for blob in sorted(blobs)]
            found += [KeptRecord(*self._records[key]) for key in sorted(self._records)]
            found += [KeptTicket(self._tickets[id]) for id in sorted(self._tickets)]
            found += [KeptStanding(row) for _, row in sorted(self._standing_approvals.rows.items())]
            found += self._money.pieces()
        return iter(found)

    def fill(self, pieces: Sequence[Piece]) -> None:
        with self._lock:
            if self._closure is None or self._closure.course is not Course.FILLING:
                raise Invalid("this ledger is in use: nothing is put into it from elsewhere")
            for piece in pieces:
                self._put(piece)

    def _put(self, piece: Piece) -> None:
        match piece:
            case AnchorLines():
                pass  # there are none in memory
            case KeptBundle(hash, body):
                self._bundles[hash] = body
            case KeptRun(row, facts):
                given = {name: getattr(row, name) for name in _ROW_FIELDS}
                self._runs[row.run] = _Run(**given, facts=[(fact, fact.head) for fact in facts])
            case KeptBlob(root, id, body):
                self._blobs.setdefault(root, {})[id] = body
            case KeptRecord(record, run):
                self._records[record.tenant, record.key] = record, run
            case KeptTicket(ticket):
                self._tickets[ticket.id] = ticket
            case KeptStanding(standing):
                self._standing_approvals.rows[standing.id] = standing
            case KeptBudget() | KeptReservation() | KeptCap():
                self._money.put(piece)
            case _:
                assert_never(piece)

    def _require_open(self) -> None:
        if self._closure is not None:
            raise LedgerClosed(self._closure.why())

    def _require_nobody(self) -> None:
        for root, held in self._leases.items():
            if held.owner and held.until > time.monotonic():
                raise Invalid(f"run {root} is being driven by {held.owner}: wait until it has come to rest")

    def _empty(self) -> None:
        again = self._closure is not None and self._closure.course is Course.FILLING
        if not again and (self._runs or self._bundles or self._records or self._money.caps()):
            raise Invalid("this ledger holds something already: name an empty one")
        for held in (
            self._runs,
            self._bundles,
            self._blobs,
            self._records,
            self._tickets,
            self._standing_approvals.rows,
        ):
            held.clear()
        self._money.clear()

    def close(self) -> None:
        """Nothing is held outside this object."""


def _size(fact: Sealed) -> int:
    return len(fact.body) + len(fact.input or b"") + len(fact.output or b"")


def _blob_bytes(blobs: Mapping[str, bytes]) -> int:
    return sum(map(len, blobs.values()))


_ROW_FIELDS: Final = tuple(field.name for field in fields(RunRow))


def _row(run: _Run) -> RunRow:
    return RunRow(**{name: getattr(run, name) for name in _ROW_FIELDS})


def _sooner(one: int | None, other: int | None) -> int | None:
    return min((due for due in (one, other) if due is not None), default=None)


def _stored(fact: Sealed, seq: int, head: bytes) -> Stored:
    return Stored(fact.kind, fact.body, fact.digest, fact.salt, fact.input, fact.output, seq, head)


def _matches(run: _Run, query: RunQuery) -> bool:
    if query.root is not None:
        if run.root != query.root:
            return False
    elif query.roots_only and run.run != run.root:
        return False
    return (
        (query.program is None or run.program == query.program or run.program.startswith(f"{query.program}@"))
        and (query.status is None or run.status is query.status)
        and (query.parked_on is None or run.parked_on is query.parked_on)
        and (query.since is None or run.created >= query.since)
    )
