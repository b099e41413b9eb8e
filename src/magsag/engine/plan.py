"""The planner of flows: which steps start, are skipped or fail by themselves, given the results so far.

Pure: it holds ids, counts and outputs, and evaluates expressions. It does not run steps, judge them, repeat
them or record them; the caller does, and hands every result back with `settle`. Each step is looked at once
when what it waits for has landed, so a flow of n steps costs n, however the results come in.

A result *lands* when readers may see it: at once for a step that succeeded or was skipped; for a failed
step under `skip` as absent; for one with a fallback when the fallback has landed, with its output.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final

from magsag.domain.condition import ConditionFailed
from magsag.domain.errors import Broken, ErrorType
from magsag.domain.facts import StepStatus
from magsag.domain.graph import Graph, Node
from magsag.domain.manifests.flow import Fallback
from magsag.engine.decisions import (
    Abort,
    Decision,
    Error,
    Fail,
    Finish,
    Skip,
    Start,
    StartEach,
    StepResult,
    error_of,
)
from magsag.engine.inputs import each_result, input_of, start_each

__all__ = [
    "Abort",
    "Decision",
    "Error",
    "Fail",
    "Finish",
    "Planner",
    "Skip",
    "Start",
    "StartEach",
    "StepResult",
    "each_result",
    "loop_done",
]


class Planner:
    """Plans one flow, or one round of a loop's body.

    `names` holds what expressions may read besides `steps`: input, run, env, time, previous; under `steps`
    it may hold the outputs of the level around a loop. `select`: only these steps run; another one is
    skipped unless its result was settled before the first `next`.
    """

    def __init__(self, graph: Graph, names: Mapping[str, object], select: frozenset[str] | None = None) -> None:
        around = names.get("steps")
        self._graph = graph
        self._select = select
        self.steps: Final[dict[str, object]] = dict(around) if isinstance(around, dict) else {}
        """the outputs that expressions see; a loop's body is planned with them in its `names`"""
        self.names: Final[Mapping[str, object]] = {**names, "steps": self.steps}
        self._tracks = {id: _Track(index, node) for index, (id, node) in enumerate(graph.nodes.items())}
        self._ids = tuple(graph.nodes)
        self._ready: list[int] = []
        self._decided: list[Decision] = []
        self._open = len(self._tracks)
        self._running = 0
        self._partial = False
        self._begun = self._over = False
        for id, node in graph.nodes.items():
            for other in node.after:
                self._tracks[other].readers.append(id)

    @property
    def outputs(self) -> dict[str, object]:
        """The outputs of this level's own steps by id, those without one left out."""
        return {id: self.steps[id] for id, track in self._tracks.items() if track.present}

    def settle(self, id: str, result: StepResult) -> None:
        """Take note of how a step ended. A step that has ended keeps its first result."""
        track = self._tracks[id]
        if track.result is None:
            self._end(track, result)

    def next(self) -> list[Decision]:
        """All that follows from the results so far and was not given before, in the order of the file."""
        if not self._begun:
            self._begin()
        while self._ready and not self._over:
            self._consider(self._tracks[self._ids[heappop(self._ready)]])
        if not self._over and self._open == 0:
            self._finish()
        decided, self._decided = self._decided, []
        if not decided and not self._over and self._running == 0:
            stuck = ", ".join(id for id, track in self._tracks.items() if track.result is None)
            raise Broken(f"the steps {stuck} wait for one another: `catalog validate` should have refused this flow")
        return decided

    def _begin(self) -> None:
        self._begun = True
        for id, track in self._tracks.items():
            if self._select is not None and id not in self._select and track.result is None:
                self._skip(track, "it was not selected")
            elif track.waits == 0:
                heappush(self._ready, track.index)

    def _consider(self, track: "_Track") -> None:
        if track.started or track.result is not None or (track.node.fallback_of and not track.stands_for):
            return
        node = track.node
        absent = [id for id in node.after - node.guarded if not self._tracks[id].present]
        if absent:
            first = min(absent, key=lambda id: self._tracks[id].index)
            self._skip(track, f"it reads steps.{first}, which has no output")
            return
        try:
            self._propose(track)
        except ConditionFailed as failure:
            message = str(failure)
            self._decided.append(Fail(node.id, ErrorType.EXPRESSION, message))
            error = error_of(ErrorType.EXPRESSION, message)
            self._end(track, StepResult(StepStatus.FAILED, error=error))

    def _propose(self, track: "_Track") -> None:
        node, names = track.node, self.names
        if node.when is not None and not node.when.holds(names):
            self._skip(track, f"when is false: {node.when.source}")
            return
        start: Start | StartEach
        if node.loop is not None:
            start = Start(node, None)
        elif node.for_each is not None:
            start = start_each(node, node.for_each, names)
        else:
            start = Start(node, input_of(node, names, names.get("input")))
        track.started = True
        self._running += 1
        self._decided.append(start)

    def _skip(self, track: "_Track", why: str) -> None:
        self._decided.append(Skip(track.node.id, why))
        self._end(track, StepResult(StepStatus.SKIPPED))

    def _end(self, track: "_Track", result: StepResult) -> None:
        track.result = result
        self._open -= 1
        self._running -= track.started
        on_error = track.node.step.on_error
        self._partial = self._partial or result.partial
        if result.status is StepStatus.SUCCEEDED:
            self.steps[track.node.id] = result.output
            self._land(track, present=True)
        elif result.status is StepStatus.SKIPPED:
            self._land(track, present=False)
        elif result.status is StepStatus.FAILED and on_error == "skip":
            self._partial = True
            self._land(track, present=False)
        elif result.status is StepStatus.FAILED and isinstance(on_error, Fallback):
            self._partial = True
            self._call(self._tracks[on_error.fallback], track)
        elif not self._over:
            self._over = True
            self._decided.append(Abort(track.node.id, result.error or error_of(ErrorType.RAISED, "it was cancelled")))

    def _call(self, fallback: "_Track", failed: "_Track") -> None:
        """Let the fallback run in the failed step's place; it runs once, whoever calls it."""
        fallback.stands_for.append(failed)
        if fallback.landed:
            self._adopt(failed, fallback)
        elif fallback.waits == 0:
            heappush(self._ready, fallback.index)

    def _adopt(self, failed: "_Track", fallback: "_Track") -> None:
        if fallback.present:
            self.steps[failed.node.id] = self.steps[fallback.node.id]
        self._land(failed, present=fallback.present)

    def _land(self, track: "_Track", present: bool) -> None:
        track.landed, track.present = True, present
        for id in track.readers:
            reader = self._tracks[id]
            reader.waits -= 1
            if reader.waits == 0:
                heappush(self._ready, reader.index)
        for failed in track.stands_for:
            self._adopt(failed, track)
        if isinstance(on_error := track.node.step.on_error, Fallback):
            self._spare(self._tracks[on_error.fallback])

    def _spare(self, fallback: "_Track") -> None:
        """Skip a fallback when nothing is left that could call it."""
        fallback.callers -= 1
        if fallback.callers == 0 and not fallback.stands_for and fallback.result is None:
            self._skip(fallback, "nothing failed that it stands for")

    @property
    def _leaves_out(self) -> bool:
        """Whether a step that was not selected has no output: then the flow's own may not be there either."""
        return self._select is not None and any(
            not track.present for id, track in self._tracks.items() if id not in self._select
        )

    def _finish(self) -> None:
        self._over = True
        try:
            output = self._graph.output.value(self.names) if self._graph.output is not None else self.outputs
        except ConditionFailed as failure:
            if not self._leaves_out:
                self._decided.append(Abort(None, error_of(ErrorType.EXPRESSION, f"output: {failure}")))
                return
            output = self.outputs
        self._decided.append(Finish(output, self._partial))


def loop_done(node: Node, names: Mapping[str, object], round_outputs: Mapping[str, object], round: int) -> bool:
    """Say whether a loop ends after this round, the first being 1. Raises ConditionFailed.

    `names` are those of the level around the loop, `steps` included.
    """
    if node.loop is None or node.until is None:
        raise Broken(f"step {node.id} is no loop")
    around = names.get("steps")
    steps = {**(around if isinstance(around, dict) else {}), **round_outputs}
    return round >= node.loop.max_rounds or node.until.holds({**names, "steps": steps})


@dataclass(slots=True, eq=False)
class _Track:
    """Where one step is."""

    index: int
    node: Node
    waits: int = field(init=False)
    """how many steps that it waits for have not landed"""
    readers: list[str] = field(default_factory=list)
    stands_for: list["_Track"] = field(default_factory=list)
    """failed steps in whose place it runs, in the order in which they failed"""
    callers: int = field(init=False)
    """how many steps that may call it as their fallback have not landed"""
    started: bool = False
    landed: bool = False
    present: bool = False
    result: StepResult | None = None

    def __post_init__(self) -> None:
        self.waits, self.callers = len(self.node.after), len(self.node.fallback_of)
