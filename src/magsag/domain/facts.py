"""Facts: what happened in a run, in the past tense, frozen. The ledger holds nothing else.

Times (`at`, `due`, `act_by`) are microseconds since 1970, UTC; `took` is microseconds. `input` and
`output` are JSON bytes: they are kept beside the fact's body, under a salt of their own, so that they can
be erased without breaking the chain (`engine.chain`). How a fact is written down: `domain.wire`.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from magsag.domain.approval import Answer, Ask, Proof, Reach
from magsag.domain.breaking import BreakerMoved
from magsag.domain.budget import Bound
from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId


class RunStatus(StrEnum):
    """Where a run is. The last five are ends."""

    RUNNING = "running"
    PARKED = "parked"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    DENIED = "denied"
    CANCELLED = "cancelled"


ENDS: Final = frozenset(RunStatus) - {RunStatus.RUNNING, RunStatus.PARKED}
"""the statuses in which a run has ended"""


class StepStatus(StrEnum):
    """Where a step is. The last four are ends."""

    NEW = "new"
    HELD = "held"
    STARTED = "started"
    WAITING = "waiting"
    IN_DOUBT = "in_doubt"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


class ParkedOn(StrEnum):
    """What a parked run waits for."""

    APPROVAL = "approval"
    DOUBT = "doubt"
    EVENT = "event"
    TIME = "time"
    CHILD = "child"
    DIVERGENCE = "divergence"


class Decision(StrEnum):
    """What the gate says of an act."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


@frozen
class Proposal:
    """What a step wants to do."""

    call: str
    """the verb: skill, shell, model, delegate, detach, call, sleep, wait_for, race, timeout"""
    target: str
    """the exact reference, e.g. `skill:send-offer@0.3.0`; of a wait for a signal `event:paid`"""
    effect: Effect

    @property
    def event(self) -> str | None:
        """What a `wait_for` listens for."""
        return self.target.removeprefix("event:") if self.call == "wait_for" else None


class Count(NamedTuple):
    """What a condition was told of the run's other steps on a reference."""

    ref: str
    """as the rule named it"""
    number: int
    """reserved, started or succeeded"""
    after: bool
    """whether one of them had succeeded"""


@frozen
class Verdict:
    """The gate's answer, with the rule that decided and where it stands."""

    decision: Decision
    rule: str
    place: str
    """`file:line` of the rule, or `built-in`"""
    reason: str
    policy: str
    """content hash of the policies in force"""
    counts: tuple[Count, ...] = ()
    """what the conditions counted: with it, input and time the verdict can be reached again"""


@frozen
class ParkReason:
    """One thing that a parked run waits for."""

    on: ParkedOn
    step: StepId
    reason: str
    due: int | None = None
    """when it is over by itself; None when only somebody ends it"""
    event: str | None = None
    """the signal that ends it"""
    run: RunId | None = None
    """the child run that waits, when it is not the run itself"""
    ticket: str | None = None
    """the approval that it waits for"""


@frozen
class Score:
    """What one metric of an evaluation gave."""

    metric: str
    score: float
    threshold: float
    weight: float
    passed: bool


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
class StepHeld:
    """The gate asks: the step waits for a decision."""

    at: int
    step: StepId
    proposal: Proposal
    verdict: Verdict
    attempt: int
    ask: Ask | None = None
    """the ticket that was opened with it; absent in what versions without approvals wrote"""
    input: bytes


@frozen(kw_only=True)
class ApprovalDecided:
    """Somebody answered the ticket of a held step. What that makes of the ticket: `policy.approval`."""

    at: int
    step: StepId
    ticket: str
    answer: Answer
    by: str
    proof: Proof
    """how they showed who they are"""
    people: str
    """content hash of the people in force"""
    reason: str = ""
    binding: str | None = None
    """with other arguments: what binds the ticket from here on"""
    input: bytes | None = None
    """the arguments that were approved instead of the proposed ones"""


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
class StepStarted:
    """The intent: from here on the act may have happened. `input` is absent on a retry."""

    at: int
    step: StepId
    proposal: Proposal
    verdict: Verdict
    attempt: int
    key: str
    """the idempotency key, the same over retries and restarts"""
    act_by: int
    """after this time nobody of ours is still acting; of a wait: when it is over, 0 when only its signal ends it"""
    approval: str | None = None
    """the ticket that was spent with it"""
    standing: str | None = None
    """the standing approval that answered the ask"""
    reserved: Mapping[str, int] | None = None
    """by budget, what it may cost at most (`domain.budget`)"""
    lost: Mapping[str, int] | None = None
    """by unit, what the attempt before it is charged: it began, and nothing came back"""
    input: bytes | None = None


