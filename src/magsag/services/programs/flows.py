"""Runs a flow: carries out what the planner decides, every step through the gate.

Step ids: `send`, items of a `for_each` step `advise.3`, inner steps of a loop `review.2/draft` (round 2).
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any, Final, assert_never

from magsag.domain.condition import ConditionFailed
from magsag.domain.errors import Broken, ErrorType, StepFailed, Stopped
from magsag.domain.facts import StepStatus
from magsag.domain.graph import Graph, Node
from magsag.domain.ids import StepId
from magsag.engine.decisions import Abort, Error, Fail, Finish, Skip, Start, StartEach, StepResult
from magsag.engine.inputs import each_result
from magsag.engine.plan import Planner, loop_done
from magsag.services.gate.gate import Gate
from magsag.services.programs.crew import Crew, End
from magsag.services.steps.seat import Scope, Seat
from magsag.services.steps.strands import Strands
from magsag.services.steps.target import Target, for_step

CONCURRENCY: Final = 10
"""items of a `for_each` step at once, when the step does not say"""


class FlowProgram:
    """One flow in one leg."""

    def __init__(self, gate: Gate, seat: Seat) -> None:
        self._gate = gate
        self._seat = seat
        self._root = seat.root()

    async def run(
        self,
        graph: Graph,
        names: dict[str, object],
        select: frozenset[str] | None = None,
        given: dict[str, StepResult] | None = None,
    ) -> object:
        """The flow's output. Raises StepFailed, or Stopped when it does not go on in this leg."""
        planner = Planner(graph, names, select)
        for id, result in (given or {}).items():
            planner.settle(id, result)
        finish = await self._level(planner, "")
        self._seat.partial = self._seat.partial or finish.partial
        return finish.output

    async def _level(self, planner: Planner, prefix: str) -> Finish:
        """Plan and carry out until this level has ended."""
        level = _Level(self._seat.leg.strands)
        try:
            while True:
                starts = self._noted(planner, level, prefix)
                if level.finish is not None:
                    return level.finish
                if len(starts) == 1 and not level.running:
                    planner.settle(starts[0].node.id, await self._carry_out(planner, starts[0], prefix))
                    continue
                for start in starts:
                    level.spawn(start.node.id, self._carry_out(planner, start, prefix))
                for id, result in await level.ended():
                    planner.settle(id, result)
        finally:
            await level.give_up()

    def _noted(self, planner: Planner, level: "_Level", prefix: str) -> list[Start | StartEach]:
        """Put skips and failed expressions on record; what is to be started."""
        starts: list[Start | StartEach] = []
        for decision in planner.next() if level.abort is None else []:
            match decision:
                case Start() | StartEach():
                    starts.append(decision)
                case Skip(id, why):
                    self._gate.notes.skip(self._seat, StepId(prefix + id), why)
                case Fail(id, type, message):
                    self._gate.notes.fail(self._seat, StepId(prefix + id), StepFailed(type, message))
                case Abort():
                    level.abort = decision
                case Finish():
                    level.finish = decision
                case _:
                    assert_never(decision)
        if level.abort is not None:
            if not level.running:
                raise _aborted(level.abort, prefix)
            return []
        return starts

    async def _carry_out(self, planner: Planner, start: Start | StartEach, prefix: str) -> StepResult:
        node = start.node
        try:
            if isinstance(start, StartEach):
                return await self._each(planner, start, prefix)
            if node.loop is not None:
                return await self._loop(planner, node, prefix)
            scope = self._root.branch(prefix)
            target = self._target(node)
            told = await self._gate.step(self._seat, scope, StepId(prefix + node.id), target, _input(node, start.input))
            return StepResult(StepStatus.SUCCEEDED, told.value, partial=told.partial)
        except StepFailed as error:
            return StepResult(StepStatus.FAILED, error=_document(error))
        except Broken as error:
            raise Stopped(str(error)) from error

    async def _each(self, planner: Planner, start: StartEach, prefix: str) -> StepResult:
        node = start.node
        indexes = [index for index in range(len(start.inputs)) if index not in start.refused]
        collect = node.step.on_error == "collect"
        crew = Crew(
            self._seat.leg.strands,
            {},
            self._items(node, start, indexes, prefix),
            min(node.step.concurrency or CONCURRENCY, len(indexes)),
            (lambda _, end: False) if collect else (lambda _, end: end.error is not None),
        )
        ends = await crew.run() if indexes else {}
        self._seat.stragglers |= crew.stragglers
        if any(end.stopped for end in ends.values()):
            raise Stopped("an item does not go on in this leg")
        outcomes = {indexes[at]: _result(end) for at, end in ends.items() if not end.cancelled}
        return each_result(start, outcomes)

    def _items(
        self, node: Node, start: StartEach, indexes: list[int], prefix: str
    ) -> Iterator[tuple[Scope, Callable[[], Coroutine[Any, Any, Any]]]]:
        target = self._target(node)
        for index in indexes:
            scope = self._root.branch(prefix)
            id = StepId(f"{prefix}{node.id}.{index}")
            yield scope, partial(self._gate.step, self._seat, scope, id, target, _input(node, start.inputs[index]))

    async def _loop(self, planner: Planner, node: Node, prefix: str) -> StepResult:
        """Round by round; each round plans the body anew."""
        if node.body is None:
            raise Broken(f"step {node.id} is no loop")
        previous: object = None
        number, partial_rounds = 0, False
        while True:
            number += 1
            inner = Planner(node.body, {**planner.names, "previous": previous})
            finish = await self._level(inner, f"{prefix}{node.id}.{number}/")
            partial_rounds = partial_rounds or finish.partial
            try:
                done = loop_done(node, planner.names, inner.outputs, number)
            except ConditionFailed as failure:
                raise StepFailed(ErrorType.EXPRESSION, f"until: {failure}", step=prefix + node.id) from failure
            if done:
                return StepResult(StepStatus.SUCCEEDED, inner.outputs, partial=partial_rounds)
            previous = inner.outputs

    def _target(self, node: Node) -> Target:
        step, targets = node.step, self._seat.targets
        if step.uses is None:
            return for_step(targets.shell(step), step)
        if step.uses.startswith(("skill:", "magsag://skill.")):
            return for_step(targets.declared(targets.skill(step.uses), step.effect), step)
        return for_step(targets.child(step.uses), step)


