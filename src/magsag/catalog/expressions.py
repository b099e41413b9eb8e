"""Compiles the expressions of flows and rules; of a flow, the graph that the planner runs.

Which names an expression knows is decided here; what it may do with them, by the conditions that are handed
in. A rule's condition stands alone, the steps of a flow are the business of `catalog.steps`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from magsag.catalog.outputs import COUNT, TEXT, Schema, Target
from magsag.catalog.steps import Level, Pointer
from magsag.domain.condition import CheckedCondition, ConditionInvalid, Conditions
from magsag.domain.effects import Effect
from magsag.domain.graph import Graph
from magsag.domain.manifests.flow import Flow

_RUN: Final[Schema] = {"id": TEXT, "program": TEXT, "requester": TEXT}
_TIME: Final[Schema] = {
    "type": "object",
    "properties": {
        "weekday": {"enum": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]},
        "hour": COUNT,
        "minute": COUNT,
        "date": TEXT,
        "iso": TEXT,
        "unix": COUNT,
    },
}
FLOW_NAMES: Final[Mapping[str, Schema]] = {
    "run": {"type": "object", "properties": _RUN},
    "env": TEXT,
    "time": _TIME,
}
"""what every expression of a flow knows besides `input` and `steps`, in their places `item` and `previous`"""
RULE_NAMES: Final[Mapping[str, Schema]] = {
    "agent": TEXT,
    "effect": {"enum": [effect.value for effect in Effect]},
    "run": {"type": "object", "properties": {**_RUN, "parent": {"type": ["string", "null"]}}},
    "env": TEXT,
    "mode": TEXT,
    "time": _TIME,
}
"""what the condition of a rule knows besides `args`"""


@dataclass(frozen=True, slots=True)
class ExpressionFault:
    """One thing that is wrong with a flow's expressions or with what its steps wait for."""

    pointer: Pointer
    column: int
    """from 1, inside the text at `pointer`"""
    message: str


def compile_flow(
    flow: Flow, contract: Callable[[str], Schema | None], target: Target, conditions: Conditions
) -> tuple[Graph | None, list[ExpressionFault]]:
    """The flow's graph, or None with all that is wrong."""
    faults: list[ExpressionFault] = []

    def report(pointer: Pointer, column: int, message: str) -> None:
        faults.append(ExpressionFault(pointer, column, message))

    schema = contract(flow.contracts.input) if flow.contracts.input is not None else None
    level = Level(flow.steps, ("steps",), {"input": schema, **FLOW_NAMES}, target, conditions, report)
    graph = level.graph()
    if flow.output is not None:
        graph = replace(graph, output=level.output(flow.output, ("output",)))
    return (None if faults else graph), faults


def compile_rule_condition(source: str, arguments: Sequence[Schema | None], conditions: Conditions) -> CheckedCondition:
    """The `when` of a rule, fit for the input of every target that the rule names. Raises ConditionInvalid.

    `arguments`: their input schemas, None where nothing is known of it.
    """
    known = [schema for schema in arguments if schema is not None]
    compiled = [conditions.compile(source, {"args": schema, **RULE_NAMES}) for schema in known]
    alike = known and len(known) == len(arguments) and all(schema == known[0] for schema in known)
    condition = compiled[0] if alike else conditions.compile(source, {"args": None, **RULE_NAMES})
    if condition.kinds is not None and "boolean" not in condition.kinds:
        raise ConditionInvalid(f"`when` gives {' or '.join(sorted(condition.kinds))}, not true or false")
    return condition
