"""Branches side by side: a bounded crew of tasks takes one branch after the other. No task per branch.

A branch never raises out of its task; it ends as an End. Who gives the crew up flags the branches first, so
that the gate knows a cancellation on purpose from one that comes from outside. What a branch makes of being
cancelled or dropped is not believed: swallowing it changes nothing.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from inspect import CORO_CREATED, getcoroutinestate
from types import CoroutineType
from typing import Any

from magsag.domain.errors import Broken, ErrorType, StepFailed, Stopped
from magsag.domain.frozen import frozen
from magsag.services.steps.raised import raised
from magsag.services.steps.seat import Scope
from magsag.services.steps.strands import Strands

Start = Callable[[], Coroutine[Any, Any, Any]]


@frozen
class End:
    """How a branch ended: with a value, an error, or not in this leg."""

    value: Any = None
    error: Exception | None = None
    stopped: bool = False
    cancelled: bool = False
    partial: bool = False
    """something in it failed, and it went on by a written rule"""


class Crew:
    """Runs branches in tasks of its own; `scopes` tells the context which branch a task is in."""

    def __init__(
        self,
        strands: Strands,
        scopes: dict["asyncio.Task[Any]", Scope],
        branches: Iterator[tuple[Scope, Start]],
        bound: int,
        until: Callable[[int, End], bool],
    ) -> None:
        self._strands = strands
        self._scopes = scopes
        self._branches = enumerate(branches)
        self._until = until
        self._active: dict[int, tuple[Scope, asyncio.Task[Any]]] = {}
        self._over = False
        self._given_up = False
        self._rests = False
        self._bound = bound
        self._left = 0
        self._woken: asyncio.Future[None] | None = None
        self.ends: dict[int, End] = {}
        self.stragglers: set[asyncio.Task[Any]] = set()
        """tasks of branches that were given up and still have an act with an effect to bring to its end"""
        self.latest = 0
        """the latest time that a branch has seen, in microseconds since 1970"""

    async def run(self) -> dict[int, End]:
        """Run until all branches have ended, or `until(index, end)` is true: then the rest are given up."""
        loop = asyncio.get_running_loop()
        workers = [loop.create_task(self._work()) for _ in range(self._bound)]
        self._left = len(workers)
        for worker in workers:
            worker.add_done_callback(self._ended)
        outer: BaseException | None = None
        self._strands.begin(len(workers))
        self._rests = True
        self._strands.end()
        while self._left and (outer is not None or not self._given_up):
            self._woken = loop.create_future()
            try:
                await self._woken
            except asyncio.CancelledError as error:
                outer, self._over = error, True
                for worker in workers:
                    worker.cancel()
        self._rouse()
        if outer is not None:
            raise outer
        for worker in workers:
            if worker.done() and not worker.cancelled() and (broken := worker.exception()) is not None:
                raise broken
        self.stragglers = {worker for worker in workers if not worker.done()}
        return self.ends

    def _ended(self, _: "asyncio.Task[Any]") -> None:
        self._left -= 1
        if self._left == 0:
            self._wake()
        self._strands.end()

    def _wake(self) -> None:
        self._rouse()
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def _rouse(self) -> None:
        """Whoever waits for this crew works again."""
        if self._rests:
            self._rests = False
            self._strands.begin()

    async def _work(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            for index, (scope, start) in self._branches:
                if self._over or self._strands.is_over:
                    return
                self._scopes[task] = scope
                self._active[index] = scope, task
                end = self.ends[index] = await _branch(start, scope, task)
                del self._active[index]
                self.latest = max(self.latest, scope.now)
                if self._until(index, end):
                    self._give_up()
        finally:
            self._scopes.pop(task, None)

    def _give_up(self) -> None:
        self._over = self._given_up = True
        self._wake()
        own = asyncio.current_task()
        for scope, task in self._active.values():
            if task is not own:
                scope.cancelled = True
                task.cancel()


async def _branch(start: Start, scope: Scope, task: "asyncio.Task[Any]") -> End:
    try:
        value = await start()
        end = End(value, partial=scope.partial)
    except (Stopped, Broken):
        end = End(stopped=True)
    except asyncio.CancelledError:
        end = End(error=StepFailed(ErrorType.RAISED, "the branch was cancelled by something other than ctx"))
    except Exception as error:
        end = End(error=error)
    if scope.cancelled:
        return End(cancelled=True)
    if task.cancelling():
        raise asyncio.CancelledError
    return End(stopped=True) if scope.stopped else end


def close_unused(calls: Iterable[Any]) -> None:
    """Close calls that never began: they would warn when they are collected."""
    for call in calls:
        if isinstance(call, CoroutineType) and getcoroutinestate(call) == CORO_CREATED:
            call.close()


def as_step_failed(error: Exception) -> StepFailed:
    """What `on_error="collect"` lists: a failed step, or the branch's own exception as `raised`."""
    return error if isinstance(error, StepFailed) else raised(error)
