"""Whether tickets are what the facts of their steps say; a part of `data check` and `audit verify`.

Each ticket stands in the fact that holds its step, its answers are facts, and so is the intent that spends it. A row
is compared with all of them. A run that was forked or imported has facts of tickets that stayed behind: those give no
right to anything, the step asks again. So a missing row is a fault where an older one of the same run is there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from magsag.adapters.store.reading import ticket_row
from magsag.domain.approval import Ask, TicketState
from magsag.domain.errors import StoreBroken
from magsag.domain.facts import ApprovalDecided, Fact, StepHeld, StepStarted, StepStatus
from magsag.domain.ids import RunId
from magsag.domain.sealed import Fault
from magsag.engine.run import Run, Step
from magsag.policy.approval import binding, expires_at
from magsag.ports.ledger import TicketRow
from magsag.services.steps.tickets import kept, next_row, recorded


@dataclass(slots=True)
class _Ticket:
    """What the facts tell of one ticket."""

    seq: int
    fact: StepHeld
    ask: Ask
    inputs: tuple[bytes | None, ...]
    """what the step was asked to do so far, as it was proposed and as approvers changed it; None where it is erased"""
    answers: list[ApprovalDecided] = field(default_factory=list)
    is_spent: bool = False


class Told:
    """The tickets of one run, as its facts tell them."""

    def __init__(self, run: RunId) -> None:
        self.run = run
        self.tickets: dict[str, _Ticket] = {}
        self.last: dict[str, str] = {}
        """the ticket that held each step last"""
        self._inputs: dict[str, tuple[bytes | None, ...]] = {}

    def hear(self, seq: int, fact: Fact) -> None:
        """One fact, in order."""
        match fact:
            case StepHeld() if fact.ask is not None:
                inputs = self._inputs[fact.step] = (*self._inputs.get(fact.step, ()), fact.input)
                self.tickets[fact.ask.ticket] = _Ticket(seq, fact, fact.ask, inputs)
                self.last[fact.step] = fact.ask.ticket
            case ApprovalDecided() if (ticket := self.tickets.get(fact.ticket)) is not None:
                ticket.answers.append(fact)
                if fact.binding is not None:
                    self._inputs[fact.step] = (*self._inputs.get(fact.step, ()), fact.input)
            case StepStarted() if fact.approval is not None and fact.approval in self.tickets:
                self.tickets[fact.approval].is_spent = True
            case _:
                pass


def requesters_of_ticket(row: tuple[Any, ...]) -> tuple[str, ...] | None:
    """Who may not decide it, as its row says; None where the row is damaged."""
    try:
        return kept(ticket_row(tuple(row))).ticket.requesters
    except StoreBroken:
        return None


def check_tickets(told: Told, run: Run, rows: Sequence[tuple[Any, ...]]) -> Iterator[Fault]:
    """Faults of the tickets of a run; `rows` are those that name it."""
    found: set[str] = set()
    for row in rows:
        found.add(row[0])
        try:
            wrong = _wrong(ticket_row(tuple(row)), told, run)
        except StoreBroken as error:
            wrong = str(error)
        if wrong is not None:
            ticket = told.tickets.get(row[0])
            seq, kind = (None, None) if ticket is None else (ticket.seq, StepHeld.__name__)
            yield Fault(f"run {run.id}, approval {row[0]}", wrong, run.id, seq, kind, is_beside=True)
    oldest = min((told.tickets[id].seq for id in found if id in told.tickets), default=None)
    for id, ticket in told.tickets.items():
        if id not in found and oldest is not None and ticket.seq > oldest:
            said = "its ticket is gone: it was deleted"
            yield Fault(f"run {run.id}, approval {id}", said, run.id, ticket.seq, StepHeld.__name__)


def _wrong(row: TicketRow, told: Told, run: Run) -> str | None:
    ticket = told.tickets.get(row.id)
    if ticket is None:
        return "no fact knows it: it was added"
    changed = "what it holds is not what its facts say: it was changed"
    about, fact = kept(row), ticket.fact
    said = about.ticket
    facts = recorded(_step(ticket), ticket.ask, said.requesters)
    if (said.ask, said.answers, said.binding) != (facts.ask, facts.answers, facts.binding):
        return changed
    if (about.proposal, about.verdict, row.step) != (fact.proposal, fact.verdict, fact.step):
        return changed
    if (row.opened, row.expires) != (ticket.ask.opened, expires_at(ticket.ask)):
        return changed
    if run.started is not None and about.program != run.started.program:
        return changed
    if not _is_bound(row, ticket):
        return "its salt is not the one that binds it to its arguments: it was changed"
    is_last = told.last[fact.step] == row.id
    step = run.steps[fact.step]
    is_over = row.state is TicketState.EXPIRED and step.status is StepStatus.FAILED
    is_replaced = row.state is TicketState.REPLACED and not is_last
    if row.state is not facts.state and not is_over and not is_replaced:
        return f"it is {row.state}, its facts say {facts.state}"
    return None if _is_as_written(row) else changed


def _is_as_written(row: TicketRow) -> bool:
    """Whether nothing stands in the row that this version would not write; earlier ones may have written less."""
    held = from_json(row.body)
    is_same_state = held["ticket"]["state"] == row.state
    return is_same_state and _is_within(held, from_json(next_row(row, kept(row).ticket).body))


def _is_within(part: Any, whole: Any) -> bool:
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and _is_within(value, whole[key]) for key, value in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) == len(whole) and all(map(_is_within, part, whole))
    same: bool = part == whole
    return same


def _is_bound(row: TicketRow, ticket: _Ticket) -> bool:
    """Whether salt and arguments give the binding; where both are erased nobody can tell any more."""
    if None in ticket.inputs:
        return row.salt is None
    salt, target = row.salt, ticket.fact.proposal.target
    known = [data for data in ticket.inputs if data is not None]
    return salt is not None and any(binding(bytes(salt), target, data) == ticket.ask.binding for data in known)


def _step(ticket: _Ticket) -> Step:
    approval = ticket.ask.ticket if ticket.is_spent else None
    return Step(ticket.fact.step, ask=ticket.ask, answers=tuple(ticket.answers), approval=approval)
