"""What happened to a run as a whole."""

from magsag.domain.approval import Proof, Reach, RefusedFor
from magsag.domain.budget import Bound
from magsag.domain.facts.terms import ParkedOn, ParkReason, Proposal, RunStatus, Score, Verdict
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId


@frozen(kw_only=True)
class RunStarted:
    at: int
    program: str
    """`agent:slug@version` or `flow:slug@version`"""
    bundle: str
    actor: str
    """who started it; `requester`: on whose behalf"""
    requester: str
    environment: str
    mode: str
    seed: str
    """32 hex digits that `ctx.uuid` and `ctx.random` are folded from"""
    trace_id: str
    span_id: str
    parent_span_id: str | None = None
    parent: RunId | None = None
    parent_step: StepId | None = None
    select: tuple[str, ...] | None = None
    """of a flow: only these steps run"""
    continues: RunId | None = None
    """the run whose outputs stand for the steps that are not selected"""
    forked_from: RunId | None = None
    """the run whose first facts this one took over; their times stay, so that the program sees the same again"""
    forked_at: int | None = None
    """when that was: `at` is the time of the original's start"""
    deadline: int | None = None
    """the run, and every run below it, has ended by then: it fails with `timeout`"""
    lineage: tuple[str, ...] | None = None
    """of a detached child run, whose tree is its own: the programs above it, the root's first"""
    verdict: "Verdict | None" = None
    """what the program's objectives said of the start of a root run; absent where they were kept"""
    bounds: tuple[Bound, ...] | None = None
    """of a detached child run: the budgets of the runs above it"""
    limited: bool | None = None
    """of a root run whose program has limits of its own: its first step asks them"""
    input: bytes


@frozen(kw_only=True)
class RunEnded:
    at: int
    status: RunStatus
    output: bytes | None = None
    """the result, or `{type, message, details, step}` of the error"""


@frozen(kw_only=True)
class RunParked:
    at: int
    on: ParkedOn
    due: int
    """when the run is looked at again even if nothing wakes it"""
    reasons: tuple[ParkReason, ...]


@frozen(kw_only=True)
class RunScored:
    """An evaluation looked at the run's input or output."""

    at: int
    evaluation: str
    """`eval:slug@version`"""
    on: str
    """`input` or `output`"""
    scores: tuple[Score, ...]
    output: bytes
    """what each metric said, as `{metric: details}`: details may quote the payload, so they can be erased"""


@frozen(kw_only=True)
class CancelRequested:
    at: int
    by: str


@frozen(kw_only=True)
class SignalReceived:
    """Somebody told the run something. It satisfies one wait for this event, whether that began before or after."""

    at: int
    event: str
    by: str
    input: bytes | None = None
    """what was told; absent when it was erased"""


@frozen(kw_only=True)
class SecretUsed:
    """A step was handed a secret for the first time in this run, or for the first time since it was changed."""

    at: int
    step: StepId
    name: str
    """what the skill calls it"""
    reference: str
    """where it was found: `env:NAME`, `file:PATH`, `keyring:SERVICE/NAME`"""
    version: str
    """tells one value from another, under a salt that stands outside the ledger"""
    before: str | None = None
    """the version that this run used before"""


@frozen(kw_only=True)
class StandingApproved:
    """Somebody who answered a ticket approved more of the same. What it covers: `policy.standing_approval`."""

    at: int
    step: StepId
    standing: str
    """its id"""
    ticket: str
    reach: Reach
    program: str
    """exact reference of who may do it"""
    proposal: Proposal
    rule: str
    """the rule whose ask it answers"""
    environment: str
    until: int
    by: str
    """its owner"""
    proof: Proof
    people: str
    """content hash of the people in force"""
    when: str = ""
    """a condition on the record of the act, in CEL; without one it covers every such act"""
    reason: str = ""


@frozen(kw_only=True)
class StandingRevoked:
    """Somebody ended a standing approval before its time."""

    at: int
    step: StepId
    standing: str
    by: str
    proof: Proof
    people: str
    reason: str = ""


@frozen(kw_only=True)
class DecisionRefused:
    """Somebody wanted to decide something of this run, and their word did not count. It changes nothing.

    Said again, it is told again after a pause that grows (`policy.refusals`).
    """

    at: int
    step: StepId
    wanted: str
    """`approve`, `deny`, `revoke`"""
    refused_for: RefusedFor
    by: str
    """who they showed to be; where a key or a claim did not count, the user of the operating system"""
    proof: Proof
    people: str
    """content hash of the people in force"""
    ticket: str | None = None
    """the approval that it was about, or"""
    standing: str | None = None
    """the standing approval"""
    claimed: str | None = None
    """the entry of people.yaml that somebody only said to be"""
