"""The writes of one transaction: who is declined, where each chain stands, and the rows that come of it.

What decides is read first; rows are written at the end, many at a time. A declined write has then left nothing, so
no savepoint is needed and its siblings do not notice it.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from magsag.adapters.store.anchors import Rest
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.engine.chain import link
from magsag.ports.ledger import Change, Declined, NewRun, Write, Written

_Holder = tuple[str, int] | None


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
        self._runs: dict[RunId, _State | None] = {}
        self._holders: dict[RunId, _Holder] = {}
        self._touched: dict[RunId, _State] = {}
        self._facts: list[tuple[object, ...]] = []

    @property
    def is_empty(self) -> bool:
        """Whether nothing was accepted."""
        return not self._touched

    def write(self, writes: Sequence[Write]) -> list[Written | Declined]:
        """Accept or decline each, in order, and write the rows of those accepted."""
        answers = [self._add(item) for item in writes]
        self._flush(writes, answers)
        return answers

    def standing(self, runs: Iterable[RunId]) -> list[Rest]:
        """Where these runs stand after this batch."""
        return [(run, self._touched[run].seq, self._touched[run].head) for run in runs]

    def _add(self, item: Write) -> Written | Declined:
        state = self._state(item.run, item.root)
        lease = item.lease
        if lease is not None and self._holder(lease.root) != (lease.owner, lease.fence):
            return Declined("lease")
        if item.create is not None:
            if state is not None:
                return Declined("exists")
            state = self._runs[item.run] = _State(0, b"", item.create)
            if item.create.owner is not None:
                self._holders[item.create.root] = (item.create.owner, 1)
        elif state is None:
            return Declined("unknown")
        run, seq, head = item.run, state.seq, state.head
        for fact in item.facts:
            seq, head = seq + 1, link(head, fact.digest)
            self._facts.append((run, seq, fact.kind, fact.body, fact.digest, fact.salt, fact.input, fact.output, head))
        state.seq, state.head = seq, head
        state.change = item.change or state.change
        self._touched[run] = state
        if item.release and lease is not None:
            self._holders[lease.root] = None
        return Written(seq, head)

    def _state(self, run: RunId, root: RunId) -> _State | None:
        """The run's row as this transaction knows it, and with it who drives its tree."""
        if run in self._runs:
            return self._runs[run]
        found = self._connection.execute(self._sql["run_to_extend"], (run,)).fetchone()
        if found is None:
            self._runs[run] = None
            return None
        seq, head, owner, fence = found
        self._holders.setdefault(root, (owner, fence))
        state = self._runs[run] = _State(seq, head)
        return state

    def _holder(self, root: RunId) -> _Holder:
        if root not in self._holders:
            self._holders[root] = self._connection.execute(self._sql["lease_holder"], (root,)).fetchone()
        return self._holders[root]

    def _flush(self, writes: Sequence[Write], answers: Sequence[Written | Declined]) -> None:
        created, changed, extended = [], [], []
        for run, state in self._touched.items():
            if state.create is not None:
                created.append(_row(run, state, state.create))
            elif (change := state.change) is not None:
                changed.append((state.seq, state.head, *_status(change), change.updated, run))
            else:
                extended.append((state.seq, state.head, run))
        self._many("insert_run", created)
        self._many("insert_fact", self._facts)
        self._many("extend_run", extended)
        self._many("change_run", changed)
        for item, answer in zip(writes, answers, strict=True):
            if isinstance(answer, Written) and (item.create or item.blobs or item.release):
                self._beside(item)

    def _beside(self, item: Write) -> None:
        """Leases and large values."""
        new, lease = item.create, item.lease
        if new is not None and new.owner is not None:
            self._many("lease_new_tree", [(new.root, new.owner, int(new.lease_seconds * 1000))])
        self._many("insert_blob", [(item.root, id, data) for id, data in item.blobs.items()])
        if item.release and lease is not None:
            self._many("release_lease", [(lease.root, lease.owner, lease.fence)])

    def _many(self, name: str, rows: Sequence[tuple[object, ...]]) -> None:
        if len(rows) == 1:
            self._connection.execute(self._sql[name], rows[0])
        elif rows:
            self._connection.executemany(self._sql[name], rows)


def _row(run: RunId, state: _State, new: NewRun) -> tuple[object, ...]:
    change = state.change or Change(RunStatus.RUNNING, updated=new.created)
    return (
        run, new.root, new.parent, new.program, new.bundle, new.tenant, new.actor, new.requester, new.trace_id,
        new.span_id, *_status(change), new.created, change.updated, state.seq, state.head,
    )  # fmt: skip


def _status(change: Change) -> tuple[str, str | None, int | None]:
    return change.status, change.parked_on, change.due
