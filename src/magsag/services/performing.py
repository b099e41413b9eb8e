"""Performs an attempt's act under its timeout, here or as a child run. Only the gate calls this file."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from magsag.domain.effects import EFFECTFUL
from magsag.domain.errors import ErrorType, StepFailed
from magsag.services import acts
from magsag.services.attempt import Attempt, ChildPlace, Children
from magsag.services.large import Values
from magsag.services.outcomes import Outcomes
from magsag.services.overseer import Overseer
from magsag.services.seat import Scope
from magsag.services.targets import ChildAct, Target


class Performing:
    """Acts for all runs of this process."""

    def __init__(self, outcomes: Outcomes, values: Values, step_seconds: float) -> None:
        self._outcomes = outcomes
        self._values = values
        self._step_seconds = step_seconds
        self._overseer = Overseer(step_seconds)
        self.children: Children | None = None

    async def act(self, attempt: Attempt) -> tuple[Any, str | None]:
        """Perform; (result, head of the child run). Raises StepFailed, Retryable, CancelledError, Stopped."""
        target = attempt.target
        if isinstance(target.act, ChildAct):
            return await self._delegate(attempt)
        act = acts.perform(target.act, attempt.value, acts.ActScope(attempt, self._outcomes))
        if target.proposal.effect in EFFECTFUL:
            return await _shielded(self._timed(act, self._limit(target), attempt), attempt), None
        try:
            if target.timeout_seconds is None:
                return await self._overseer.watched(act, attempt.target.proposal.target), None
            return await self._timed(act, target.timeout_seconds, attempt), None
        except asyncio.CancelledError:
            if attempt.seat.given_up(attempt.scope):
                self._outcomes.cancelled(attempt)
            raise

    async def _delegate(self, attempt: Attempt) -> tuple[Any, str]:
        """Drive the child run in this leg. Giving it up at its timeout is ours to say, so the flag comes first."""
        assert self.children is not None
        branch = Scope()
        place = ChildPlace(attempt.seat, attempt.scope, branch, attempt.id, attempt.target, attempt.number)
        task, limit = asyncio.current_task(), attempt.target.timeout_seconds
        timer = asyncio.get_running_loop().call_later(limit, _expire, branch, task) if limit and task else None
        try:
            end = await self.children.run(place, attempt.data)
        except asyncio.CancelledError:
            if attempt.seat.given_up(attempt.scope):
                self._outcomes.cancelled(attempt)
            elif branch.cancelled and task is not None:
                task.uncancel()
                raise StepFailed(ErrorType.TIMEOUT, f"{attempt.target.name} did not end within {limit:g} s") from None
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if end.error is not None:
            raise end.error
        return self._values.decode(attempt.seat.leg.tree, end.output), end.head

    async def _timed(self, act: Coroutine[Any, Any, Any], limit: float, attempt: Attempt) -> Any:
        try:
            async with asyncio.timeout(limit):
                return await act
        except TimeoutError as error:
            name = attempt.target.proposal.target
            raise StepFailed(ErrorType.TIMEOUT, f"{name} did not end within {limit:g} s") from error

    def _limit(self, target: Target) -> float:
        return target.timeout_seconds or self._step_seconds


def _expire(branch: Scope, task: "asyncio.Task[Any]") -> None:
    branch.cancelled = True
    task.cancel()


async def _shielded(act: Coroutine[Any, Any, Any], attempt: Attempt) -> object:
    """An act with an effect is not broken off: it has its time, and its real outcome is recorded."""
    task = asyncio.ensure_future(act)
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            attempt.cancelled = True
    if task.cancelled():
        raise StepFailed(ErrorType.RAISED, "the act cancelled itself")
    return task.result()
