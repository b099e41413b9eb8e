"""How the replay of one run goes: what was asked, what waits, in which order outcomes are handed out, what differs.

Outcomes pass in the order of the ledger, one per settled turn of the loop, so that a program sees the order that it
saw live, whatever it runs side by side.
"""

import asyncio
import re
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Final, NoReturn

from magsag.domain.facts import ParkedOn, ParkReason, RunStatus, StepStatus
from magsag.domain.ids import StepId
from magsag.domain.values import decode
from magsag.engine.closing import has_expired
from magsag.engine.run import Run, Step
from magsag.services.past.difference import Difference, What

_TURNS: Final = 12
_TURNS_PER_BRANCH: Final = 8
"""turns of the loop until the end of a branch has woken what waits for it, with room to spare"""
_NOTE: Final = re.compile(r"(.*/)?(gather|map|race|timeout)\.(\d+)", re.DOTALL)
_EDGES: Final = frozenset({RunStatus.RUNNING, RunStatus.CANCELLED})
"""runs that were broken off at any point: going beyond their record is no difference"""
_WAITS: Final = frozenset({ParkedOn.TIME, ParkedOn.EVENT, ParkedOn.CHILD})


@dataclass(slots=True, eq=False)
class Course:
    """One run, replayed once."""

    run: Run
    recorded: dict[StepId, Step]
    """the steps as the ledger has them; `run` may grow while it is replayed"""
    asked: set[StepId] = field(default_factory=set)
    first: Difference | None = None
    beyond: tuple[StepId, str] | None = None
    """the first step that waits for an outcome which the record does not hold, and what is to be said of it"""
    waits: dict[StepId, ParkReason] = field(default_factory=dict)
    """what the run is parked on, where only time, a signal or a detached child run is waited for"""
    expired: bool = False
    """its deadline broke it off"""
    blocked: int = 0
    """how many calls wait for being given up"""
    moves: int = 0
    """grows with whatever happens"""
    _waiting: list[tuple[int, int, asyncio.Future[None]]] = field(default_factory=list)
    _turning: bool = False
    _deepest: int = 0

    @classmethod
    def of(cls, run: Run, replica: Run) -> "Course":
        """The replay of a run, on a copy that may grow."""
        waits = {reason.step: reason for reason in run.reasons if reason.on in _WAITS}
        return cls(replica, dict(run.steps), waits=waits, expired=has_expired(run))

    @property
    def is_open(self) -> bool:
        """Whether the run was broken off, so that its record ends anywhere."""
        return self.run.status in _EDGES or self.expired

    @property
    def is_still(self) -> bool:
        """Whether nothing can happen any more but that somebody gives up."""
        return self.blocked > 0 and not self._turning and not self._waiting

    def ask(self, id: StepId) -> Step | None:
        """A step comes up; what the record has of it."""
        self.moves += 1
        self.asked.add(id)
        return self.recorded.get(id)

    def differ(self, step: StepId | None, what: What, said: str, pointer: str | None = None) -> None:
        """Note a difference; the first counts."""
        self.first = self.first or Difference(self.run.id, step, what, said, pointer)

    def missing(self) -> Step | None:
        """The first recorded step that nobody asked for, though nothing gave it up."""
        lost = _Lost(self.recorded)
        left = (step for id, step in self.recorded.items() if id not in self.asked)
        return next((step for step in left if step.status is not StepStatus.CANCELLED and not lost.covers(step)), None)

    async def block(self) -> NoReturn:
        """Wait for being given up."""
        self.moves += 1
        self.blocked += 1
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.moves += 1
            self.blocked -= 1
        raise AssertionError("nothing ends this wait but being cancelled")

    async def go_beyond(self, step: StepId, said: str) -> NoReturn:
        """The record holds no outcome for this step: it waits until it is given up, as it may have been live."""
        self.beyond = self.beyond or (step, said)
        await self.block()

    async def turn(self, step: Step) -> None:
        """Wait until this outcome's turn has come."""
        passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._deepest = max(self._deepest, step.id.count("/"))
        heappush(self._waiting, (step.order, self.moves, passed))
        self.moves += 1
        if not self._turning:
            self._turning = True
            self._settle(self._turns())
        await passed

    def _turns(self) -> int:
        return _TURNS + _TURNS_PER_BRANCH * self._deepest

    def _settle(self, left: int) -> None:
        loop = asyncio.get_running_loop()
        if left:
            loop.call_soon(self._settle, left - 1)
            return
        self.moves += 1
        while self._waiting:
            _, _, passed = heappop(self._waiting)
            if not passed.done():
                passed.set_result(None)
                loop.call_soon(self._settle, self._turns())
                return
        self._turning = False


class _Lost:
    """Branches that the record has given up: what a replay does not reach there is no difference."""

    def __init__(self, steps: dict[StepId, Step]) -> None:
        self._rules = [rule for step in steps.values() if (rule := _rule(step)) is not None]

    def covers(self, step: Step) -> bool:
        for start, kept in self._rules:
            if step.id.startswith(start):
                index = step.id[len(start) :].partition("/")[0]
                if kept is None or index != kept:
                    return True
        return False


def _rule(step: Step) -> tuple[str, str | None] | None:
    """How the ids of the branches begin, and which of them was not given up."""
    match = _NOTE.fullmatch(step.id)
    if match is None or step.proposal is None or step.proposal.call != match[2] or step.output is None:
        return None
    prefix, verb, number = match[1] or "", match[2], match[3]
    said: Any = decode(step.output)
    value = said["decided"] if isinstance(said, dict) else said
    if verb == "timeout":
        return (f"{prefix}t{number}/", None) if value is True else None
    return f"{prefix}{verb[0]}{number}.", str(value)
