"""Facts: what happened in a run, in the past tense, frozen. The ledger holds nothing else.

Times (`at`, `due`, `act_by`) are microseconds since 1970, UTC; `took` is microseconds. `input` and
`output` are JSON bytes: they are kept beside the fact's body, under a salt of their own, so that they can
be erased without breaking the chain (`engine.chain`). How a fact is written down: `domain.wire`.
"""

from magsag.domain.breaking import BreakerMoved
from magsag.domain.facts.runs import (
    CancelRequested,
    DecisionRefused,
    RunEnded,
    RunParked,
    RunScored,
    RunStarted,
    SecretUsed,
    SignalReceived,
    StandingApproved,
    StandingRevoked,
)
from magsag.domain.facts.steps import (
    ApprovalDecided,
    LateOutcome,
    PayloadErased,
    StepCancelled,
    StepDone,
    StepFailed,
    StepHeld,
    StepInDoubt,
    StepResolved,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    StepWillRetry,
)
from magsag.domain.facts.terms import (
    ENDS,
    Count,
    Decision,
    ParkedOn,
    ParkReason,
    Proposal,
    RunStatus,
    Score,
    StepStatus,
    Verdict,
)

__all__ = [
    "ENDS",
    "ApprovalDecided",
    "CancelRequested",
    "Count",
    "Decision",
    "DecisionRefused",
    "Fact",
    "LateOutcome",
    "ParkReason",
    "ParkedOn",
    "PayloadErased",
    "Proposal",
    "RunEnded",
    "RunFact",
    "RunParked",
    "RunScored",
    "RunStarted",
    "RunStatus",
    "Score",
    "SecretUsed",
    "SignalReceived",
    "StandingApproved",
    "StandingRevoked",
    "StepCancelled",
    "StepDone",
    "StepFact",
    "StepFailed",
    "StepHeld",
    "StepInDoubt",
    "StepResolved",
    "StepSkipped",
    "StepStarted",
    "StepStatus",
    "StepSucceeded",
    "StepWillRetry",
    "Verdict",
]


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
    | DecisionRefused
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
