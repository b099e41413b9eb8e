"""Tickets in the form in which stores keep them, and as the facts of a step tell them."""

from dataclasses import replace
from functools import cache

from pydantic import TypeAdapter

from magsag.domain.approval import Acting, Answer, Ask, TicketState
from magsag.domain.errors import StoreBroken
from magsag.domain.facts import ApprovalDecided, Proposal, RunStarted, Verdict
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId
from magsag.engine.run import Step
from magsag.policy.approval import Given, Ticket, expires_at, opened
from magsag.ports.ledger import TicketRow


@frozen
class Kept:
    """What a row holds besides its columns: the ticket, and what it is about."""

    ticket: Ticket
    proposal: Proposal
    verdict: Verdict
    program: str
    """exact reference of who wants it"""


@frozen
class Place:
    """The step that a ticket is of."""

    run: RunId
    root: RunId
    step: StepId


def first_row(place: Place, about: Kept, salt: bytes) -> TicketRow:
    """A ticket's first row."""
    ask = about.ticket.ask
    columns = (place.run, place.root, place.step, about.ticket.state, 1, ask.opened, expires_at(ask))
    return TicketRow(ask.ticket, *columns, salt, _adapter().dump_json(about))


def next_row(row: TicketRow, ticket: Ticket) -> TicketRow:
    """The row that takes this one's place."""
    body = _adapter().dump_json(replace(kept(row), ticket=ticket))
    return replace(row, state=ticket.state, version=row.version + 1, body=body)


def kept(row: TicketRow) -> Kept:
    """What the row holds. Raises StoreBroken when it is damaged."""
    try:
        found = _adapter().validate_json(row.body)
    except ValueError as error:
        raise StoreBroken(f"approval {row.id} is damaged; run `magsag data check`") from error
    return replace(found, ticket=replace(found.ticket, state=row.state))


def recorded(step: Step, ask: Ask, requesters: tuple[str, ...]) -> Ticket:
    """The ticket as the facts of its step tell it: what counts when it is to be spent."""
    answers = tuple(_given(fact) for fact in step.answers)
    ticket = opened(ask, requesters)
    binding = next((given.binding for given in reversed(answers) if given.binding is not None), ask.binding)
    ticket = replace(ticket, answers=answers, binding=binding)
    if any(given.answer is Answer.DENY for given in answers):
        return replace(ticket, state=TicketState.DENIED)
    if step.approval == ask.ticket:
        return replace(ticket, state=TicketState.SPENT)
    return ticket if ticket.missing else replace(ticket, state=TicketState.APPROVED)


def requesters_of(root: RunStarted) -> tuple[str, ...]:
    """Who started the tree, and on whose behalf: they do not decide in it."""
    return tuple(dict.fromkeys((root.actor, root.requester)))


def _given(fact: ApprovalDecided) -> Given:
    return Given(Acting(fact.by, fact.proof), fact.answer, fact.at, fact.reason, fact.binding)


@cache
def _adapter() -> TypeAdapter[Kept]:
    """Made when the first ticket is met: it costs milliseconds."""
    return TypeAdapter(Kept)
