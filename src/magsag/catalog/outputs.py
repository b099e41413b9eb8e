"""What the steps of a flow put out, as JSON Schemas: what expressions are checked against."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from magsag.domain.manifests.flow import Fallback, FlowStep

Schema = dict[str, Any]
Target = Callable[[str], tuple[Schema | None, Schema | None]]
"""reference -> input and output schema of what a step uses; None where nothing is known"""

TEXT: Final[Schema] = {"type": "string"}
COUNT: Final[Schema] = {"type": "integer"}
_SHELL: Final[Schema] = {"type": "object", "properties": {"code": COUNT, "stdout": TEXT, "stderr": TEXT}}
_ERRORS: Final[Schema] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"index": COUNT, "type": TEXT, "message": TEXT, "details": {"type": "object"}},
    },
}


def outputs_of(steps: Iterable[FlowStep], target: Target) -> dict[str, Schema | None]:
    """The output of each step by id; one with a fallback may have that one's."""
    steps = tuple(steps)
    own = {step.id: _output(step, target) for step in steps}
    found = dict(own)
    for step in steps:
        if isinstance(step.on_error, Fallback):
            branches = own[step.id], own.get(step.on_error.fallback)
            found[step.id] = None if None in branches else {"anyOf": [_document(branch) for branch in branches]}
    return found


def object_of(fields: Mapping[str, Schema | None], open: bool = False, nullable: bool = False) -> Schema:
    """The schema of an object with these fields."""
    return {
        "type": ["object", "null"] if nullable else "object",
        "properties": {name: _document(schema) for name, schema in fields.items()},
        "additionalProperties": open,
    }


def _output(step: FlowStep, target: Target) -> Schema | None:
    output: Schema | None
    if step.run is not None:
        output = _SHELL
    elif step.uses is not None:
        output = target(step.uses)[1]
    else:
        output = object_of(outputs_of(step.steps or (), target))
    if step.for_each is None:
        return output
    return {"type": "object", "properties": {"results": _list_of(output), "errors": _ERRORS}}


def _list_of(item: Schema | None) -> Schema:
    return {"type": "array", "items": _document(item)}


def _document(schema: Schema | None) -> Schema | bool:
    """A schema inside another one: its references still point into itself."""
    return True if schema is None else {**schema, "$id": "part"}