class _Level:
    """What runs at one level of a flow."""

    def __init__(self, strands: Strands) -> None:
        self._strands = strands
        self._rests = False
        self.running: dict[str, asyncio.Task[None]] = {}
        self.abort: Abort | None = None
        self.finish: Finish | None = None
        self._ended: deque[tuple[str, StepResult]] = deque()
        self._wake = asyncio.Event()
        self._stopped: Stopped | None = None
        self._broken: BaseException | None = None

    def spawn(self, id: str, work: Coroutine[Any, Any, StepResult]) -> None:
        self._strands.begin()
        self.running[id] = asyncio.ensure_future(self._one(id, work))

    async def ended(self) -> list[tuple[str, StepResult]]:
        """Wait until a step has ended; Stopped once nothing runs any more and a step cannot go on."""
        while not self._ended:
            if self._broken is not None:
                raise self._broken
            if not self.running and self._stopped is not None:
                raise self._stopped
            self._wake.clear()
            self._rests = True
            self._strands.end()
            try:
                await self._wake.wait()
            finally:
                self._rouse()
        ended = list(self._ended)
        self._ended.clear()
        return ended

    async def give_up(self) -> None:
        """Cancel what still runs, and wait for it: an act with an effect ends as it does."""
        tasks = list(self.running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _one(self, id: str, work: Coroutine[Any, Any, StepResult]) -> None:
        try:
            self._ended.append((id, await work))
        except Stopped as stopped:
            self._stopped = stopped
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._broken = error
        finally:
            self.running.pop(id, None)
            self._rouse()
            self._wake.set()
            self._strands.end()

    def _rouse(self) -> None:
        """Whoever waits for this level works again."""
        if self._rests:
            self._rests = False
            self._strands.begin()


def _input(node: Node, value: object) -> object:
    return {"run": value} if node.step.run is not None else value


def _result(end: End) -> StepResult:
    if end.error is None:
        return StepResult(StepStatus.SUCCEEDED, end.value.value, partial=end.value.partial)
    if isinstance(end.error, StepFailed):
        error = end.error
        listed = {"type": error.type.value, "message": error.message, "details": error.details}
        return StepResult(StepStatus.FAILED, error=listed)
    raise end.error


def _document(error: StepFailed) -> Error:
    return {"type": error.type.value, "message": error.message, "details": error.details, "step": error.step}


def _aborted(abort: Abort, prefix: str) -> StepFailed:
    error = abort.error
    details = error.get("details")
    inside = error.get("step")
    step = str(inside) if inside else prefix + abort.step if abort.step else None
    return StepFailed(
        str(error.get("type")), str(error.get("message")), details if isinstance(details, dict) else {}, step
    )
