"""Where a run sits in a leg: its state, its tree, what it may call, and why it cannot go on."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from magsag.domain.budget import Bound
from magsag.domain.facts import ParkedOn, ParkReason, RunStatus
from magsag.domain.frozen import frozen
from magsag.domain.ids import StepId
from magsag.engine.run import Run
from magsag.policy.budget import Binding
from magsag.services.recording.driven import Tree
from magsag.services.steps.holding import Admission
from magsag.services.steps.strands import Strands
from magsag.services.steps.tally import Tally
from magsag.services.steps.targets import Targets
from magsag.services.steps.turnstile import Turnstile


@dataclass(slots=True, eq=False)
class Leg:
    """What all runs of a tree share while this process drives them."""

    tree: Tree
    resumed: bool = False
    """an earlier leg has been here: child runs may be in the ledger"""
    stopping: bool = False
    """the process wants its legs back: nothing new starts, nothing is recorded as cancelled"""
    cancelled_by: str | None = None
    """who asked to cancel the tree"""
    expired: bool = False
    """its deadline is over: it ends as if it were cancelled, and has failed"""
    began: int = 0
    """when; a clock that steps back behind it is not believed"""
    strands: Strands = field(default_factory=Strands)

    def time(self, now: int) -> int:
        """The time that counts in this leg, by a clock that says `now`."""
        return max(now, self.began)


@dataclass(slots=True, eq=False)
class Scope:
    """A branch of a program: names its steps and knows whether it was given up."""

    prefix: str = ""
    above: "Scope | None" = None
    """the branch that it is in; of a child run's program the delegation that waits for it"""
    turnstile: Turnstile | None = None
    """where outcomes wait for their turn, when they are delivered one by one, in the order of the ledger"""
    depth: int = 0
    """how many branches of its program it is in"""
    given_up_at: int = 0
    """the place in the ledger's order where an earlier leg gave this branch up: what it was not told by then, it will
    never be told; 0: it was not"""
    cancelled: bool = False
    """given up by `ctx` in this leg: a race was lost, a sibling failed, the time is over"""
    stopped: bool = False
    """the program was dropped here; every later call is refused"""
    partial: bool = False
    """a step failed in it and the program went on by a written rule: skip, collect, fallback"""
    now: int = 0
    counters: dict[str, int] = field(default_factory=dict)

    def branch(self, prefix: str, turnstile: Turnstile | None = None, given_up_at: int = 0) -> "Scope":
        """A branch of this one."""
        if given_up_at and self.given_up_at:
            given_up_at = min(given_up_at, self.given_up_at)
        at = given_up_at or self.given_up_at
        return Scope(self.prefix + prefix, self, self.turnstile or turnstile, self.depth + 1, at, now=self.now)

    @property
    def is_given_up(self) -> bool:
        """Whether this branch, or one around it, was given up in this leg."""
        scope: Scope | None = self
        while scope is not None:
            if scope.cancelled:
                return True
            scope = scope.above
        return False

    def count(self, name: str) -> int:
        """The next number of that name in this branch, from 1."""
        number = self.counters[name] = self.counters.get(name, 0) + 1
        return number


@dataclass(slots=True, eq=False)
class Seat:
    """One run in a leg."""

    leg: Leg
    run: Run
    targets: Targets
    lineage: tuple[str, ...]
    """exact references of the programs above and of its own"""
    environment: str
    mode: str
    above: Scope | None = None
    """of a child run: the delegation that waits for it"""
    leave: Admission | None = None
    """of a root run whose program is limited: its leave to have begun, when it took it in this leg"""
    bounds: tuple[Bound, ...] = ()
    """the budgets that bind it: its own and those of the runs above it"""
    binding: Binding | None = None
    """the budgets that these limits were, when a step last asked"""
    recorded: int = 0
    """the order of the last fact that earlier legs have left"""
    partial: bool = False
    """its program went on although a step had failed"""
    tally: Tally | None = None
    """what it has done so far, once a rule has asked"""
    going: dict[StepId, str] = field(default_factory=dict)
    """steps that were let through and whose intent is on its way to the ledger, with what they act on"""
    stragglers: "set[asyncio.Task[Any]]" = field(default_factory=set)
    """tasks of branches that were given up: the run does not rest before they have ended"""
    reasons: list[ParkReason] = field(default_factory=list)
    """why the run cannot go on in this leg"""
    reached: set[StepId] = field(default_factory=set)
    """of a resumed run: the steps that its program has asked for in this leg"""

    def root(self) -> Scope:
        """The trunk of the program. In a branch that was given up, nothing goes beyond what is on record."""
        at = self.recorded if self.above is not None and self.above.given_up_at else 0
        return Scope(above=self.above, given_up_at=at)

    async def join(self) -> None:
        """Wait for the stragglers, whatever happens to the task meanwhile."""
        cancelled = False
        while self.stragglers:
            try:
                ended, self.stragglers = await asyncio.wait(self.stragglers)
                for task in ended:
                    if not task.cancelled():
                        task.exception()  # a branch that broke has lost its tree, which says why
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError

    def park(
        self,
        on: ParkedOn,
        step: StepId,
        reason: str,
        due: int | None = None,
        event: str | None = None,
        ticket: str | None = None,
        waits: int | None = None,
    ) -> None:
        """Note one reason; the program is dropped by `Stopped`."""
        self.reasons.append(ParkReason(on, step, reason, due, event, ticket=ticket, waits=waits))

    def given_up(self, scope: Scope) -> bool:
        """Whether work in this branch was cancelled on purpose: by `ctx`, above it, or for the whole tree."""
        return self.leg.cancelled_by is not None or self.leg.expired or scope.is_given_up


@frozen
class Ended:
    """How a run ended: its result, or the error, as it is recorded."""

    status: RunStatus
    output: bytes
