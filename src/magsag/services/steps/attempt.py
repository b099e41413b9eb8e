"""One step on its way through the gate, and what it is handed at the ends of the way."""

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

from magsag.domain.effects import Effect
from magsag.domain.errors import StepFailed, Stopped
from magsag.domain.facts import ParkedOn, StepStatus, Verdict
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId
from magsag.policy.approval import Ticket
from magsag.ports.ledger import Record, TicketRow
from magsag.ports.standing_approvals import Leaning
from magsag.services.steps.holding import Admission, Charge
from magsag.services.steps.seat import Scope, Seat
from magsag.services.steps.target import Target


@frozen
class Switches:
    """What is on, and the limits in force."""

    approvals: bool = True
    durable: bool = True
    every_step: bool = False
    step_seconds: float = 300.0
    """the timeout of an act that declares none"""
    depth: int = 8
    children: int = 256


@frozen
class Told:
    """What a program is told of a step, and its place in the order of the ledger."""

    value: Any
    order: int
    at: int
    partial: bool = False
    """its child run ended `partial`"""


@frozen
class Acted:
    """What an act gave; of a child run also where its chain ends and whether a part of it failed."""

    result: Any
    head: str | None = None
    partial: bool | None = None
    adopted: bool | None = None
    """true of what a lookup found"""
    records: Sequence[Record] = ()
    """what it puts into the store, together with its outcome"""


@frozen
class HeldTicket:
    """A ticket that was approved or spent, with its row."""

    ticket: Ticket
    row: TicketRow


@dataclass(slots=True)
class Attempt:
    """One step, one attempt after the other."""

    seat: Seat
    scope: Scope
    id: StepId
    target: Target
    data: bytes
    """the input as it is recorded"""
    value: Any
    """the input as it is judged and acted on"""
    number: int = 1
    verdict: Verdict | None = None
    began: int = 0
    started: bool = False
    """an intent is on record"""
    cancelled: bool = False
    """somebody gave the step up while it acted"""
    recorded: bytes | None = None
    """of a step that the ledger knows: the input that is acted on, as it was proposed or as an approver changed it"""
    ticket: HeldTicket | None = None
    """the approval that it has"""
    leans: Leaning | None = None
    """the standing approval that answers its ask instead"""
    secrets: Mapping[str, str] | None = None
    """what its act was handed, by name; None before anything was read"""
    admission: Admission | None = None
    """of what has a breaker, a rate or a concurrency: the leave to act"""
    nothing_happened: bool = True
    """no earlier attempt may have acted: this process has seen how each ended, and each said that nothing happened;
    what waited for an approval of its first attempt has had none"""
    waits: int = 0
    """how often it has waited for a rate or a concurrency"""
    charge: Charge | None = None
    """what it holds back of budgets"""
    performed: bool = False
    """its act has begun, in this process"""
    reported: dict[str, int] = field(default_factory=dict)
    """by unit, what the act said it has cost"""

    @property
    def acted(self) -> bytes:
        """The input that is acted on, as it is recorded."""
        return self.data if self.recorded is None else self.recorded

    @property
    def known(self) -> bool:
        """Whether the ledger has heard of the step."""
        return self.id in self.seat.run.steps

    @property
    def is_held(self) -> bool:
        """Whether it waits for an approval, by the record."""
        step = self.seat.run.steps.get(self.id)
        return step is not None and step.status is StepStatus.HELD

    @property
    def may_have_acted(self) -> bool:
        """Whether an attempt before this one may have: of the kinds that are tried again, only one that repeats
        safely."""
        is_again = (self.number > 1 or self.started) and not self.nothing_happened
        return is_again and self.target.proposal.effect is Effect.IDEMPOTENT

    @property
    def given_up(self) -> bool:
        """Whether its branch was given up on purpose."""
        return self.seat.given_up(self.scope)

    @property
    def key(self) -> str:
        """The idempotency key: the same for every attempt of this step, in every process."""
        return idempotency_key(self.seat.run.id, self.id)

    def park(
        self, on: ParkedOn, reason: str, due: int | None = None, event: str | None = None, ticket: str | None = None
    ) -> Stopped:
        """Note why the run cannot go on; what is raised drops the program."""
        self.seat.park(on, self.id, reason, due, event, ticket)
        return Stopped(reason)


def caller_of(run: RunId, step: StepId, attempt: int) -> str:
    """How whoever asks for leave is called: the same for those who take this attempt up again."""
    return f"{run} {step} {attempt}"


def called_by(caller: str) -> tuple[RunId, StepId]:
    """The run and the step of a caller."""
    run, _, rest = caller.partition(" ")
    return RunId(run), StepId(rest.rpartition(" ")[0])


def idempotency_key(run: RunId, step: StepId) -> str:
    """32 hex digits that name a step's effect."""
    return sha256(f"{run}\n{step}".encode()).hexdigest()[:32]


@frozen
class ChildEnd:
    """How a child run ended."""

    output: bytes | None
    error: StepFailed | None
    head: str
    partial: bool = False


@frozen
class ChildPlace:
    """Where a child run hangs in its tree."""

    seat: Seat
    branch: Scope
    """flagged when this delegation alone is given up, at its timeout"""
    step: StepId
    target: Target
    attempt: int


class Children(Protocol):
    """Drives child runs; `services.programs.programs`."""

    def run(self, place: ChildPlace, input: bytes) -> Coroutine[Any, Any, ChildEnd]:
        """Start or go on with the child run of a step. Raises Stopped when it parked, with the reason noted."""

    async def expire(self, place: ChildPlace) -> bool:
        """End the child run of a step whose time was over when the leg began; False when it has ended by itself.

        Raises Stopped for a doubt in it.
        """
