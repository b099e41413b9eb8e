"""Types and values that expressions are tried on; for `magsag.testing.conditions_suite`."""

from typing import Any, Final

import pytest

from magsag.domain.condition import CheckedCondition, Conditions

BAND: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"max": {"type": "number"}, "note": {"type": ["string", "null"]}},
}
OFFER: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "count": {"type": "integer"},
        "salary": {"type": "number"},
        "urgent": {"type": "boolean"},
        "band": {"$ref": "#/$defs/band"},
        "bands": {"type": "array", "items": {"$ref": "#/$defs/band"}},
        "free": {"type": "object"},
        "cost-centre": {"type": "string"},
        "tree": {"$ref": "#/$defs/tree"},
        "prices": {"type": "object", "additionalProperties": {"type": "number"}},
    },
    "$defs": {
        "band": BAND,
        "tree": {
            "type": "object",
            "properties": {"size": {"type": "number"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
        },
    },
}
TYPES: Final[dict[str, object]] = {"args": OFFER, "x": None, "steps": {"type": "object"}, "previous": None}
ARGS: Final[dict[str, Any]] = {
    "name": "Ada",
    "count": 2,
    "salary": 100,
    "urgent": True,
    "band": {"max": 120, "note": None},
    "bands": [{"max": 1}, {"max": 2.5}],
    "free": {"deep": {"er": 1}, "list": [1, 2]},
    "cost-centre": "K1",
    "tree": {"size": 1, "kids": [{"size": 2, "kids": [{"size": 3, "kids": []}]}]},
    "prices": {"a": 1, "b": 2},
}


class Asking:
    @pytest.fixture
    def conditions(self) -> Conditions:
        raise NotImplementedError

    @staticmethod
    def ask(conditions: Conditions, source: str, **names: object) -> CheckedCondition:
        return conditions.compile(source, {**TYPES, **{name: None for name in names if name not in TYPES}})
