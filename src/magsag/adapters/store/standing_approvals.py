"""Standing approvals in SQL stores: rows out and in, whether an intent may lean on one, whether they are as told."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from magsag.adapters.store.reading import Answers
from magsag.domain.ids import RunId
from magsag.domain.sealed import Fault
from magsag.engine.run import Run
from magsag.ports.ledger import Write
from magsag.ports.standing_approvals import StandingQuery, StandingRow, follows, is_in_force


class StandingPart:
    """`ports.standing_approvals.StandingReads`, for every SQL store."""

    _reads: Answers

    def standing_approvals(self, query: StandingQuery) -> list[StandingRow]:
        limit = -1 if query.limit is None else query.limit
        about: dict[str, object] = {
            "target": query.target,
            "prefix": query.prefix,
            "at": query.in_force_at,
            "limit": limit,
        }
        of_an_act = query.target is not None and query.in_force_at is not None
        is_narrow = of_an_act and query.prefix is None and query.limit is None
        name = "standing_in_force" if is_narrow else "standing_approvals"  # the first goes by the index of targets
        return [standing_row(row) for row in self._reads.all(name, about)]


class StandingChecks:
    """What a SQLite transaction knows of standing approvals."""

    def __init__(self, connection: sqlite3.Connection, sql: Mapping[str, str]) -> None:
        self._connection = connection
        self._sql = sql
        self._known: dict[str, StandingRow | None] = {}

    def allow(self, item: Write) -> bool:
        """Whether what the write makes or revokes follows what stands, and what it leans on is in force."""
        if not item.standing and not item.leans:
            return True
        return all(follows(self._held(row.id), row) for row in item.standing) and all(
            is_in_force(self._held(leaning.id), leaning) for leaning in item.leans
        )

    def put(self, rows: Sequence[StandingRow]) -> None:
        """Put rows that were allowed; later writes of the transaction see them."""
        self._connection.executemany(self._sql["put_standing_approval"], [standing_values(row) for row in rows])
        self._known.update((row.id, row) for row in rows)

    def _held(self, id: str) -> StandingRow | None:
        if id not in self._known:
            row = self._connection.execute(self._sql["standing_approval"], (id,)).fetchone()
            self._known[id] = None if row is None else standing_row(row)
        return self._known[id]


def standing_row(row: tuple[Any, ...]) -> StandingRow:
    """A row of `standing_approvals` in the order of the statements."""
    id, run, root, step, target, revoked, *rest = row
    return StandingRow(id, run, root, step, target, bool(revoked), *rest)


def standing_values(row: StandingRow) -> tuple[object, ...]:
    """The row again."""
    about = (row.id, row.run, row.root, row.step, row.target)
    return *about, row.is_revoked, row.version, row.made, row.until


def check_standing(run: Run, rows: Mapping[RunId, Sequence[StandingRow]]) -> Iterator[Fault]:
    """Faults of the standing approvals of a run, as its facts made it; `rows` holds all rows by run.

    One that no fact knows gives no right to anything, so it is no fault.
    """
    for row in rows.get(run.id, ()):
        said = run.standing.get(row.id)
        if said is None:
            continue
        told = (said.step, said.proposal.target, row.id in run.revoked, said.at, said.until)
        if told != (row.step, row.target, row.is_revoked, row.made, row.until):
            where = f"run {run.id}, standing approval {row.id}"
            yield Fault(where, "its row is not what its facts say: it was changed", run.id)
