"""Tickets as text and JSON, and what follows an answer: the run is driven on, unless it is left to others."""

import time
from typing import TYPE_CHECKING, Final

from magsag.domain.approval import Answer, OnExpire, TicketState
from magsag.domain.frozen import frozen
from magsag.domain.verdicts import START
from magsag.services.insight.documents import iso, ticket_document
from magsag.services.people.approvals import Decision, TicketView
from magsag.services.people.standing_approvals import Beforehand
from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.driving import Asked, drive
from magsag.surfaces.cli.failing import PARKED, YES
from magsag.surfaces.cli.reading import parse
from magsag.surfaces.cli.showing import refusal_line
from magsag.surfaces.cli.writing import json_text, note, put_json, put_pairs, say

if TYPE_CHECKING:
    from magsag.ports.ledger import TicketQuery

_LOOK_SECONDS: Final = 0.2
_QUESTION: Final = 60
"""so much of a question stands in a list"""


@frozen
class Word:
    """What the command line says of a ticket."""

    answer: Answer
    reason: str
    arguments: str | None
    claim: str | None
    detach: bool
    standing: Beforehand | None = None


def decide(call: Call, id: str, word: Word) -> int:
    """Record the answer; drive the run on when it is decided. The exit code."""
    app = call.app
    given = word.arguments
    arguments = None if given is None else (parse(given.encode("utf-8", "surrogatepass"), "--with"),)
    said = Decision(app.identity.trying(word.claim), word.answer, word.reason, arguments, word.standing)
    ticket = app.approvals.decide(app.approvals.find(id), said)
    if not call.is_quiet and not call.wants_json:
        by = ticket.about.ticket.answers[-1].by
        note(f"approval {ticket.id} {_stands(ticket)}, says {by.id} ({by.proof})")
    if word.detach or ticket.state is TicketState.OPEN:
        if call.wants_json:
            put_json(ticket_document(ticket))
        return YES if word.detach else PARKED
    program = app.insight.show(ticket.root).started.program
    return drive(call, ticket.root, Asked(program.partition(":")[0]))


def follow(call: Call, query: "TicketQuery", seconds: float | None) -> None:
    """Tell of every ticket that waits now, then of each change."""
    known: dict[str, tuple[TicketState, int, bool]] | None = None
    ends = None if seconds is None else time.monotonic() + seconds
    while True:
        found = call.app.approvals.list(query)
        told = {ticket.id: (ticket.state, len(ticket.about.ticket.answers), ticket.is_escalated) for ticket in found}
        for ticket in found:
            is_news = ticket.state is TicketState.OPEN if known is None else known.get(ticket.id) != told[ticket.id]
            if is_news:
                _tell(call, ticket)
        known = told
        if ends is not None and time.monotonic() >= ends:
            return
        time.sleep(_LOOK_SECONDS)


def line(ticket: TicketView) -> tuple[str, ...]:
    """One row of a list."""
    ask, verdict = ticket.about.ticket.ask, ticket.about.verdict
    count = f"{len(ticket.about.ticket.approvers)} of {ask.rule.quorum}"
    place = verdict.place.rpartition("/")[2]
    rule = f"{verdict.rule} ({place})"
    return (
        ticket.id,
        ticket.state,
        ticket.run,
        ticket.step,
        ticket.about.proposal.target if ticket.question is None else _short(ticket.question),
        rule,
        count,
        _expires(ticket),
    )


def _short(question: str) -> str:
    said = " ".join(question.split())
    return f'"{said}"' if len(said) <= _QUESTION else f'"{said[: _QUESTION - 3]}..."'


def put_ticket(ticket: TicketView) -> None:
    """For people: everything that one needs to decide."""
    about, verdict = ticket.about, ticket.about.verdict
    pairs: dict[str, object] = {
        "approval": ticket.id,
        "state": _stands(ticket),
        "run": ticket.run,
        "step": ticket.step,
        "wants": _wants(ticket),
        "asks": ticket.question or "",
        "rule": f"{verdict.rule} ({verdict.place})",
        "reason": verdict.reason,
        "asked by": ", ".join(about.ticket.requesters),
        "may decide": _deciders(ticket),
        "but": ticket.unanswerable or "",
        "expires": _ends(ticket),
        "arguments": json_text(ticket.arguments, indent=False),
    }
    if ticket.changed is not None:
        pairs["approved instead"] = json_text(ticket.changed, indent=False)
    put_pairs({name: value for name, value in pairs.items() if value != ""})
    for given in about.ticket.answers:
        why = f": {given.reason}" if given.reason else ""
        instead = ", with other arguments" if given.binding is not None else ""
        say(f"{iso(given.at)}  {given.by.id} ({given.by.proof})  {given.answer}{instead}{why}")
    for refused in ticket.refused:
        say(refusal_line(refused))


def _wants(ticket: TicketView) -> str:
    about = ticket.about
    if ticket.step == START:
        return f"{about.program} wants to start, with its input as arguments"
    return f"{about.program} wants {about.proposal.target} ({about.proposal.effect})"


def _tell(call: Call, ticket: TicketView) -> None:
    if call.wants_json:
        say(json_text(ticket_document(ticket), indent=False))
    else:
        say("  ".join(line(ticket)))


def _stands(ticket: TicketView) -> str:
    if ticket.state is not TicketState.OPEN:
        return str(ticket.state)
    return f"open, {len(ticket.about.ticket.approvers)} of {ticket.about.ticket.ask.rule.quorum} approved"


def _deciders(ticket: TicketView) -> str:
    rule = ticket.about.ticket.ask.rule
    roles = [*rule.roles, *(rule.escalate_to if ticket.is_escalated else ())]
    who = [*(f"the role {role}" for role in roles), *rule.people]
    later = f"; later also {', '.join(rule.escalate_to)}" if rule.on_expire is OnExpire.ESCALATE else ""
    return (" or ".join(who) or "everybody in people.yaml") + (later if not ticket.is_escalated else "")


def _ends(ticket: TicketView) -> str:
    """When it is too late, and what follows; a run whose time is over first ends with its tickets."""
    if ticket.deadline is not None and ticket.deadline < ticket.expires:
        return f"{iso(ticket.deadline)}, then its run ends: the `timeout` of its agent counts waits too"
    return f"{_expires(ticket)}, then {_then(ticket)}"


def _then(ticket: TicketView) -> str:
    """What follows; who was waited for already is not waited for again."""
    return str(OnExpire.DENY if ticket.is_escalated else ticket.about.ticket.ask.rule.on_expire)


def _expires(ticket: TicketView) -> str:
    return str(iso(ticket.expires))
