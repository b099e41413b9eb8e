"""Flows for tests, written as a user writes them, compiled against a few made-up contracts."""

from typing import Any, Final

import yaml

from magsag.adapters.conditions import CelConditions
from magsag.catalog.expressions import ExpressionFault, compile_flow
from magsag.domain.graph import Graph
from magsag.domain.manifests import Flow

INPUT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "go": {"type": "boolean"},
        "names": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
        "count": {"type": "integer"},
    },
}
TEXT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"text": {"type": "string"}, "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}}},
    "$defs": {"part": {"type": "object", "properties": {"size": {"type": "number"}}}},
}
VERDICT: Final[dict[str, Any]] = {"type": "object", "properties": {"verdict": {"enum": ["accept", "redo"]}}}
MAIL: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"to": {"type": "string"}, "body": {}},
    "required": ["to"],
    "additionalProperties": False,
}
_TARGETS: Final[dict[str, tuple[dict[str, Any] | None, dict[str, Any] | None]]] = {
    "skill:draft": (None, TEXT),
    "skill:judge": (None, VERDICT),
    "skill:mail": (MAIL, None),
}
CONDITIONS: Final = CelConditions()


def parse(steps: str, **flow: object) -> Flow:
    """A flow with these steps, in YAML."""
    manifest = {"kind": "flow", "schema": 1, "slug": "example", "version": "1.0.0", "contracts": {"input": "input"}}
    return Flow.model_validate({**manifest, "steps": yaml.safe_load(steps), **flow})


def compiled(steps: str, **flow: object) -> tuple[Graph | None, list[ExpressionFault]]:
    contract = {"input": INPUT}.get
    return compile_flow(parse(steps, **flow), contract, lambda ref: _TARGETS.get(ref, (None, None)), CONDITIONS)


def graph(steps: str, **flow: object) -> Graph:
    made, faults = compiled(steps, **flow)
    assert made is not None, faults
    return made


def faults(steps: str, **flow: object) -> list[tuple[str, int, str]]:
    """(pointer as text, column, message) of each fault."""
    found = compiled(steps, **flow)[1]
    return [("/".join(map(str, fault.pointer)), fault.column, fault.message) for fault in found]
