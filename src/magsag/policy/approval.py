"""Tickets: who may decide one, what their answer makes of it, and what it covers. Pure; the clock is handed in.

    open --approve, quorum not reached--> open        open, approved --deny--> denied
    open --approve, quorum reached--> approved        open, approved --time is up--> expired
    approved --the intent of the step--> spent        open, approved, spent --the policy asks for more--> replaced

A person counts once. An answer with other arguments makes the answers before it void: they were for others. What
does not fit is Refused, with the reason; a ticket that somebody else changed meanwhile is the store's to notice.
"""

from collections.abc import Collection
from dataclasses import replace
from hashlib import sha256
from typing import Final

from magsag.domain.approval import Acting, Answer, ApprovalRule, Ask, OnExpire, RefusedFor, TicketState, since_change
from magsag.domain.errors import Refused
from magsag.domain.frozen import frozen
from magsag.domain.manifests.people import Person
from magsag.policy.people import People

DEFAULT_RULE: Final = ApprovalRule()
_UNDECIDED: Final = frozenset({TicketState.OPEN, TicketState.APPROVED})


@frozen
class Given:
    """One person's answer."""

    by: Acting
    answer: Answer
    at: int
    reason: str = ""
    binding: str | None = None
    """with other arguments: what they are bound by from here on"""


@frozen
class Ticket:
    """A ticket as far as it has come."""

    ask: Ask
    requesters: tuple[str, ...]
    """who started the run, and on whose behalf"""
    state: TicketState = TicketState.OPEN
    answers: tuple[Given, ...] = ()
    binding: str = ""
    """what was approved: as it was opened, or as the last change of arguments made it"""

    @property
    def approvers(self) -> tuple[str, ...]:
        """The people whose approval counts."""
        return tuple(given.by.id for given in counted(self.answers))

    @property
    def missing(self) -> int:
        """How many more people have to approve."""
        return max(0, self.ask.rule.quorum - len(self.approvers))


def opened(ask: Ask, requesters: Collection[str]) -> Ticket:
    """A new ticket; it is bound to what the step wants."""
    return Ticket(ask, tuple(dict.fromkeys(requesters)), binding=ask.binding)


def expires_at(ask: Ask) -> int:
    """When nobody can decide any more."""
    spans = 2 if ask.rule.on_expire is OnExpire.ESCALATE else 1
    return ask.opened + spans * int(ask.rule.ttl_seconds * 1e6)


def is_escalated(ask: Ask, now: int) -> bool:
    """Whether those it escalates to may decide as well."""
    return ask.rule.on_expire is OnExpire.ESCALATE and now >= ask.opened + int(ask.rule.ttl_seconds * 1e6)


def decide(ticket: Ticket, people: People, given: Given) -> Ticket:
    """The ticket after a person's answer. Raises Refused, and then nothing has changed."""
    if ticket.state not in _UNDECIDED:
        raise Refused(f"approval {ticket.ask.ticket} is {ticket.state} already", RefusedFor.DECIDED)
    if given.at >= expires_at(ticket.ask):
        fails = ticket.ask.rule.on_expire is OnExpire.FAIL
        then = "the step fails" if fails else "that counts as a no"
        raise Refused(
            f"approval {ticket.ask.ticket} has expired: nobody decided it in time, and {then}", RefusedFor.LATE
        )
    person = people.person(given.by)
    late = is_escalated(ticket.ask, given.at)
    require_may(person, ticket.ask.rule, ticket.requesters, people.exclude_requester, ticket.ask.ticket, late)
    if given.answer is Answer.DENY:
        return replace(ticket, state=TicketState.DENIED, answers=(*ticket.answers, given))
    if ticket.state is TicketState.APPROVED:
        said = f"approval {ticket.ask.ticket} is approved already, by {', '.join(ticket.approvers)}"
        raise Refused(said, RefusedFor.DECIDED)
    if given.binding is None and given.by.id in ticket.approvers:
        said = f"{given.by.id} has approved {ticket.ask.ticket} already, and each person counts once"
        raise Refused(said, RefusedFor.TWICE)
    after = replace(ticket, answers=(*ticket.answers, given), binding=given.binding or ticket.binding)
    return replace(after, state=TicketState.OPEN if after.missing else TicketState.APPROVED)


def expired(ticket: Ticket, now: int) -> Ticket | None:
    """The ticket when its time is up and it was not used; None while it may still be."""
    if ticket.state in _UNDECIDED and now >= expires_at(ticket.ask):
        return replace(ticket, state=TicketState.EXPIRED)
    return None


def spent(ticket: Ticket, now: int) -> Ticket:
    """The ticket once its step starts. Raises Refused when it gives no right to that."""
    if ticket.state is not TicketState.APPROVED:
        raise Refused(f"approval {ticket.ask.ticket} is {ticket.state}, not approved")
    if now >= expires_at(ticket.ask):
        raise Refused(f"approval {ticket.ask.ticket} has expired: it was not used in time")
    return replace(ticket, state=TicketState.SPENT)


def covers(ticket: Ticket, rule: ApprovalRule) -> bool:
    """Whether the answers that were given are enough for what the policy in force asks."""
    asked = ticket.ask.rule
    if (asked.roles, asked.people, asked.escalate_to) != (rule.roles, rule.people, rule.escalate_to):
        return False
    return len(ticket.approvers) >= rule.quorum


def binding(salt: bytes, target: str, arguments: bytes) -> str:
    """What binds a ticket to one act without revealing it; the salt is erased with the arguments."""
    name = target.encode()
    return sha256(b"%s%d:%s%s" % (salt, len(name), name, arguments)).hexdigest()


def counted(answers: tuple[Given, ...]) -> tuple[Given, ...]:
    """The approvals of what is approved now: those since the arguments were changed last, one of each person."""
    since = [given for given in since_change(answers) if given.answer is Answer.APPROVE]
    return tuple({given.by.id: given for given in reversed(since)}.values())[::-1]


def require_may(
    person: Person,
    rule: ApprovalRule,
    requesters: Collection[str],
    exclude_requester: bool,
    what: str,
    is_late: bool = False,
) -> None:
    """Whether this person may answer what a rule asks; `what` names it. Raises Refused.

    `is_late`: those it escalates to may answer as well.
    """
    known_as = {person.id, person.os_user or person.id}
    if exclude_requester and known_as.intersection(requesters):
        said = f"{person.id} asked for it, so somebody else has to decide {what} (exclude_requester)"
        raise Refused(said, RefusedFor.REQUESTER)
    roles = {*rule.roles, *(rule.escalate_to if is_late else ())}
    if not rule.roles and not rule.people:
        return
    if person.id not in rule.people and not roles.intersection(person.roles):
        wanted = [*(f"the role {role}" for role in sorted(roles)), *rule.people]
        raise Refused(f"{person.id} may not decide {what}: it takes {' or '.join(wanted)}", RefusedFor.ROLE)
