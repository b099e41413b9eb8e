"""Tickets from Python: what `Project` shows of them and how it puts an answer on record. Who may is judged there."""

from typing import Any, NamedTuple

from magsag.domain.approval import Answer, Reach, TicketState
from magsag.domain.errors import Invalid
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.ports.ledger import TicketQuery
from magsag.services.insight.documents import ticket_document
from magsag.services.people.approvals import Decision
from magsag.services.people.standing_approvals import Beforehand
from magsag.surfaces.python_services import UNCHANGED, Services


@frozen
class Word:
    """What somebody says of a ticket, and how they show who they are."""

    answer: str
    reason: str
    arguments: Any
    claim: str | None
    api_key: str | None
    standing: Beforehand | None = None


class Said(NamedTuple):
    """The run whose ticket it was, and whether there is nothing more to decide."""

    root: RunId
    is_decided: bool


def tickets(app: Services, run: str | None, every: bool) -> list[dict[str, Any]]:
    """As the command line tells them in JSON."""
    root = app.insight.show(app.insight.find(run)).row.root if run is not None else None
    found = app.approvals.list(TicketQuery(root=root, waiting=not every, limit=None))
    return [ticket_document(ticket) for ticket in found]


def ahead(reach: str | None, seconds: float, when: str) -> Beforehand | None:
    """What is approved beforehand. Raises Invalid."""
    if reach is None:
        return None
    if reach not in tuple(Reach):
        raise Invalid(f"standing={reach!r}: write one of {', '.join(Reach)}")
    return Beforehand(Reach(reach), seconds, when)


def said(app: Services, approval: str, word: Word) -> Said:
    """Put it on record. Raises Refused, Invalid."""
    acting = app.identity.trying(word.claim, word.api_key)
    arguments = None if word.arguments is UNCHANGED else (word.arguments,)
    decision = Decision(acting, Answer(word.answer), word.reason, arguments, word.standing)
    ticket = app.approvals.decide(app.approvals.find(approval), decision)
    return Said(ticket.root, ticket.state is not TicketState.OPEN)
