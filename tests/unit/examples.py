"""One fact of each kind, and the parts they are made of, for tests of everything that takes facts."""

from typing import Final

from magsag.domain.approval import Answer, ApprovalRule, Ask, OnExpire, Proof, Reach, RefusedFor
from magsag.domain.breaking import BreakerMoved, BreakerState
from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType
from magsag.domain.facts import (
    ApprovalDecided,
    CancelRequested,
    Decision,
    DecisionRefused,
    Fact,
    LateOutcome,
    ParkedOn,
    ParkReason,
    PayloadErased,
    Proposal,
    RunEnded,
    RunParked,
    RunScored,
    RunStarted,
    RunStatus,
    Score,
    SecretUsed,
    SignalReceived,
    StandingApproved,
    StandingRevoked,
    StepCancelled,
    StepDone,
    StepFact,
    StepFailed,
    StepHeld,
    StepInDoubt,
    StepResolved,
    StepSkipped,
    StepStarted,
    StepStatus,
    StepSucceeded,
    StepWillRetry,
    Verdict,
)
from magsag.domain.ids import StepId

STEP: Final = StepId("pay#1")
PAY: Final = Proposal("skill", "skill:pay@1.0.0", Effect.UNREPEATABLE)
LOOK: Final = Proposal("skill", "skill:look@1.0.0", Effect.READ)
ALLOWED: Final = Verdict(Decision.ALLOW, "may-pay", "policies/pay.yaml:3", "small sums", "f" * 64)
ASKED: Final = Verdict(Decision.ASK, "ask-first", "policies/pay.yaml:7", "", "f" * 64)
ERROR: Final = b'{"type":"raised","message":"boom","details":{"exception":"ValueError"},"step":null}'

RUN_STARTED: Final = RunStarted(
    at=1_000, program="agent:a@1.0.0", bundle="b" * 64, actor="ann", requester="ben", environment="development",
    mode="implement", seed="00" * 16, trace_id="1" * 32, span_id="2" * 16, input=b'{"n":1}',
)  # fmt: skip
CHILD_STARTED: Final = RunStarted(
    at=2_000, program="agent:b@1.0.0", bundle="b" * 64, actor="agent:a@1.0.0", requester="ben",
    environment="development", mode="implement", seed="11" * 16, trace_id="1" * 32, span_id="3" * 16,
    parent_span_id="2" * 16, input=b"null",
)  # fmt: skip
ASK: Final = Ask("t1", ApprovalRule(2, ("hr",), ("ann",), 60.0, OnExpire.ESCALATE, ("board",)), 2_000, "b" * 64)
HELD: Final = StepHeld(at=2_000, step=STEP, proposal=PAY, verdict=ASKED, attempt=1, ask=ASK, input=b'{"cents":5}')
DECIDED: Final = ApprovalDecided(
    at=2_500, step=STEP, ticket="t1", answer=Answer.APPROVE, by="ann", proof=Proof.OS_USER, people="p" * 64,
    reason="less", binding="c" * 64, input=b'{"cents":4}',
)  # fmt: skip
STANDING: Final = StandingApproved(
    at=2_500, step=STEP, standing="s1", ticket="t1", reach=Reach.RUN, program="agent:a@1.0.0", proposal=PAY,
    rule="ask-first", environment="development", until=9_999, by="ann", proof=Proof.OS_USER, people="p" * 64,
    when="args.cents < 9", reason="small sums",
)  # fmt: skip
REVOKED: Final = StandingRevoked(
    at=2_600, step=STEP, standing="s1", by="bo", proof=Proof.API_KEY, people="p" * 64, reason="enough"
)
STARTED: Final = StepStarted(
    at=3_000, step=STEP, proposal=PAY, verdict=ALLOWED, attempt=1, key="k", act_by=9_000, input=b'{"cents":5}'
)
DONE: Final = StepDone(
    at=5_000, step=STEP, proposal=LOOK, verdict=ALLOWED, attempt=1, took=700, input=b"1", output=b"2"
)
SUCCEEDED: Final = StepSucceeded(at=6_000, step=STEP, took=3_000, spent={"usd": 3}, output=b'"paid"')
FAILED: Final = StepFailed(at=6_000, step=STEP, type=ErrorType.RAISED, attempt=1, took=3_000, output=ERROR)
WILL_RETRY: Final = StepWillRetry(at=6_000, step=STEP, type=ErrorType.RATE_LIMIT, due=8_000, output=ERROR)
IN_DOUBT: Final = StepInDoubt(at=7_000, step=STEP, reason="the process ended")
RESOLVED: Final = StepResolved(at=8_000, step=STEP, how=StepStatus.SUCCEEDED, by="ann", output=b'"it was paid"')
CANCELLED: Final = StepCancelled(at=6_000, step=STEP)
SKIPPED: Final = StepSkipped(at=6_000, step=STEP, why="when is false")
LATE: Final = LateOutcome(at=9_500, step=STEP, output=b'"after all"')

STEP_FACTS: Final[tuple[StepFact, ...]] = (
    HELD, DECIDED, STANDING, REVOKED, STARTED, DONE, SUCCEEDED, FAILED, WILL_RETRY, IN_DOUBT, RESOLVED, CANCELLED,
    SKIPPED, LATE,
)  # fmt: skip
FACTS: Final[tuple[Fact, ...]] = (
    RUN_STARTED,
    CHILD_STARTED,
    *STEP_FACTS,
    RunScored(
        at=7, evaluation="eval:e@1.0.0", on="output", scores=(Score("m", 0.5, 0.4, 1.0, True),), output=b'{"m":[1]}'
    ),
    RunParked(at=8, on=ParkedOn.DOUBT, due=99, reasons=(ParkReason(ParkedOn.DOUBT, STEP, "unknown"),)),
    CancelRequested(at=9, by="ann"),
    SignalReceived(at=9, event="paid", by="ann", input=b"3"),
    SecretUsed(at=9, step=STEP, name="TOKEN", reference="env:TOKEN", version="ab12-0123abcd", before="ab12-4567cdef"),
    BreakerMoved(at=9, step=STEP, name="skill:a", state=BreakerState.OPEN, reason="5 of 5 calls failed"),
    DecisionRefused(
        at=9,
        step=STEP,
        wanted="approve",
        refused_for=RefusedFor.CLAIM,
        by="eve",
        proof=Proof.OS_USER,
        people="e" * 64,
        ticket="t1",
        claimed="maria",
    ),
    PayloadErased(at=9, seq=3, by="ann"),
    RunEnded(at=10, status=RunStatus.CANCELLED, output=ERROR),
)
