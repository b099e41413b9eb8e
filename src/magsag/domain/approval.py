"""Approvals: what an `ask` wants before its step may start, and where its ticket stands. Frozen values, no rules.

Who may decide and what a decision makes of a ticket: `policy.approval`. Times are microseconds since 1970, UTC.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Protocol, TypeVar

from magsag.domain.frozen import frozen

DEFAULT_TTL_SECONDS: Final = 86_400.0
"""how long a ticket waits when its rule does not say"""


class Proof(StrEnum):
    """How somebody showed who they are."""

    OS_USER = "os_user"
    API_KEY = "api_key"
    CLAIM = "claim"
    OIDC = "oidc"


class OnExpire(StrEnum):
    """What becomes of a step whose ticket nobody decided in time."""

    DENY = "deny"
    ESCALATE = "escalate"
    FAIL = "fail"


class Answer(StrEnum):
    """What a person says of a ticket."""

    APPROVE = "approve"
    DENY = "deny"


class RefusedFor(StrEnum):
    """Why somebody's word did not count: a closed list, so that nobody writes words of their own on record."""

    BROKEN = "people_unreadable"
    STRANGER = "stranger"
    PROOF = "proof"
    CLAIM = "claim"
    KEY = "key"
    REQUESTER = "requester"
    ROLE = "role"
    LATE = "late"
    DECIDED = "decided"
    TWICE = "twice"
    ENDED = "ended"
    REVOKED = "revoked"
    OTHER = "other"


class TicketState(StrEnum):
    """Where a ticket is. `open` and `approved` may still change."""

    OPEN = "open"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    SPENT = "spent"
    ENDED = "ended"
    """its run ended before it was decided or spent; shown, never stored"""
    REPLACED = "replaced"
    """the policy in force asks for more than this ticket gave; another one was opened"""


class Reach(StrEnum):
    """What a standing approval is for, besides the one act that it was asked for."""

    RUN = "run"
    """the same act by the same program in the run tree that asked"""
    AGENT = "agent"
    """the same act by the same program in any run"""


@frozen
class ApprovalRule:
    """What a rule that asks wants: how many people, which, how soon."""

    quorum: int = 1
    roles: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    """by name; with neither roles nor people everybody in people.yaml may decide"""
    ttl_seconds: float = DEFAULT_TTL_SECONDS
    on_expire: OnExpire = OnExpire.DENY
    escalate_to: tuple[str, ...] = ()
    """roles that may decide as well once the time is up, for as long again"""


@frozen
class Ask:
    """A ticket as it was opened; it stands in the fact that holds the step."""

    ticket: str
    rule: ApprovalRule
    opened: int
    binding: str
    """salted commitment of the target and the arguments that would be acted on"""


@frozen
class Acting:
    """Who does something, and how they showed it."""

    id: str
    proof: Proof


class _Bindable(Protocol):
    @property
    def binding(self) -> str | None: ...


_Answered = TypeVar("_Answered", bound=_Bindable)


def since_change(answers: Sequence[_Answered]) -> Sequence[_Answered]:
    """The answers that are about what is asked for now: from the last one with other arguments on."""
    last = max((at for at, given in enumerate(answers) if given.binding is not None), default=0)
    return answers[last:]
