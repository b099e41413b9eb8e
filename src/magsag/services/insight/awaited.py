"""What a parked run waits for, with what people have said of its tickets since it parked. Decides nothing.

An answer is recorded beside the run and wakes nobody: until somebody drives the run on it stands parked, and whoever
looks at it sees how far the ticket is and what to do next.
"""

import re
from dataclasses import replace
from typing import Final

from magsag.domain.approval import TicketState
from magsag.domain.facts import ParkReason
from magsag.engine.run import Run

_COUNT: Final = re.compile(r"\d+ of \d+ approved")


def awaited(run: Run) -> tuple[ParkReason, ...]:
    """The reasons of a parked run as they stand now; a ticket that was decided is none of them any more."""
    return tuple(_since(run, reason) for reason in run.reasons)


def _since(run: Run, reason: ParkReason) -> ParkReason:
    step = run.steps.get(reason.step)
    if step is None or step.ask is None or step.ask.ticket != reason.ticket or not step.answers:
        return reason
    from magsag.services.steps.tickets import recorded  # the forms of rows are slow to load, and seldom needed

    ticket = recorded(step, step.ask, ())
    if ticket.state is TicketState.OPEN:
        count = f"{len(ticket.approvers)} of {ticket.ask.rule.quorum} approved"
        return replace(reason, reason=_COUNT.sub(count, reason.reason, count=1))
    by = ", ".join(ticket.approvers) if ticket.state is TicketState.APPROVED else ticket.answers[-1].by.id
    said = "approved" if ticket.state is TicketState.APPROVED else "denied"
    return replace(reason, reason=f"approval {reason.ticket} is {said} by {by}; nobody drives the run", ticket=None)
