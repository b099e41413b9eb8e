"""What a run is: its status, its steps, and what is waiting in it. How facts make it so: `engine.evolve`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from magsag.domain import facts
from magsag.domain.approval import Ask
from magsag.domain.breaking import BreakerMoved
from magsag.domain.errors import ErrorType
from magsag.domain.facts import ParkReason, RunStatus, StepStatus
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId


@dataclass(slots=True)
class Step:
    """One governed act, as far as it has come."""

    id: StepId
    status: StepStatus = StepStatus.NEW
    proposal: facts.Proposal | None = None
    verdict: facts.Verdict | None = None
    attempt: int = 0
    input: bytes | None = None
    output: bytes | None = None
    """the result, or `{type, message, details}` of the error"""
    error_type: ErrorType | None = None
    key: str = ""
    act_by: int = 0
    due: int = 0
    at: int = 0
    """time of its last fact"""
    order: int = 0
    """the run's count of facts when it ended: the order in which programs were told"""
    started_at: int = 0
    child_head: str | None = None
    partial: bool = False
    """its child run ended `partial`"""
    ask: Ask | None = None
    """the ticket that holds it, or held it last"""
    answers: tuple[facts.ApprovalDecided, ...] = ()
    """what people said of that ticket"""
    approval: str | None = None
    """the ticket that was spent with its intent"""
    standing: str | None = None
    """the standing approval that let it start"""
    late: tuple[bytes, ...] = ()
    """outcomes that came after it was given up; they change nothing"""
    reserved: Mapping[str, int] | None = None
    """by budget, what the attempt under way holds back"""
    spent: dict[str, int] | None = None
    """by unit, what all its attempts are charged; `assumed` when a part of it is not known"""
    assumed: bool = False

    @property
    def changed(self) -> bytes | None:
        """The arguments that an approver put in the place of the proposed ones."""
        return next((answer.input for answer in reversed(self.answers) if answer.input is not None), None)


@frozen
class Signal:
    """What somebody told the run, and no wait has taken yet."""

    at: int
    input: bytes | None


@frozen
class Waited:
    """A step had to wait for leave, and the run parked with it."""

    times: int
    due: int


@dataclass(slots=True)
class Run:
    """One execution. The driver owns the only reference."""

    id: RunId
    status: RunStatus = RunStatus.RUNNING
    started: facts.RunStarted | None = None
    ended: facts.RunEnded | None = None
    parked: facts.RunParked | None = None
    steps: dict[StepId, Step] = field(default_factory=dict)
    scores: list[facts.RunScored] = field(default_factory=list)
    cancel_by: str | None = None
    erased_by: str | None = None
    """who had payloads of it taken away"""
    at: int = 0
    """time of the last fact"""
    count: int = 0
    """how many facts it was folded from"""
    aside: int = 0
    """how many of them were appended beside its driver's, at any time: they have no place in the order that programs
    see"""
    signals: dict[str, list[Signal]] = field(default_factory=dict)
    """by event, those that no wait has taken yet, the oldest first"""
    secrets: dict[str, tuple[facts.SecretUsed, ...]] = field(default_factory=dict)
    """by reference, the first use of each version"""
    holding: int = 0
    """how many of its steps hold something back"""
    waited: dict[StepId, Waited] = field(default_factory=dict)
    """its steps that have parked it while they waited for leave by a rate or a concurrency"""
    standing: dict[str, facts.StandingApproved] = field(default_factory=dict)
    """by id, what people approved beforehand when they answered its tickets"""
    revoked: set[str] = field(default_factory=set)
    """those of them that were ended before their time"""
    refused: list[facts.DecisionRefused] = field(default_factory=list)
    """words of people that did not count"""
    breakers: list[BreakerMoved] = field(default_factory=list)
    """breakers that its steps, its start, or people have changed"""

    @property
    def order(self) -> int:
        """The place of its last fact in the order in which programs are told: the same live and on every resume."""
        return self.count - self.aside

    @property
    def reasons(self) -> tuple[ParkReason, ...]:
        """What the run waits for, when it is parked."""
        return self.parked.reasons if self.parked else ()


def wake(run: Run) -> None:
    """A new leg begins: what a parked run waited for is looked at again."""
    if run.status is RunStatus.PARKED:
        run.status, run.parked = RunStatus.RUNNING, None
