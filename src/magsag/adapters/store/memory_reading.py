"""Facts, rows and large values out of memory."""

from collections.abc import Sequence

from magsag.adapters.store.memory_part import MemoryPart, MemoryRun, row_of, stored
from magsag.adapters.store.words import text_of, tokens
from magsag.domain.approval import TicketState
from magsag.domain.budget import BudgetRow, Cap, Reservation
from magsag.domain.errors import StoreBroken
from magsag.domain.facts import ENDS
from magsag.domain.ids import RunId
from magsag.ports.ledger import Hit, RunQuery, RunRow, Stored, TicketQuery, TicketRow
from magsag.ports.standing_approvals import StandingQuery, StandingRow


class MemoryReading(MemoryPart):
    """What `ports.ledger.Ledger`, `Runs`, `Tickets` and `Budgets` read."""

    def read(self, run: RunId, after: int = 0) -> list[Stored]:
        with self._lock:
            if (found := self._runs.get(run)) is None:
                return []
            return [stored(fact, seq, head) for seq, (fact, head) in enumerate(found.facts[after:], after + 1)]

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

    def _is_asked_for(self, ticket: TicketRow, query: TicketQuery) -> bool:
        waits = ticket.state is TicketState.OPEN and self._runs[ticket.root].status not in ENDS
        return (
            (query.root is None or ticket.root == query.root)
            and (query.prefix is None or ticket.id.startswith(query.prefix))
            and (waits or not query.waiting)
        )

    def standing_approvals(self, query: StandingQuery) -> list[StandingRow]:
        with self._lock:
            return self._standing_approvals.found(query)

    def budgets(self, runs: Sequence[RunId] = ()) -> list[BudgetRow]:
        with self._lock:
            return self._money.budgets(runs)

    def reservations(self) -> list[Reservation]:
        with self._lock:
            return self._money.reservations()

    def caps(self) -> list[Cap]:
        with self._lock:
            return self._money.caps()

    def newest_caps(self) -> list[Cap]:
        with self._lock:
            return self._money.newest_caps()

    def seqs(self, roots: Sequence[RunId]) -> dict[RunId, int]:
        with self._lock:
            return {root: self._runs[root].seq for root in roots if root in self._runs}

    def bundle(self, hash: str) -> bytes | None:
        with self._lock:
            return self._bundles.get(hash)

    def row(self, run: RunId) -> RunRow | None:
        with self._lock:
            found = self._runs.get(run)
            return None if found is None else row_of(found)

    def named(self, prefix: str) -> list[RunId]:
        with self._lock:
            return sorted(id for id, run in self._runs.items() if id == run.root and id.startswith(prefix))[:10]

    def rows(self, query: RunQuery) -> list[RunRow]:
        with self._lock:
            found = [run for run in self._runs.values() if _matches(run, query)]
            found.sort(key=lambda run: (run.created, run.run), reverse=query.root is None)
            return [row_of(run) for run in found[: query.limit]]

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


def _matches(run: MemoryRun, query: RunQuery) -> bool:
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
