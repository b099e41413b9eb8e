"""The gate's side of approvals: opens tickets, says what a held step may do now, spends. Records nothing itself.

What counts is the record: a ticket is approved when the facts of its step say so. The row in the store is only what
decisions are compared and set against, so a row that was altered gives no right to anything.
"""

from collections.abc import Sequence
from dataclasses import replace

from magsag.domain.approval import ApprovalRule, Ask, OnExpire, TicketState
from magsag.domain.errors import ErrorType, Refused, StepFailed
from magsag.domain.facts import Decision
from magsag.domain.frozen import frozen
from magsag.domain.ids import run_id
from magsag.domain.verdicts import PROGRAM_ASKS
from magsag.engine.run import Step
from magsag.policy.answerable import strangers, unanswerable
from magsag.policy.approval import DEFAULT_RULE, Ticket, binding, counted, covers, expired, expires_at, opened, spent
from magsag.policy.people import People
from magsag.policy.rules import Policies
from magsag.ports.clock import Clock
from magsag.ports.ledger import TicketRow, Tickets
from magsag.services.steps.attempt import Attempt, HeldTicket
from magsag.services.steps.target import QuestionAct
from magsag.services.steps.tickets import Kept, Place, first_row, next_row, recorded, requesters_of


@frozen
class Waits:
    """Nobody, or too few, have said yes so far."""

    ticket: str
    said: str
    due: int


@frozen
class Over:
    """It was denied, or its time is up."""

    error: StepFailed
    tickets: tuple[TicketRow, ...] = ()


@frozen
class Goes:
    """It may be judged once more, with the ticket in hand if there is one."""

    ticket: HeldTicket | None = None