@frozen(kw_only=True)
class StepDone:
    """Proposal, verdict and outcome in one: for `pure` and `read`, whose loss only costs a repetition."""

    at: int
    step: StepId
    proposal: Proposal
    verdict: Verdict
    attempt: int
    took: int
    spent: Mapping[str, int] | None = None
    prices: str | None = None
    input: bytes
    output: bytes


@frozen(kw_only=True)
class StepSucceeded:
    at: int
    step: StepId
    took: int
    spent: Mapping[str, int] | None = None
    """by unit, in its smallest part; `assumed`: nobody knows, it is the most that it can have been"""
    assumed: bool | None = None
    prices: str | None = None
    """the version of the prices that it was counted by"""
    child_head: str | None = None
    partial: bool | None = None
    """true of a child run that ended `partial`"""
    adopted: bool | None = None
    """true of an outcome that a lookup found after a crash"""
    output: bytes


@frozen(kw_only=True)
class StepFailed:
    """The step ended without a result. `proposal`, `verdict` and `input` are there when nothing came before."""

    at: int
    step: StepId
    type: ErrorType
    attempt: int
    took: int = 0
    proposal: Proposal | None = None
    verdict: Verdict | None = None
    spent: Mapping[str, int] | None = None
    assumed: bool | None = None
    child_head: str | None = None
    input: bytes | None = None
    output: bytes
    """`{type, message, details}`"""


@frozen(kw_only=True)
class StepWillRetry:
    at: int
    step: StepId
    type: ErrorType
    due: int
    spent: Mapping[str, int] | None = None
    assumed: bool | None = None
    output: bytes
    """`{type, message, details}` of the attempt that failed"""


@frozen(kw_only=True)
class StepInDoubt:
    """The act may have happened and nobody can tell: a person resolves it."""

    at: int
    step: StepId
    reason: str
    spent: Mapping[str, int] | None = None
    assumed: bool | None = None


@frozen(kw_only=True)
class StepResolved:
    """A person said how a doubt ends."""

    at: int
    step: StepId
    how: StepStatus
    """succeeded, failed or waiting (try again)"""
    by: str
    output: bytes | None = None


@frozen(kw_only=True)
class StepCancelled:
    at: int
    step: StepId
    proposal: Proposal | None = None
    spent: Mapping[str, int] | None = None
    assumed: bool | None = None
    input: bytes | None = None


@frozen(kw_only=True)
class StepSkipped:
    at: int
    step: StepId
    why: str


@frozen(kw_only=True)
class LateOutcome:
    """An act's outcome that came after its step was given up; shown to people, never adopted silently."""

    at: int
    step: StepId
    output: bytes


@frozen(kw_only=True)
class PayloadErased:
    """Payloads of the fact at `seq` are gone, on purpose; its body and the chain stay."""

    at: int
    seq: int
    by: str


RunFact = (
    RunStarted
    | RunEnded
    | RunParked
    | RunScored
    | CancelRequested
    | SignalReceived
    | SecretUsed
    | PayloadErased
    | BreakerMoved
)
StepFact = (
    StepHeld
    | ApprovalDecided
    | StandingApproved
    | StandingRevoked
    | StepStarted
    | StepDone
    | StepSucceeded
    | StepFailed
    | StepWillRetry
    | StepInDoubt
    | StepResolved
    | StepCancelled
    | StepSkipped
    | LateOutcome
)
Fact = RunFact | StepFact
