"""A question that a program asks people itself, by `ctx.approve`: whom, and what becomes of its verdict. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from magsag.domain.approval import ApprovalRule, OnExpire
from magsag.domain.errors import Invalid, StepFailed
from magsag.domain.facts import Decision, Proposal, Verdict
from magsag.domain.verdicts import APPROVE, BUILT_IN, PROGRAM_ASKS

_REASON: Final = "the program asks people"
_MOST: Final = 100


def rule_of(
    quorum: object,
    roles: Sequence[object],
    people: Sequence[object],
    seconds: float,
    on_expire: str,
    escalate_to: Sequence[object],
) -> ApprovalRule:
    """Whom a program asks. Raises Invalid for what no people could answer."""
    if isinstance(quorum, bool) or not isinstance(quorum, int) or not 1 <= quorum <= _MOST:
        raise Invalid(f"ctx.approve: quorum is {quorum!r}; give a number from 1 to {_MOST}")
    if on_expire not in tuple(OnExpire):
        raise Invalid(f"ctx.approve: on_expire is {on_expire!r}; write one of {', '.join(OnExpire)}")
    if seconds <= 0:
        raise Invalid("ctx.approve: a ticket waits for longer than nothing: give ttl in seconds, or a timedelta")
    if bool(escalate_to) != (on_expire == OnExpire.ESCALATE):
        raise Invalid('ctx.approve: escalate_to goes with on_expire="escalate", and that with escalate_to')
    asked, named, later = _names("roles", roles), _names("people", people), _names("escalate_to", escalate_to)
    return ApprovalRule(quorum, asked, named, float(seconds), OnExpire(on_expire), later)


def document(rule: ApprovalRule) -> dict[str, Any]:
    """Whom it asks, as it is recorded with the question: JSON."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(rule).items()}


def worded(question: object) -> str:
    """What is asked. Raises Invalid when it says nothing."""
    if not isinstance(question, str) or not question.strip():
        raise Invalid("ctx.approve: say in words what is asked")
    return question


def _names(name: str, listed: Sequence[object]) -> tuple[str, ...]:
    found = tuple(one for one in listed if isinstance(one, str) and one)
    if isinstance(listed, str) or len(found) != len(listed):
        raise Invalid(f"ctx.approve: {name} is a list of names")
    return found


def of_program(verdict: Verdict, proposal: Proposal) -> Verdict:
    """What the rules allow a program to ask, people are asked; what they deny or ask about stays so."""
    if proposal.call != APPROVE or verdict.decision is not Decision.ALLOW:
        return verdict
    return replace(verdict, decision=Decision.ASK, rule=PROGRAM_ASKS, place=BUILT_IN, reason=_REASON)


def refusal(error: StepFailed) -> dict[str, Any]:
    """What a program is told of a question that was denied, or that nobody answered in time."""
    by = error.details.get("by")
    return {"approved": False, "by": [by] if by else [], "reason": error.details.get("reason") or error.message}


def rehearsed() -> dict[str, Any]:
    """What a program is told in a dry run, in which nobody is asked."""
    return {"approved": True, "by": [], "reason": "dry run: nobody was asked"}
