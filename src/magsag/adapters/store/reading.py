"""Facts, rows and large values out; and what the parts that all databases share ask of one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from pydantic_core import to_json

from magsag.domain.approval import TicketState
from magsag.domain.closure import Closure, Course
from magsag.domain.errors import Damaged, StoreBroken
from magsag.domain.facts import ParkedOn, RunStatus
from magsag.domain.ids import RunId
from magsag.ports.ledger import RunQuery, RunRow, Stored, TicketQuery, TicketRow


class Rows(Protocol):
    """What a statement answers."""

    def __iter__(self) -> Iterator[tuple[Any, ...]]: ...

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All of them."""


class Reads(Protocol):
    """A connection inside one transaction."""

    def execute(self, query: str, parameters: tuple[Any, ...] = (), /) -> Rows:
        """The rows of a statement."""


class Answers(Protocol):
    """A database that answers named statements."""

    @property
    def location(self) -> str:
        """Where it is, for people."""

    @property
    def sql(self) -> Mapping[str, str]:
        """The statements by name."""

    def reading(self) -> AbstractContextManager[Reads]:
        """One consistent view of what is committed."""

    def one(self, name: str, parameters: tuple[object, ...] | dict[str, object] = ()) -> tuple[Any, ...] | None:
        """The first row."""

    def all(self, name: str, parameters: tuple[object, ...] | dict[str, object] = ()) -> list[tuple[Any, ...]]:
        """All rows."""


class ReadingPart:
    """What `ports.ledger.Ledger` and `ports.ledger.Runs` read, but for search; the same on every database."""

    _reads: Answers

    def read(self, run: RunId, after: int = 0) -> list[Stored]:
        return [Stored(*row) for row in self._reads.all("facts_after", (run, after))]

    def blob(self, root: RunId, id: str) -> bytes:
        row = self._reads.one("blob", (root, id))
        if row is None:
            raise StoreBroken(f"{self._reads.location}: run {root}: the large value {id} is not in the store")
        return bytes(row[0])

    def record(self, tenant: str, key: str) -> bytes | None:
        row = self._reads.one("record", (tenant, key))
        return None if row is None else bytes(row[0])

    def ticket(self, id: str) -> TicketRow | None:
        row = self._reads.one("ticket", (id,))
        return None if row is None else ticket_row(row)

    def tickets(self, query: TicketQuery) -> list[TicketRow]:
        limit = -1 if query.limit is None else query.limit
        parameters: dict[str, object] = {"root": query.root, "prefix": query.prefix, "limit": limit}
        name = "waiting_tickets" if query.waiting else "tickets"
        return [ticket_row(row) for row in self._reads.all(name, parameters)]

    def seqs(self, roots: Sequence[RunId]) -> dict[RunId, int]:
        return dict(self._reads.all("seqs", (to_json(list(roots)),)))

    def bundle(self, hash: str) -> bytes | None:
        row = self._reads.one("bundle", (hash,))
        return None if row is None else bytes(row[0])

    def row(self, run: RunId) -> RunRow | None:
        row = self._reads.one("row", (run,))
        return None if row is None else run_row(row)

    def named(self, prefix: str) -> list[RunId]:
        return [run for (run,) in self._reads.all("named", {"prefix": prefix})]

    def rows(self, query: RunQuery) -> list[RunRow]:
        name = "tree" if query.root is not None else "roots" if query.roots_only else "all_runs"
        parameters: dict[str, object] = {
            "program": query.program,
            "status": query.status,
            "parked_on": query.parked_on,
            "since": query.since,
            "limit": -1 if query.limit is None else query.limit,
        }
        if query.root is not None:
            parameters["root"] = query.root
        found, damage = [], []
        for row in self._reads.all(name, parameters):
            try:
                found.append(run_row(row))
            except StoreBroken as error:
                damage.append(str(error))
        if damage:
            raise Damaged("; ".join(damage), found)
        return found

    def closure(self) -> Closure | None:
        return closure_of(self._reads.one("standing"))


def closure_of(row: tuple[Any, ...] | None) -> Closure | None:
    """The row of `standing`, where there is one."""
    return None if row is None else Closure(Course(row[0]), row[1], row[2])


def run_row(row: tuple[Any, ...]) -> RunRow:
    """A row of `runs` in the order of the statements. Raises StoreBroken for a word in it that does not exist."""
    values = list(row)
    try:
        values[10] = RunStatus(values[10])
        values[11] = None if values[11] is None else ParkedOn(values[11])
    except ValueError as error:
        raise StoreBroken(f"run {row[0]}: its row is damaged ({error}); run `magsag data check`") from error
    return RunRow(*values)


def ticket_row(row: tuple[Any, ...]) -> TicketRow:
    """A row of `approvals` in the order of the statements. Raises StoreBroken for a state that does not exist."""
    id, run, root, step, state, *rest = row
    if state not in set(TicketState):
        raise StoreBroken(f"approval {id} is {state!r}, which is unknown; run `magsag data check`")
    return TicketRow(id, run, root, step, TicketState(state), *rest)


def ticket_values(ticket: TicketRow) -> tuple[object, ...]:
    """The row again."""
    return (
        ticket.id, ticket.run, ticket.root, ticket.step, ticket.state, ticket.version, ticket.opened, ticket.expires,
        ticket.salt, ticket.body,
    )  # fmt: skip
