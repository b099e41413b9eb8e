"""Whether tickets are what the facts of their steps say; a part of `data check`.

A ticket that no fact knows gives no right to anything, so it is no fault; one that a fact knows must tell the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from magsag.adapters.store.reading import ticket_row
from magsag.domain.approval import TicketState
from magsag.domain.errors import StoreBroken
from magsag.domain.facts import StepStatus
from magsag.domain.sealed import Fault
from magsag.engine.run import Run, Step
from magsag.ports.ledger import TicketRow
from magsag.services.tickets import kept, recorded


def check_tickets(run: Run, rows: Mapping[str, Sequence[tuple[Any, ...]]]) -> Iterator[Fault]:
    """Faults of the tickets of a run, as its facts made it; `rows` holds all rows by run."""
    for row in rows.get(run.id, ()):
        where = f"run {run.id}, approval {row[0]}"
        try:
            ticket = ticket_row(tuple(row))
            step = run.steps.get(ticket.step)
            if step is not None and (wrong := _wrong(ticket, step)) is not None:
                yield Fault(where, wrong, run.id)
        except StoreBroken as error:
            yield Fault(where, str(error), run.id)


def _wrong(row: TicketRow, step: Step) -> str | None:
    if step.ask is None or step.ask.ticket != row.id:
        return None
    said = kept(row).ticket
    facts = recorded(step, step.ask, said.requesters)
    if (said.ask, said.answers, said.binding) != (facts.ask, facts.answers, facts.binding):
        return "what it holds is not what its facts say: it was changed"
    is_over = row.state is TicketState.EXPIRED and step.status is StepStatus.FAILED
    if row.state is not facts.state and not is_over:
        return f"it is {row.state}, its facts say {facts.state}"
    return None
