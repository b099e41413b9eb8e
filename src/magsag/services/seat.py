"""Where a run sits in a leg: its state, its tree, what it may call, and why it cannot go on."""

from dataclasses import dataclass, field

from magsag.domain.facts import ParkedOn, ParkReason, RunStatus
from magsag.domain.ids import StepId
from magsag.engine.run import Run
from magsag.services.recorder import Tree
from magsag.services.targets import Targets


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


@dataclass(slots=True, eq=False)
class Scope:
    """A branch of a program: names its steps and knows whether it was given up."""

    prefix: str = ""
    ordered: bool = False
    """outcomes are delivered one by one, in the order of the ledger"""
    cancelled: bool = False
    """given up by `ctx` itself: a race was lost, a sibling failed, the time is over"""
    now: int = 0
    stopped: bool = False
    """the program was dropped here; every later call is refused"""
    counters: dict[str, int] = field(default_factory=dict)

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
    parent: "tuple[Seat, Scope] | None" = None
    """the run above and the branch of it that waits for this one"""
    branches: tuple[Scope, ...] = ()
    """the delegation that this run came from"""
    partial: bool = False
    """a step failed and the program went on by a written rule: skip, collect, fallback"""
    reasons: list[ParkReason] = field(default_factory=list)
    """why the run cannot go on in this leg"""

    def park(self, on: ParkedOn, step: StepId, reason: str) -> None:
        """Note one reason; the program is dropped by `Stopped`."""
        self.reasons.append(ParkReason(on, step, reason))

    def given_up(self, scope: Scope) -> bool:
        """Whether work in this branch was cancelled on purpose: by `ctx`, above it, or for the whole tree."""
        if scope.cancelled or self.leg.cancelled_by is not None:
            return True
        return any(branch.cancelled for branch in self.branches) or (
            self.parent is not None and self.parent[0].given_up(self.parent[1])
        )


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: its result, or the error, as it is recorded."""

    status: RunStatus
    output: bytes
