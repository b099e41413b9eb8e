"""The writes of one transaction: who is declined, where each chain stands, and the rows that come of it.

What decides is read first; rows are written at the end, many at a time. A declined write has then left nothing, so
no savepoint is needed and its siblings do not notice it.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic_core import to_json

from magsag.adapters.store.anchors import Rest
from magsag.adapters.store.paying import Paying
from magsag.adapters.store.reading import ticket_values
from magsag.adapters.store.standing_approvals import StandingChecks
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.engine.chain import link
from magsag.ports.ledger import Change, Declined, NewRun, Sealed, TicketRow, Write, Written

_Holder = tuple[str | None, int | None]
"""owner and fence of the lease in force"""
_NOBODY: _Holder = ("", 0)
_Values = tuple[object, ...] | dict[str, object]
"""what a statement is given"""


@dataclass(slots=True)
class _State:
    """A run inside the transaction."""

    seq: int
    head: bytes
    create: NewRun | None = None
    change: Change | None = None


class Batch:
    """One transaction's worth of writes."""

    def __init__(self, connection: sqlite3.Connection, sql: Mapping[str, str]) -> None:
        self._connection = connection
        self._sql = sql
        self._runs: dict[RunId, _State] = {}
        self._holders: dict[RunId, _Holder] = {}
        self._touched: dict[RunId, _State] = {}
        self._facts: list[tuple[object, ...]] = []
        self._beside: list[Write] = []
        self._versions: dict[str, int] = {}
        self._standing = StandingChecks(connection, sql)
        self._paying: Paying | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was accepted."""
        return not self._touched

    def write(self, writes: Sequence[Write]) -> list[Written | Declined]:
        """Accept or decline each, in order, and write the rows of those accepted."""
        self._read(list({item.run: None for item in writes}))
        if any(item.reserves or item.settles for item in writes):
            self._paying = Paying(self._connection, self._sql, writes)
        answers = [self._add(item) for item in writes]
        self._flush()
        return answers

    def standing(self, runs: Iterable[RunId]) -> list[Rest]:
        """Where these runs stand after this batch."""
        return [(run, self._touched[run].seq, self._touched[run].head) for run in runs]

    def _read(self, runs: Sequence[RunId]) -> None:
        """Where these runs stand and who drives their trees; of one run without the price of a list."""
        one, many = self._sql["run_to_extend"], self._sql["runs_to_extend"]
        asked = (one, (runs[0],)) if len(runs) == 1 else (many, (to_json(runs),))
        for seq, head, owner, fence, run, root in self._connection.execute(*asked):
            self._runs[run] = _State(seq, head)
            self._holders[root] = (owner, fence)

    def _add(self, item: Write) -> Written | Declined:
        run, state = item.run, self._runs.get(item.run)
        if item.lease is not None and not is_held(item, self._holder(item.lease.root)):
            return Declined("lease")
        if item.under is not None and (item.under.owner, item.under.fence) != self._holder(item.under.root):
            return Declined("lease")
        if item.create is not None:
            if state is not None:
                return Declined("exists")
            state = self._runs[run] = _State(0, b"", item.create)
            if item.create.owner is not None:
                self._holders[item.create.root] = (item.create.owner, 1)
        elif state is None:
            return Declined("unknown")
        if (declined := self._refused(item)) is not None:
            return declined
        if item.standing:
            self._standing.put(item.standing)
        state.seq, state.head = place(run, item.facts, state.seq, state.head, self._facts)
        if item.change is not None:
            state.change = item.change
        self._touched[run] = state
        if (
            item.create is not None
            or item.release
            or item.blobs
            or item.records
            or item.tickets
            or item.wake is not None
        ):
            self._beside.append(item)
            if item.release and item.lease is not None:
                self._holders[item.lease.root] = _NOBODY
        return Written(state.seq, state.head, self._paying.balances(item) if self._paying and item.reserves else ())

    def _refused(self, item: Write) -> Declined | None:
        """By approvals that were changed, or budgets that have too little left; else what it takes is taken."""
        if not self._standing.allow(item) or (item.tickets and not self._follow(item.tickets)):
            return Declined("approval")
        if self._paying is not None and (short := self._paying.pay(item)) is not None:
            return Declined("budget", short)
        self._versions.update((ticket.id, ticket.version) for ticket in item.tickets)
        return None

    def _follow(self, tickets: Sequence[TicketRow]) -> bool:
        """Whether each ticket follows the version that stands; those of a write stand or fall together."""
        for ticket in tickets:
            if ticket.id not in self._versions:
                row = self._connection.execute(self._sql["ticket_version"], (ticket.id,)).fetchone()
                self._versions[ticket.id] = 0 if row is None else row[0]
        return all(self._versions[ticket.id] == ticket.version - 1 for ticket in tickets)

    def _holder(self, root: RunId) -> _Holder:
        """Who drives the tree; asked for here when none of its runs was there before this batch."""
        holder = self._holders.get(root)
        if holder is None:
            holder = self._connection.execute(self._sql["lease_holder"], (root,)).fetchone() or _NOBODY
            self._holders[root] = holder
        return holder

    def _flush(self) -> None:
        created: list[_Values] = []
        changed: list[_Values] = []
        extended: list[_Values] = []
        for run, state in self._touched.items():
            if state.create is not None:
                created.append(_row(run, state, state.create))
            elif (change := state.change) is not None:
                changed.append(_changed(run, state, change))
            else:
                extended.append((state.seq, state.head, run))
        self._many("insert_run", created)
        self._many("insert_fact", self._facts)
        self._many("extend_run", extended)
        self._many("change_run", changed)
        for item in self._beside:
            self._write_beside(item)
        if self._paying is not None:
            self._paying.flush()

    def _write_beside(self, item: Write) -> None:
        """Leases, large values, records, tickets and wakes."""
        new, lease = item.create, item.lease
        if new is not None and new.owner is not None:
            self._many("lease_new_tree", [(new.root, new.owner, int(new.lease_seconds * 1000))])
        self._many("insert_blob", [(item.root, id, data) for id, data in item.blobs.items()])
        self._many("put_record", [(put.tenant, put.key, put.value, item.run, put.at) for put in item.records])
        self._many("put_ticket", [ticket_values(ticket) for ticket in item.tickets])
        if item.wake is not None:
            self._many("wake", [{"at": item.wake, "root": item.root}])
        if item.release and lease is not None:
            self._many("release_lease", [(lease.root, lease.owner, lease.fence)])

    def _many(self, name: str, rows: Sequence[_Values]) -> None:
        if rows:
            self._connection.executemany(self._sql[name], rows)


def append(connection: sqlite3.Connection, sql: Mapping[str, str], item: Write) -> Written | Declined:
    """The most frequent write alone, spelled out: facts of one known run, nothing beside them."""
    found = connection.execute(sql["run_to_extend"], (item.run,)).fetchone()
    if found is None:
        return Batch(connection, sql).write([item])[0]
    seq, head, owner, fence, _, _ = found
    if item.lease is not None and not is_held(item, (owner, fence)):
        return Declined("lease")
    rows: list[tuple[object, ...]] = []
    seq, head = place(item.run, item.facts, seq, head, rows)
    for row in rows:
        connection.execute(sql["insert_fact"], row)
    connection.execute(sql["extend_run"], (seq, head, item.run))
    return Written(seq, head)


def only_appends(item: Write) -> bool:
    """Whether `append` may write it."""
    beside = item.create or item.change or item.release or item.blobs or item.records or item.tickets
    beneath = item.standing or item.leans or item.reserves or item.settles
    return not (beside or beneath) and item.wake is None and item.under is None


def is_held(item: Write, holder: _Holder) -> bool:
    """Whether the write's lease is its tree's and in force; one that ended and nobody took over still is."""
    lease = item.lease
    return lease is not None and lease.root == item.root and (lease.owner, lease.fence) == holder


def place(
    run: RunId, facts: Sequence[Sealed], seq: int, head: bytes, rows: list[tuple[object, ...]]
) -> tuple[int, bytes]:
    """Give facts their places in a chain, as rows; answers where the chain stands then."""
    for fact in facts:
        seq += 1
        head = link(head, fact.digest)
        rows.append((run, seq, fact.kind, fact.body, fact.digest, fact.salt, fact.input, fact.output, head))
    return seq, head


def _row(run: RunId, state: _State, new: NewRun) -> tuple[object, ...]:
    change = state.change or Change(RunStatus.RUNNING, updated=new.created)
    return (
        run, new.root, new.parent, new.program, new.bundle, new.tenant, new.actor, new.requester, new.trace_id,
        new.span_id, *_status(change), new.created, change.updated, state.seq, state.head,
    )  # fmt: skip


def _changed(run: RunId, state: _State, change: Change) -> dict[str, object]:
    status, parked_on, due = _status(change)
    about = {"status": status, "parked_on": parked_on, "due": due, "updated": change.updated}
    return {"run": run, "seq": state.seq, "head": state.head, **about}


def _status(change: Change) -> tuple[str, str | None, int | None]:
    return change.status, change.parked_on, change.due
