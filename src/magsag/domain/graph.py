"""A flow, compiled: what `catalog.expressions` makes of a manifest and `engine.plan` plans on.

It holds no results and decides nothing. A `Template` is a JSON value in which some places are expressions.
"""

from collections.abc import Mapping
from typing import cast

from magsag.domain.condition import Condition
from magsag.domain.frozen import frozen
from magsag.domain.manifests.flow import FlowStep, Loop


@frozen
class Template:
    """A JSON value with expressions in it."""

    value: object
    """dicts, lists and scalars; each place of an expression holds a Condition"""

    def fill(self, names: Mapping[str, object]) -> object:
        """The value with every expression evaluated. Raises ConditionFailed."""
        return _fill(self.value, names)


@frozen
class Node:
    """One step of a compiled flow."""

    id: str
    step: FlowStep
    when: Condition | None
    input: Template | None
    """of `with`; for a shell step the argument list"""
    for_each: Condition | None
    after: frozenset[str]
    """ids (of the same level) that it waits for: what it reads and what it `needs`"""
    guarded: frozenset[str]
    """ids among `after` whose absence does not skip it: only in `needs`, or read only behind `has(...)`"""
    fallback_of: frozenset[str]
    """ids whose `on_error` names it; then it runs only as that"""
    loop: Loop | None = None
    until: Condition | None = None
    body: "Graph | None" = None


@frozen
class Graph:
    """A compiled flow or the body of a loop; nodes in the order of the file."""

    nodes: Mapping[str, Node]
    output: Condition | None


def _fill(value: object, names: Mapping[str, object]) -> object:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, dict):
        return {key: _fill(part, names) for key, part in value.items()}
    if isinstance(value, list):
        return [_fill(part, names) for part in value]
    return cast(Condition, value).value(names)
