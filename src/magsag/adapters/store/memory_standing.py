"""Standing approvals of the store in memory."""

from magsag.domain.ids import RunId
from magsag.ports.ledger import Write
from magsag.ports.standing_approvals import StandingQuery, StandingRow, follows, is_in_force


class MemoryStanding:
    """`ports.standing_approvals.StandingReads`, in a dict; whoever calls holds the lock of the store."""

    def __init__(self) -> None:
        self.rows: dict[str, StandingRow] = {}

    def allow(self, item: Write) -> bool:
        """Whether what the write makes or revokes follows what stands, and what it leans on is in force."""
        return all(follows(self.rows.get(row.id), row) for row in item.standing) and all(
            is_in_force(self.rows.get(leaning.id), leaning) for leaning in item.leans
        )

    def take(self, item: Write) -> None:
        """Put what the write makes or revokes."""
        self.rows.update((row.id, row) for row in item.standing)

    def found(self, query: StandingQuery) -> list[StandingRow]:
        """Those that match, the oldest first."""
        found = sorted(filter(lambda row: _matches(row, query), self.rows.values()), key=lambda row: (row.made, row.id))
        return found[: query.limit]

    def vacuum(self, roots: "set[RunId] | frozenset[RunId]") -> None:
        """They go with their runs."""
        self.rows = {id: row for id, row in self.rows.items() if row.root not in roots}


def _matches(row: StandingRow, query: StandingQuery) -> bool:
    at = query.in_force_at
    return (
        query.target in (None, row.target)
        and (query.prefix is None or row.id.startswith(query.prefix))
        and (at is None or (not row.is_revoked and row.until > at))
    )
