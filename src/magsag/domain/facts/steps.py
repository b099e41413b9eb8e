"""What happened to a step of a run."""

from collections.abc import Mapping

from magsag.domain.approval import Answer, Ask, Proof
from magsag.domain.errors import ErrorType
from magsag.domain.facts.terms import (
    Proposal,
    StepStatus,
    Verdict,
)
from magsag.domain.frozen import frozen
from magsag.domain.ids import StepId


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
    prices: str | None = None
    """the version of the prices by which money is reserved"""
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
    input: bytes | None = None
    """of a transactional act: the records that it put (`domain.puts`); absent in what earlier versions wrote"""
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
    prices: str | None = None
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
    prices: str | None = None
    output: bytes
    """`{type, message, details}` of the attempt that failed"""


@frozen(kw_only=True)
class StepInDoubt:
    """The act may have happened and nobody can tell: a person resolves it."""

    at: int
    step: StepId
    reason: str
    """without a word of the act's own: those are a payload, so that they can be erased"""
    spent: Mapping[str, int] | None = None
    assumed: bool | None = None
    output: bytes | None = None
    """`{type, message, details}`: what the act or its lookup said, where it said anything"""


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
