"""What a JSON Schema says of the parts of a value."""

from typing import Any

import pytest

from magsag.domain.shapes import Absent, Shape, kind_of

TEXT = {"type": "string"}
COUNT = {"type": "integer"}
OBJECT = {"type": "object"}


def at(schema: dict[str, Any], *path: str) -> object:
    """`text`-like: the kinds at a path, None for unknown, or the names that exist where it does not."""
    shape = Shape(schema, schema).at(path)
    if isinstance(shape, Absent):
        return set(shape.known)
    kinds = shape.kinds() if shape is not None else None
    return None if kinds is None else sorted(kinds)


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"properties": {"a": TEXT}}, ["string"]),
        ({"properties": {"b": TEXT}}, {"b"}),
        ({"properties": {"b": TEXT}, "additionalProperties": True}, None),
        ({"properties": {"b": TEXT}, "additionalProperties": COUNT}, ["integer"]),
        ({"properties": {"b": TEXT}, "additionalProperties": False}, {"b"}),
        ({"properties": {"b": TEXT}, "patternProperties": {"^a": TEXT}}, None),
        ({"properties": {"b": TEXT}, "if": {}, "then": {"properties": {"a": TEXT}}}, None),
        ({"properties": {"b": TEXT}, "unevaluatedProperties": True}, None),
        ({"unevaluatedProperties": False}, set()),
        (OBJECT, None),
        ({}, None),
        (TEXT, set()),
        ({"type": ["string", "object"]}, None),
        ({"properties": {"a": True}}, None),
        ({"allOf": [{"properties": {"a": TEXT}}, {"properties": {"b": TEXT}}]}, ["string"]),
        ({"allOf": [{"properties": {"b": TEXT}}, {"properties": {"c": TEXT}}]}, {"b", "c"}),
        ({"$ref": "#/$defs/d", "$defs": {"d": {"properties": {"a": TEXT}}}}, ["string"]),
        ({"$ref": "#/$defs/d~1e", "$defs": {"d/e": {"properties": {"b": TEXT}}}}, {"b"}),
        ({"$ref": "#/$defs/nowhere"}, None),
        ({"$ref": "elsewhere.json", "properties": {"b": TEXT}}, None),
        ({"$ref": "#", "properties": {"b": TEXT}}, {"b"}),
        ({"anyOf": [{"properties": {"a": TEXT}}, {"properties": {"b": TEXT}}]}, ["string"]),
        ({"anyOf": [{"properties": {"a": TEXT}}, {"properties": {"a": COUNT}}]}, None),
        ({"anyOf": [{"properties": {"b": TEXT}}, {"properties": {"c": TEXT}}]}, {"b", "c"}),
        ({"oneOf": [{"properties": {"b": TEXT}}, {"type": "null"}]}, {"b"}),
        ({"anyOf": [{"properties": {"b": TEXT}}, OBJECT]}, None),
        ({"properties": {"b": TEXT}, "anyOf": [{"required": ["b"]}, {"required": ["c"]}]}, {"b"}),
        ({"anyOf": [{"properties": {"b": TEXT}}, {"additionalProperties": True}]}, None),
        ({"anyOf": [{"$ref": "#"}]}, None),
    ],
)
def test_a_field_is_known_unknown_or_excluded(schema: dict[str, Any], answer: object) -> None:
    assert at(schema, "a") == answer


@pytest.mark.parametrize(
    ("schema", "kinds"),
    [
        ({"type": "number"}, {"number", "integer"}),
        (COUNT, {"integer"}),
        ({"type": ["string", "null"]}, {"string", "null"}),
        ({"const": 1}, {"integer"}),
        (
            {"enum": [1, 1.5, "a", None, True, [], {}]},
            {"integer", "number", "string", "null", "boolean", "array", "object"},
        ),
        ({"anyOf": [TEXT, COUNT]}, {"string", "integer"}),
        ({"anyOf": [TEXT, {}]}, None),
        ({"type": "number", "allOf": [COUNT]}, {"integer"}),
        ({"type": "string", "anyOf": [TEXT, COUNT]}, {"string"}),
        ({"properties": {}}, None),
    ],
)
def test_the_kinds_of_a_value(schema: dict[str, Any], kinds: set[str] | None) -> None:
    assert Shape(schema, schema).kinds() == (None if kinds is None else frozenset(kinds))


def test_items_and_fields() -> None:
    schema = {
        "type": "array",
        "items": {"$ref": "#/$defs/row"},
        "$defs": {"row": {"properties": {"a": COUNT, "b": True}}},
    }
    item = Shape(schema, schema).item()
    assert item is not None
    assert {name: shape and shape.kinds() for name, shape in item.fields().items()} == {
        "a": frozenset({"integer"}),
        "b": None,
    }
    assert Shape({"prefixItems": [TEXT], "items": COUNT}, {}).item() is None


def test_a_document_inside_another_keeps_its_references() -> None:
    inner = {"$id": "inner", "properties": {"a": {"$ref": "#/$defs/d"}}, "$defs": {"d": COUNT}}
    assert at({"properties": {"x": inner}, "$defs": {"d": TEXT}}, "x", "a") == ["integer"]
    without_id = {name: part for name, part in inner.items() if name != "$id"}
    assert at({"properties": {"x": without_id}, "$defs": {"d": TEXT}}, "x", "a") == ["string"]


def test_only_a_closed_object_excludes_a_key_outright() -> None:
    closed = {"properties": {"a": TEXT}, "additionalProperties": False}
    assert Shape(closed, closed).excludes("b")
    assert not Shape(closed, closed).excludes("a")
    assert not Shape({"properties": {"a": TEXT}}, {}).excludes("b")


def test_whole_numbers_are_integers_however_they_are_written() -> None:
    assert [kind_of(value) for value in (1, 2.0, 1.5)] == [{"integer"}, {"integer"}, {"number"}]


def test_nothing_is_the_shape_of_nothing() -> None:
    assert Shape.of(None) is None
    assert Shape.of(True) is None
    shape = Shape(TEXT, TEXT)
    assert Shape.of(shape) is shape