class Asking:
    """Approvals for all runs of this process."""

    def __init__(self, tickets: Tickets, clock: Clock) -> None:
        self._tickets = tickets
        self._clock = clock

    def open(self, attempt: Attempt) -> tuple[Ask, tuple[TicketRow, ...]]:
        """A new ticket for what the attempt would do; one that no longer suffices is replaced."""
        assert attempt.verdict is not None
        seat, now = attempt.seat, attempt.began
        salt, id = self._clock.chance(16), run_id(now // 1000, self._clock.chance(7))
        target = attempt.target.proposal.target
        ask = Ask(id, _asked(attempt), now, binding(salt, target, attempt.acted))
        ticket = opened(ask, requesters(attempt))
        about = Kept(ticket, attempt.target.proposal, attempt.verdict, seat.targets.program)
        row = first_row(Place(seat.run.id, seat.leg.tree.root, attempt.id), about, salt)
        old = attempt.ticket
        if old is None:
            return ask, (row,)
        return ask, (row, next_row(old.row, replace(old.ticket, state=TicketState.REPLACED)))

    def look(self, attempt: Attempt, step: Step) -> Waits | Over | Goes:
        """What a held step may do now."""
        held = self._held(attempt, step)
        if held is None:
            return Goes()
        ticket, row, now = held.ticket, held.row, self._clock.now()
        if ticket.state is TicketState.DENIED:
            return Over(_denied(attempt, ticket))
        if (late := expired(ticket, now)) is not None:
            return Over(_too_late(attempt, ticket), (next_row(row, late),))
        if ticket.state is row.state is TicketState.APPROVED:
            return Goes(held)
        return Waits(ticket.ask.ticket, _count(attempt, ticket), expires_at(ticket.ask))

    def earlier(self, attempt: Attempt, step: Step) -> HeldTicket | None:
        """The ticket that an earlier attempt has spent: it covers the step until its final outcome."""
        held = self._held(attempt, step)
        return held if held is not None and held.ticket.state is held.row.state is TicketState.SPENT else None

    def spend(self, attempt: Attempt) -> HeldTicket | None:
        """The attempt's ticket as the intent spends it; None when it is not enough for what is asked now.

        Raises StepFailed(denied) when it was given for other arguments.
        """
        held, verdict = attempt.ticket, attempt.verdict
        assert held is not None
        assert verdict is not None
        ticket, row = held.ticket, held.row
        if verdict.decision is Decision.ASK and not covers(ticket, _asked(attempt)):
            return None
        target = attempt.target.proposal.target
        if row.salt is None or binding(row.salt, target, attempt.acted) != ticket.binding:
            raise StepFailed(ErrorType.DENIED, _mismatch(attempt, ticket), {"approval": ticket.ask.ticket})
        if ticket.state is TicketState.SPENT:
            return held
        try:
            after = spent(ticket, self._clock.now())
        except Refused as refused:
            raise StepFailed(ErrorType.DENIED, str(refused), {"approval": ticket.ask.ticket}) from refused
        return HeldTicket(after, next_row(row, after))

    def _held(self, attempt: Attempt, step: Step) -> HeldTicket | None:
        """The step's ticket; None for one of another run (a fork, an import) or of a version that had none."""
        row = self._tickets.ticket(step.ask.ticket) if step.ask is not None else None
        if step.ask is None or row is None or row.run != attempt.seat.run.id:
            return None
        return HeldTicket(recorded(step, step.ask, requesters(attempt)), row)


def asked_by(policies: Policies, rule: str) -> ApprovalRule:
    """What a rule that asks wants; the built-in one wants one person."""
    return next((one.approval for one in policies.rules if one.id == rule and one.approval is not None), DEFAULT_RULE)


def _asked(attempt: Attempt) -> ApprovalRule:
    """What the rule wants; of a program's own question whichever of the two wants more people."""
    assert attempt.verdict is not None
    rule, act = asked_by(attempt.seat.targets.policies, attempt.verdict.rule), attempt.target.act
    if isinstance(act, QuestionAct) and (attempt.verdict.rule == PROGRAM_ASKS or act.rule.quorum > rule.quorum):
        return act.rule
    return rule


def answered(attempt: Attempt) -> dict[str, object]:
    """What people said to a question that was approved, by the record: `{approved, by, reason}`."""
    step = attempt.seat.run.steps[attempt.id]
    assert step.ask is not None
    ticket = recorded(step, step.ask, requesters(attempt))
    reasons = [given.reason for given in counted(ticket.answers) if given.reason]
    return {"approved": True, "by": list(ticket.approvers), "reason": "; ".join(reasons)}


def requesters(attempt: Attempt) -> tuple[str, ...]:
    """Who started the tree of a step, and on whose behalf."""
    tree = attempt.seat.leg.tree
    root = tree.runs[tree.root].started
    assert root is not None
    return requesters_of(root)


def still(attempt: Attempt, rule: ApprovalRule, approvers: Sequence[str] = ()) -> str:
    """How far it is, and when nobody could ever finish it, that."""
    said = f"{len(approvers)} of {rule.quorum} approved"
    why = unanswerable(rule, _people(attempt), requesters(attempt), attempt.seat.environment, approvers)
    return said if why is None else f"{said}; {why}"


def require_answerable(attempt: Attempt, rule: ApprovalRule) -> None:
    """Raises StepFailed(invalid_value) when a program asks people who are not there, or more than may answer.

    Where nobody can be known it waits: that is no fault of the program.
    """
    people = _people(attempt)
    if people.broken is not None:
        return
    why = strangers(rule, people) or unanswerable(rule, people, requesters(attempt), attempt.seat.environment)
    if why is not None:
        raise StepFailed(ErrorType.INVALID_VALUE, f"ctx.approve of step {attempt.id}: {why}")


def _people(attempt: Attempt) -> People:
    """Those in force."""
    people = attempt.seat.targets.people
    assert people is not None  # only what judges without asking anybody has none
    return people()


def _count(attempt: Attempt, ticket: Ticket) -> str:
    return still(attempt, ticket.ask.rule, ticket.approvers)


def _denied(attempt: Attempt, ticket: Ticket) -> StepFailed:
    said = ticket.answers[-1]
    why = f": {said.reason}" if said.reason else ""
    message = f"{attempt.target.proposal.target} was denied by {said.by.id}{why}"
    details = {"approval": ticket.ask.ticket, "by": said.by.id, "reason": said.reason}
    return StepFailed(ErrorType.DENIED, message, details)


def _too_late(attempt: Attempt, ticket: Ticket) -> StepFailed:
    fails = ticket.ask.rule.on_expire is OnExpire.FAIL
    count = f"{len(ticket.approvers)} of {ticket.ask.rule.quorum}"
    message = (
        f"{attempt.target.proposal.target} was not approved in time ({count}); approval {ticket.ask.ticket} expired"
    )
    return StepFailed(ErrorType.TIMEOUT if fails else ErrorType.DENIED, message, {"approval": ticket.ask.ticket})


def _mismatch(attempt: Attempt, ticket: Ticket) -> str:
    target, id = attempt.target.proposal.target, ticket.ask.ticket
    return f"approval {id} was given for other arguments than those that {target} would act on; nothing was done"
