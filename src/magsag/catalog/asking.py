"""What a rule's `approval` asks for, with the findings about what no ticket could ever meet."""

from magsag.catalog.document import Pointer
from magsag.catalog.references import did_you_mean
from magsag.catalog.survey import Candidate, Survey
from magsag.domain.approval import ApprovalRule, OnExpire
from magsag.domain.facts import Decision
from magsag.domain.manifests import Policy
from magsag.domain.manifests.policy import Approval, Rule
from magsag.policy.people import People


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


def check_answerable(found: Survey, people: People) -> None:
    """Warn of every rule that asks people who are not there, or more than there are. Says nothing without people."""
    if people.broken is not None:
        return
    for candidate in found.of_kind("policy"):
        rules = candidate.checked.rules if isinstance(candidate.checked, Policy) else ()
        for index, rule in enumerate(rules):
            if rule.approval is not None:
                _check_answerable(candidate, ("rules", index, "approval"), rule.approval, people)


def _check_answerable(candidate: Candidate, here: Pointer, approval: Approval, people: People) -> None:
    roles = {role for person in people.by_id.values() for role in person.roles}
    for key, known in (("roles", roles), ("people", set(people.by_id)), ("escalate_to", roles)):
        for index, name in enumerate(getattr(approval, key)):
            if name not in known:
                what = f"nobody in people.yaml {'is' if key == 'people' else 'has the role'} {name}"
                fix = did_you_mean(name, sorted(known)) or "add it there, or name another"
                candidate.notes.add((*here, key, index), what, fix, severity="warning")
    able = {
        person.id
        for person in people.by_id.values()
        if not (approval.roles or approval.people)
        or person.id in approval.people
        or set(person.roles) & {*approval.roles, *approval.escalate_to}
    }
    is_told = approval.people and not approval.roles and approval.quorum > len(set(approval.people))
    if approval.quorum > len(able) and not is_told:
        what = f"{approval.quorum} people are to approve, and {len(able)} of people.yaml may"
        candidate.notes.add((*here, "quorum"), what, "lower `quorum`, or let more people decide", severity="warning")
