"""The terms that facts are told in: statuses, proposals, verdicts, reasons to park."""

from enum import StrEnum
from typing import Final, NamedTuple

from magsag.domain.effects import Effect
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
    waits: int | None = None
    """of a step that waits for leave by a rate or a concurrency: how often it has by now"""


@frozen
class Score:
    """What one metric of an evaluation gave."""

    metric: str
    score: float
    threshold: float
    weight: float
    passed: bool
