"""Performs an attempt's act under its timeout, here or as a child run. Only the gate calls this file."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from magsag.domain.effects import EFFECTFUL
from magsag.domain.errors import ErrorType, LeaseLost, StepFailed
from magsag.domain.verdicts import START
from magsag.ports.clock import Clock
from magsag.ports.ledger import Leases
from magsag.ports.means import Means
from magsag.ports.place import ActCall
from magsag.services.gate import acts
from magsag.services.gate.asking import answered
from magsag.services.gate.leaves import Leaves
from magsag.services.gate.outcomes import Outcomes
from magsag.services.gate.secrets import SecretDesk
from magsag.services.gate.throttling import Throttling
from magsag.services.gate.waiting import Waits
from magsag.services.recording.large import Values
from magsag.services.recording.masking import RESOLVED
from magsag.services.steps.attempt import Acted, Attempt, ChildPlace, Children
from magsag.services.steps.cleaning import cleaned
from magsag.services.steps.overseer import Overseer
from magsag.services.steps.records import RecordShelf
from magsag.services.steps.seat import Scope
from magsag.services.steps.target import ChildAct, QuestionAct, Target, WaitAct

T = TypeVar("T")
_LOOK_AGAIN: Final = 1_000_000
"""an intent older than this many microseconds: the process may have stood still, and another may drive the run"""


class Performing:
    """Acts for all runs of this process."""

    def __init__(
        self,
        outcomes: Outcomes,
        throttling: Throttling,
        leaves: Leaves,
        leases: Leases,
        values: Values,
        clock: Clock,
        step_seconds: float,
        secrets: SecretDesk,
        means: Means,
    ) -> None:
        """Without a place among the means acts are performed in this process."""
        self._outcomes = outcomes
        self._throttling = throttling
        self._leaves = leaves
        self._leases = leases
        self._values = values
        self._clock = clock
        self._shelf = RecordShelf(values, clock)
        self._waits = Waits(values, clock)
        self._step_seconds = step_seconds
        self._secrets = secrets
        self._means, self._place = means, means.place
        self._overseer = Overseer(step_seconds)
        self.children: Children | None = None
        self.limits: list[float] = []
        """the timeouts of the acts under way that declare one"""

    async def act(self, attempt: Attempt) -> Acted:
        """Perform. Raises StepFailed, Retryable, CancelledError, Stopped."""
        if attempt.id == START:
            return self._leaves.kept(attempt)
        if attempt.target.throttled is None:
            return await self._act(attempt)
        if attempt.admission is None and isinstance(attempt.target.act, ChildAct):
            self._throttling.take_up(attempt)
        return await self._throttling.watched(attempt, self._act(attempt))

    async def _act(self, attempt: Attempt) -> Acted:
        target = attempt.target
        if isinstance(target.act, ChildAct):
            return await self._delegate(attempt)
        if isinstance(target.act, WaitAct):
            return await self._wait(attempt, target.act)
        if isinstance(target.act, QuestionAct):
            return Acted(answered(attempt))
        if not attempt.started and (owed := attempt.seat.leg.tree.owed) is not None and not owed.done():
            await self._outcomes.caught_up(attempt, owed)
        attempt.performed = True
        scope = acts.ActScope(attempt, self._outcomes, self._shelf, self._means)
        act = self._placed(target.act, scope, attempt)
        if target.proposal.effect in EFFECTFUL:
            return Acted(await self._effect(act, attempt), records=scope.records)
        try:
            if target.timeout_seconds is None:
                result = await self._overseer.watched(act, attempt.target.proposal.target)
            else:
                result = await self._timed(act, target.timeout_seconds, attempt)
            return Acted(await cleaned(result) if RESOLVED else result)
        except asyncio.CancelledError:
            if attempt.given_up:
                self._outcomes.cancelled(attempt)
            raise

    async def _wait(self, attempt: Attempt, act: WaitAct) -> Acted:
        try:
            return Acted(await self._waits.over(attempt, act))
        except asyncio.CancelledError:
            if attempt.given_up:
                self._outcomes.cancelled(attempt)
            raise

    async def look_up(self, attempt: Attempt) -> object:
        """Ask a reconcilable skill whether it has acted. Raises StepFailed, Retryable."""
        assert attempt.target.lookup is not None
        if (missing := await self._secrets.hand(attempt, self._outcomes.cancelled)) is not None:
            raise missing
        scope = acts.LookupScope(attempt, self._outcomes, self._shelf, self._means)
        asked = self._placed(attempt.target.lookup, scope, attempt, is_lookup=True)
        return await cleaned(await self._timed(asked, self._limit(attempt.target), attempt))

    def _placed(
        self, act: acts.Performed, scope: acts.ActScope, attempt: Attempt, is_lookup: bool = False
    ) -> Coroutine[Any, Any, object]:
        if self._place is None:
            return acts.perform(act, attempt.value, scope)
        proposal, run = attempt.target.proposal, attempt.seat.run.id
        call = ActCall(run, attempt.id, attempt.number, proposal, attempt.key, attempt.value, is_lookup)
        return self._place.act(call, lambda: acts.perform(act, attempt.value, scope))

    async def _effect(self, act: Coroutine[Any, Any, Any], attempt: Attempt) -> object:
        """An act with an effect is not broken off: it has its time, and its real outcome is recorded."""
        try:
            self._require_lease(attempt)
        except BaseException:
            act.close()
            raise
        task = asyncio.ensure_future(_masked(self._timed(act, self._limit(attempt.target), attempt)))
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                attempt.cancelled = True
        if task.cancelled():
            raise StepFailed(ErrorType.RAISED, "the act cancelled itself")
        return task.result()

    def _require_lease(self, attempt: Attempt) -> None:
        """Whoever stood still between the intent and the act must not act late. Raises LeaseLost.

        A clock that was set back says nothing of how long that was: then the lease is looked at too.
        """
        tree = attempt.seat.leg.tree
        is_fresh = 0 <= self._clock.now() - attempt.began <= _LOOK_AGAIN
        if not is_fresh and not self._leases.holds(tree.lease):
            raise LeaseLost(f"run {tree.root}: another process drives it now")

    async def _delegate(self, attempt: Attempt) -> Acted:
        """Drive the child run in this leg. Giving it up at its timeout is ours to say, so the flag comes first."""
        assert self.children is not None
        branch = Scope(above=attempt.scope, given_up_at=attempt.scope.given_up_at)
        place = ChildPlace(attempt.seat, branch, attempt.id, attempt.target, attempt.number)
        task, limit = asyncio.current_task(), attempt.target.timeout_seconds
        left = (attempt.seat.run.steps[attempt.id].act_by - attempt.seat.leg.time(self._clock.now())) / 1e6
        if limit is not None and left <= 0:
            branch.cancelled = await self.children.expire(place)
            if branch.cancelled:
                raise StepFailed(ErrorType.TIMEOUT, f"{attempt.target.name} did not end within {limit:g} s")
            limit = None
        timer = asyncio.get_running_loop().call_later(left, _expire, branch, task) if limit and task else None
        try:
            child = self.children.run(place, attempt.acted)
            end = await (child if limit is None else self._limited(child, limit))
        except asyncio.CancelledError:
            if attempt.given_up:
                self._outcomes.cancelled(attempt)
            elif branch.cancelled and task is not None and task.uncancel() == 0:
                raise StepFailed(ErrorType.TIMEOUT, f"{attempt.target.name} did not end within {limit:g} s") from None
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if end.error is not None:
            raise end.error
        return Acted(self._values.decode(attempt.seat.leg.tree, end.output), end.head, end.partial or None)

    async def _timed(self, act: Coroutine[Any, Any, Any], limit: float, attempt: Attempt) -> Any:
        try:
            async with asyncio.timeout(limit):
                declared = attempt.target.timeout_seconds
                return await (act if declared is None else self._limited(act, declared))
        except TimeoutError as error:
            name = attempt.target.proposal.target
            raise StepFailed(ErrorType.TIMEOUT, f"{name} did not end within {limit:g} s") from error

    async def _limited(self, act: Coroutine[Any, Any, T], seconds: float) -> T:
        """Let it be known how long the loop may be blocked at most while this act is under way."""
        self.limits.append(seconds)
        try:
            return await act
        finally:
            self.limits.remove(seconds)

    def _limit(self, target: Target) -> float:
        return target.timeout_seconds or self._step_seconds


async def _masked(act: Coroutine[Any, Any, Any]) -> Any:
    """Beyond the time of the act, which is over by then."""
    result = await act
    return await cleaned(result) if RESOLVED else result


def _expire(branch: Scope, task: "asyncio.Task[Any]") -> None:
    branch.cancelled = True
    task.cancel()
