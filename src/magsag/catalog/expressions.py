"""Compiles the expressions of flows and rules; of a flow, the graph that the planner runs.

Which names an expression knows is decided here; what it may do with them, by the conditions that are handed
in. A rule's condition stands alone, the steps of a flow are the business of `catalog.steps`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from magsag.catalog.document import Pointer
from magsag.catalog.outputs import COUNT, TEXT, Schema, Target
from magsag.catalog.steps import Level
from magsag.domain.condition import CheckedCondition, ConditionInvalid, Conditions
from magsag.domain.effects import Effect
from magsag.domain.frozen import frozen
from magsag.domain.graph import Graph
from magsag.domain.manifests.flow import Flow

_RUN: Final[Schema] = {"id": TEXT, "program": TEXT, "requester": TEXT}
_TEXTS: Final[Schema] = {"type": "array", "items": TEXT}
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
_TARGET: Final[Schema] = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("ref", "kind", "name", "version"), TEXT),
        "capabilities": _TEXTS,
        "risk": {"enum": ["low", "medium", "high", "unknown"]},
        "categories": _TEXTS,
    },
}
_COUNTED: Final[Schema] = {
    "parent": TEXT,
    "actor": TEXT,
    "count": {"type": "object", "additionalProperties": COUNT},
    "after": {"type": "object", "additionalProperties": {"type": "boolean"}},
}
RULE_NAMES: Final[Mapping[str, Schema]] = {
    "agent": TEXT,
    "effect": {"enum": [effect.value for effect in Effect]},
    "target": _TARGET,
    "labels": _TEXTS,
    "run": {"type": "object", "properties": {**_RUN, **_COUNTED}},
    "env": TEXT,
    "mode": TEXT,
    "time": _TIME,
}
"""what the condition of a rule knows besides `args` and `window`"""
_CALLS: Final = re.compile(
    r"""(?P<text>[rRbB]{0,2}(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))|(?P<comment>//[^\n]*)
    |(?P<head>\brun\s*\.\s*(?:count|after)\s*)\((?P<ref>\s*(?:"[^"\\\n]*"|'[^'\\\n]*')\s*)\)
    |(?P<open>\brun\s*\.\s*(?P<verb>count|after)\s*\()""",
    re.VERBOSE | re.DOTALL,
)


@frozen
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


def compile_rule_condition(
    source: str, arguments: Sequence[Schema | None], windows: Sequence[str], conditions: Conditions
) -> CheckedCondition:
    """The `when` of a rule, fit for the input of every target that the rule names. Raises ConditionInvalid.

    `arguments`: their input schemas, None where nothing is known of it. `windows`: the names that there are.
    """
    source = _counting(source)
    closed: Schema = {"type": "object", "properties": {name: {"type": "boolean"} for name in windows}}
    names = {**RULE_NAMES, "window": {**closed, "additionalProperties": False}}
    known = [schema for schema in arguments if schema is not None]
    compiled = [conditions.compile(source, {"args": schema, **names}) for schema in known]
    alike = known and len(known) == len(arguments) and all(schema == known[0] for schema in known)
    condition = compiled[0] if alike else conditions.compile(source, {"args": None, **names})
    if condition.kinds is not None and "boolean" not in condition.kinds:
        raise ConditionInvalid(f"`when` gives {' or '.join(sorted(condition.kinds))}, not true or false")
    return condition


def counted_refs(condition: CheckedCondition) -> list[str]:
    """The references that a rule counts by `run.count(...)` and `run.after(...)`. Raises ConditionInvalid."""
    found: list[str] = []
    for path in sorted(condition.reads):
        if path in (("run",), ("run", "count"), ("run", "after")):
            column = condition.reads_at[path]
            raise ConditionInvalid("`run` cannot be read as a whole: name what of it, e.g. run.id", column)
        if path[:2] in (("run", "count"), ("run", "after")) and len(path) > 2:
            found.append(path[2])
    return list(dict.fromkeys(found))


def _counting(source: str) -> str:
    """`run.count("x")` written as `run.count["x"]`, a field like any other; columns stay. Raises ConditionInvalid."""

    def written(match: re.Match[str]) -> str:
        if match["open"] is not None:
            verb = match["verb"]
            what = f'`run.{verb}` takes one reference in quotes, e.g. run.{verb}("skill:send-offer")'
            raise ConditionInvalid(what, match.start() + 1)
        return match[0] if match["head"] is None else f"{match['head']}[{match['ref']}]"

    return _CALLS.sub(written, source)
