"""What a rule's `approval` asks for, with the findings about what no ticket could ever meet."""

from magsag.catalog.survey import Candidate
from magsag.domain.approval import ApprovalRule, OnExpire
from magsag.domain.facts import Decision
from magsag.domain.manifests.policy import Approval, Rule

Pointer = tuple[str | int, ...]


def asked_of(candidate: Candidate, pointer: Pointer, rule: Rule) -> ApprovalRule | None:
    """What the rule wants; None when it does not say. Findings go to the candidate's notes."""
    approval = rule.approval
    if approval is None:
        return None
    here = (*pointer, "approval")
    if rule.verdict is not Decision.ASK:
        what = f"`approval` is read with the verdict ask only, and this rule says {rule.verdict}"
        candidate.notes.add(here, what, "write `verdict: ask`, or remove it", key=True)
    _check_expiry(candidate, here, approval)
    if approval.people and not approval.roles and approval.quorum > len(set(approval.people)):
        what = f"{approval.quorum} people are to approve, and {len(set(approval.people))} may"
        candidate.notes.add((*here, "quorum"), what, "lower `quorum`, or name more people or a role")
    return ApprovalRule(
        approval.quorum,
        approval.roles,
        approval.people,
        approval.ttl,
        approval.on_expire,
        approval.escalate_to,
    )


def _check_expiry(candidate: Candidate, here: Pointer, approval: Approval) -> None:
    if approval.ttl < 1:
        candidate.notes.add((*here, "ttl"), "nobody can decide within less than a second", "write 1s or more, e.g. 24h")
    escalates = approval.on_expire is OnExpire.ESCALATE
    if escalates and not approval.escalate_to:
        what = "`on_expire: escalate` does not say to whom"
        candidate.notes.add((*here, "on_expire"), what, "add `escalate_to: [ROLE]`")
    if approval.escalate_to and not escalates:
        what = "`escalate_to` is read with `on_expire: escalate` only"
        candidate.notes.add((*here, "escalate_to"), what, "write `on_expire: escalate`, or remove it", key=True)
