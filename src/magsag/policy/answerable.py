"""Whether anybody could answer what an approval asks, as people.yaml stands now. Pure.

Nothing is decided about a ticket here: people may be added while it waits. A program that names a role that nobody has
is told at once, since that is its fault; of a ticket that waits it is said.
"""

from collections.abc import Collection

from magsag.domain.approval import ApprovalRule, Proof
from magsag.domain.errors import Refused
from magsag.domain.manifests.people import Person
from magsag.policy.approval import require_may
from magsag.policy.people import DEVELOPMENT, People


def strangers(rule: ApprovalRule, people: People) -> str | None:
    """The roles and names that it asks and nobody has, with those there are. None when somebody has each."""
    roles = {role for person in people.by_id.values() for role in person.roles}
    asked = ((rule.roles, "role", roles), (rule.escalate_to, "role", roles), (rule.people, "name", set(people.by_id)))
    for names, what, known in asked:
        if missing := [name for name in names if name not in known]:
            some = f"the {what} {missing[0]}" if len(missing) == 1 else f"the {what}s {', '.join(missing)}"
            there = f"the {what}{'s' * (len(known) != 1)} {', '.join(sorted(known))}" if known else f"no {what}s"
            return f"it asks {some}, and people.yaml has {there}: name one of those, or add what is missing there"
    return None


def unanswerable(
    rule: ApprovalRule, people: People, requesters: Collection[str], environment: str, approved: Collection[str] = ()
) -> str | None:
    """Why too few people could ever approve it, in words for people; None when enough could.

    `approved`: who has already. Whoever may answer once it escalates counts too.
    """
    if people.broken is not None:
        return f"this cannot be approved: {people.broken}"
    able = {person.id for person in people.by_id.values() if _may(person, rule, people, requesters, environment)}
    if len(able.union(approved)) >= rule.quorum:
        return None
    wanted = [f"the role {role}" for role in dict.fromkeys((*rule.roles, *rule.escalate_to))] + list(rule.people)
    if not (rule.roles or rule.people):
        wanted = ["anybody in people.yaml"]
    takes = "1 person" if rule.quorum == 1 else f"{rule.quorum} people"
    asking = [id for id, person in people.by_id.items() if people.exclude_requester and _asked(person, requesters)]
    but = f" ({', '.join(sorted(asking))} asked for it, so somebody else has to decide)" if asking else ""
    have = f"{len(able.union(approved)) or 'nobody'} may{but}"
    return f"this cannot be approved: it takes {takes} ({' or '.join(wanted)}), and {have}; add somebody to people.yaml"


def _may(person: Person, rule: ApprovalRule, people: People, requesters: Collection[str], environment: str) -> bool:
    if person.proof is Proof.CLAIM and environment != DEVELOPMENT:
        return False
    try:
        require_may(person, rule, requesters, people.exclude_requester, "", is_late=True)
    except Refused:
        return False
    return True


def _asked(person: Person, requesters: Collection[str]) -> bool:
    return bool({person.id, person.os_user or person.id}.intersection(requesters))
