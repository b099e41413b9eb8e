"""What an earlier run of a flow gives for steps that are left out now: their outputs, as far as they are on record.

The items of a `for_each` step and the rounds of a loop are put together again as the flow did it. A run that
itself left steps out gives what the run gave that it continued.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from magsag.domain.facts import RunStatus, StepStatus
from magsag.domain.graph import Graph, Node
from magsag.domain.ids import RunId, StepId
from magsag.domain.verdicts import is_not_performed
from magsag.engine.decisions import StepResult
from magsag.engine.run import Run, Step

Read = Callable[[RunId], Run | None]
Value = Callable[[RunId, bytes | None], Any]
"""reads recorded bytes of a run"""
_CHAIN: Final = 100
"""so many runs that continue one another are followed"""


def earlier_outputs(run: Run | None, graph: Graph, read: Read, value: Value) -> dict[str, StepResult]:
    """Step id -> its result, for the steps of the flow that succeeded in the run or in those that it continues."""
    found: dict[str, StepResult] = {}
    for _ in range(_CHAIN):
        if run is None or run.started is None:
            break
        found = {**_outputs(run, graph, "", value), **found}
        run = read(run.started.continues) if run.started.continues is not None else None
    return found


def _outputs(run: Run, graph: Graph, prefix: str, value: Value) -> dict[str, StepResult]:
    results = {id: _output(run, node, prefix, value) for id, node in graph.nodes.items()}
    return {id: result for id, result in results.items() if result is not None}


def _output(run: Run, node: Node, prefix: str, value: Value) -> StepResult | None:
    if node.body is not None:
        return _last_round(run, node, node.body, prefix, value)
    if node.for_each is not None:
        return _items(run, node, prefix, value)
    step = run.steps.get(StepId(prefix + node.id))
    if step is None or step.status is not StepStatus.SUCCEEDED or is_not_performed(step.verdict):
        return None
    return StepResult(StepStatus.SUCCEEDED, value(run.id, step.output))


def _items(run: Run, node: Node, prefix: str, value: Value) -> StepResult | None:
    """`{results, errors}`, when each item from the first to the last has an end."""
    items = _numbered(run.steps, f"{prefix}{node.id}.", r"(\d+)")
    steps = [run.steps[StepId(f"{prefix}{node.id}.{index}")] for index in sorted(items)]
    if not steps or sorted(items) != list(range(len(steps))):
        return None
    failed = [index for index, step in enumerate(steps) if step.status is StepStatus.FAILED]
    if any(step.status not in (StepStatus.SUCCEEDED, StepStatus.FAILED) for step in steps):
        return None
    if any(is_not_performed(step.verdict) for step in steps):
        return None
    if failed and node.step.on_error != "collect":
        return None
    output = {
        "results": [value(run.id, step.output) for step in steps if step.status is StepStatus.SUCCEEDED],
        "errors": [{"index": index, **value(run.id, steps[index].output)} for index in failed],
    }
    return StepResult(StepStatus.SUCCEEDED, output, partial=bool(failed))


def _last_round(run: Run, node: Node, body: Graph, prefix: str, value: Value) -> StepResult | None:
    """The outputs of the last round; only of a run that ended well, else nobody can tell which was the last."""
    rounds = _numbered(run.steps, f"{prefix}{node.id}.", r"(\d+)/.*")
    if not rounds or run.status not in (RunStatus.SUCCEEDED, RunStatus.PARTIAL):
        return None
    inner = _outputs(run, body, f"{prefix}{node.id}.{max(rounds)}/", value)
    return StepResult(StepStatus.SUCCEEDED, {id: result.output for id, result in inner.items()})


def _numbered(steps: Mapping[Any, Step], start: str, rest: str) -> set[int]:
    pattern = re.compile(re.escape(start) + rest, re.DOTALL)
    return {int(match[1]) for id in steps if (match := pattern.fullmatch(id))}
