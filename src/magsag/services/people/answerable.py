"""Which tickets wait for people who are not there, as people.yaml stands now; decides nothing about them."""

from collections.abc import Callable, Iterator
from typing import Final

from magsag.domain.approval import TicketState
from magsag.domain.errors import Invalid
from magsag.engine.run import Run
from magsag.policy.answerable import unanswerable
from magsag.policy.approval import Ticket
from magsag.policy.people import People
from magsag.ports.ledger import Store, TicketQuery
from magsag.services.steps.beginnings import read_run
from magsag.services.steps.tickets import kept

_LOOKED_AT: Final = 100
"""so many open tickets are looked at, the oldest first"""


def why_unanswerable(ticket: Ticket, run: Run | None, people: Callable[[], People]) -> str | None:
    """Why nobody can finish an open ticket of this run; None when enough people could."""
    if ticket.state is not TicketState.OPEN or run is None or run.started is None:
        return None
    try:
        return unanswerable(ticket.ask.rule, people(), ticket.requesters, run.started.environment, ticket.approvers)
    except Invalid as error:
        return f"this cannot be approved: {error}"


def unanswerable_tickets(store: Store, people: People) -> Iterator[tuple[str, str]]:
    """The id of each open ticket that nobody can finish, and why."""
    for row in store.tickets(TicketQuery(waiting=True, limit=_LOOKED_AT)):
        why = why_unanswerable(kept(row).ticket, read_run(store, row.run), lambda: people)
        if why is not None:
            yield row.id, why
