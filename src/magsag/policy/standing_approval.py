"""Standing approvals: what one person approved beforehand, and whether it answers an ask now. Pure; time is handed in.

It answers an ask, never a deny, and only one that its owner alone could answer: a rule that wants more people, other
roles or somebody who did not start the run is not answered by it. It is for exactly what was asked when it was made:
the same act by the same program in the same environment, asked by the same rule.
"""

from magsag.domain.approval import Acting, ApprovalRule, Reach
from magsag.domain.errors import Refused
from magsag.domain.facts import Proposal, StandingApproved
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.policy.approval import require_may
from magsag.policy.people import People


@frozen
class Wanted:
    """An act that the policies ask about."""

    root: RunId
    """the head of the tree that wants it"""
    program: str
    proposal: Proposal
    rule: str
    asked: ApprovalRule
    environment: str
    requesters: tuple[str, ...]


def require_answerable(asked: ApprovalRule, rule: str) -> None:
    """One person's word must be enough for what a rule asks. Raises Refused."""
    if asked.quorum > 1:
        raise Refused(
            f"rule {rule} asks for {asked.quorum} people, and a standing approval is the word of one: approve each act"
        )


def answers(given: StandingApproved, origin: RunId, wanted: Wanted, people: People, now: int) -> bool:
    """Whether it answers the ask; its condition is not looked at. `origin` is the run that it was made in."""
    is_for = (given.program, given.proposal, given.rule, given.environment)
    if is_for != (wanted.program, wanted.proposal, wanted.rule, wanted.environment):
        return False
    if not given.at <= now < given.until:
        return False
    if given.reach is Reach.RUN and origin != wanted.root and not origin.startswith(f"{wanted.root}."):
        return False
    try:
        require_answerable(wanted.asked, wanted.rule)
        person = people.person(Acting(given.by, given.proof))
        require_may(person, wanted.asked, wanted.requesters, people.exclude_requester, f"for {given.standing}")
    except Refused:
        return False
    return True
