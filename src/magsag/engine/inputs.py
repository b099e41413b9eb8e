"""The inputs of a flow's steps, and how the items of a `for_each` step become one result.

Pure. Errors of expressions are ConditionFailed here; the planner makes failed steps of them.
"""

from collections.abc import Mapping

from magsag.domain.condition import Condition, ConditionFailed
from magsag.domain.errors import ErrorType
from magsag.domain.facts import StepStatus
from magsag.domain.graph import Node
from magsag.engine.decisions import Error, StartEach, StepResult, error_of


def start_each(node: Node, for_each: Condition, names: Mapping[str, object]) -> StartEach:
    """The inputs of a `for_each` step, one per item. Raises ConditionFailed, under `collect` only for the list."""
    items = for_each.value(names)
    if not isinstance(items, list):
        raise ConditionFailed(f"for_each: {for_each.source} gives {_kind(items)}, not a list")
    if node.input is None:
        return StartEach(node, tuple(items), {})
    inputs: list[object] = []
    refused: dict[int, Error] = {}
    for index, item in enumerate(items):
        try:
            inputs.append(input_of(node, {**names, "item": item}, item))
        except ConditionFailed as failure:
            if node.step.on_error != "collect":
                raise ConditionFailed(f"item {index}: {failure}") from failure
            inputs.append(None)
            refused[index] = error_of(ErrorType.EXPRESSION, str(failure))
    return StartEach(node, tuple(inputs), refused)


def input_of(node: Node, names: Mapping[str, object], default: object) -> object:
    """A step's input; `default` when it says nothing. Raises ConditionFailed."""
    if node.input is None:
        return default
    value = node.input.fill(names)
    if node.step.run is None:
        return value
    return [_argument(index, part) for index, part in enumerate(value if isinstance(value, list) else [value])]


def each_result(start: StartEach, outcomes: Mapping[int, StepResult]) -> StepResult:
    """One result of a `for_each` step's items: `{results, errors}`, or the first item's error without `collect`."""
    errors: dict[int, Error] = dict(start.refused)
    for index, outcome in outcomes.items():
        if outcome.status is not StepStatus.SUCCEEDED:
            errors[index] = outcome.error or error_of(ErrorType.RAISED, "it was cancelled")
    if errors and start.node.step.on_error != "collect":
        failed = [index for index in errors if index in outcomes and outcomes[index].error is not None]
        return _failed_item(min(failed or errors), errors[min(failed or errors)])
    output = {
        "results": [outcomes[index].output for index in range(len(start.inputs)) if index not in errors],
        "errors": [{"index": index, **errors[index]} for index in sorted(errors)],
    }
    partial = bool(errors) or any(outcome.partial for outcome in outcomes.values())
    return StepResult(StepStatus.SUCCEEDED, output, partial=partial)


def _argument(index: int, value: object) -> str:
    """Write an argument of a shell step as text; only scalars have one text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise ConditionFailed(f"run: argument {index} is {_kind(value)}, not text or a number")


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _failed_item(index: int, error: Error) -> StepResult:
    details = error.get("details")
    inside = {"index": index, **(details if isinstance(details, dict) else {})}
    return StepResult(
        StepStatus.FAILED, error={**error, "message": f"item {index}: {error.get('message')}", "details": inside}
    )
