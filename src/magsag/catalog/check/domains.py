"""Which values a JSON Schema leaves possible, as far as a few keywords say; the others only allow more here."""

import math
from collections.abc import Mapping
from typing import Any, Final

from magsag.catalog.redactable import MARK
from magsag.catalog.subschemas import Schema, resolve_pointer

Path = tuple[str, ...]
Schemas = list[tuple[Schema, Schema]]
"""schemas that all hold for one value, each with the whole schema that its `$ref`s point into"""
Compared = list[tuple[str, Any]]
"""`(sign, constant)`; with `in` and `not in` a list of constants"""

_BOUNDS: Final = (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"))
_SIZES: Final = {
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
_FEW: Final = 64
_LENGTHS: Final = (("minLength", ">="), ("maxLength", "<="))


def root_of(path: Path, roots: Mapping[Path, Schemas]) -> tuple[Schemas, Path]:
    """What is known of the longest known beginning of a path, and the rest of the path."""
    for length in range(len(path), 0, -1):
        if path[:length] in roots:
            return roots[path[:length]], path[length:]
    return [], path


def schemas_at(schemas: Schemas, path: tuple[str, ...]) -> list[Schema]:
    """The schemas that hold for the value at a path; empty where nothing is known."""
    found = _applied(schemas)
    for name in path:
        if _is_redacted(found):
            return []
        found = _applied(
            [(part, whole) for schema, whole in found if isinstance(part := _properties(schema).get(name), dict)]
        )
    if _is_redacted(found):
        return []
    return [schema for schema, _ in found]


def required_at(schemas: Schemas, path: tuple[str, ...]) -> bool:
    """Whether the last name of the path is always there once its parent is."""
    return any(path[-1] in _list(schema.get("required")) for schema in schemas_at(schemas, path[:-1]))


def sizes(schemas: list[Schema]) -> list[Schema]:
    """What is known of the size of a value: schemas of a whole number."""
    found: list[Schema] = [{"type": "integer", "minimum": 0}]
    for schema in schemas:
        least, most = _SIZES.get(str(schema.get("type")), ("", ""))
        found += [{"minimum": schema[least]}] if _is_number(schema.get(least)) else []
        found += [{"maximum": schema[most]}] if _is_number(schema.get(most)) else []
    return found


def finite_values(schemas: list[Schema]) -> list[Any] | None:
    """All values that fit, where they are few and can be listed."""
    listed = _finite(schemas, [])
    if listed is None and any(schema.get("type") == "integer" for schema in schemas):
        low = max((math.ceil(bound) for bound in _bounds(schemas, "minimum", 0, "exclusiveMinimum", 1)), default=None)
        high = min(
            (math.floor(bound) for bound in _bounds(schemas, "maximum", 0, "exclusiveMaximum", -1)), default=None
        )
        if low is not None and high is not None and high - low < _FEW:
            listed = list(range(low, high + 1))
    return None if listed is None else [value for value in listed if _fits(value, schemas)]


def is_possible(schemas: list[Schema], compared: Compared) -> bool:
    """Whether some value fits the schemas and every comparison. False only when that is certain."""
    finite = _finite(schemas, compared)
    if finite is None:
        finite = finite_values(schemas)
    if finite is not None:
        return any(_fits(value, schemas) and all(_holds(value, *test) for test in compared) for value in finite)
    ordered = [(sign, value) for sign, value in compared if sign in ("<", "<=", ">", ">=")]
    if not all(_is_number(value) for _, value in ordered):
        return True
    if ordered and not _may_be_number(schemas):
        return False
    bounds = ordered + [
        (sign, schema[key]) for schema in schemas for key, sign in _BOUNDS if _is_number(schema.get(key)) and ordered
    ]
    return _has_room(bounds, whole=any(schema.get("type") == "integer" for schema in schemas))


def _applied(schemas: Schemas) -> Schemas:
    """The schemas with those that `$ref` and `allOf` add for the same value."""
    found: Schemas = []
    waiting = list(schemas)
    while waiting:
        schema, whole = waiting.pop()
        if any(schema is known for known, _ in found):
            continue
        found.append((schema, whole))
        if isinstance(ref := schema.get("$ref"), str):
            target = resolve_pointer(whole, ref.removeprefix("#"))
            waiting += [(target, whole)] if isinstance(target, dict) else []
        waiting += [(part, whole) for part in _list(schema.get("allOf")) if isinstance(part, dict)]
    return found


def _is_redacted(schemas: Schemas) -> bool:
    """Whether what is judged is not what was given, so that the schema says nothing about it."""
    return any(MARK in schema for schema, _ in schemas)


def _finite(schemas: list[Schema], compared: Compared) -> list[Any] | None:
    """A finite list that holds every value that could fit; None where there is none."""
    for sign, value in compared:
        if sign == "==":
            return [value]
        if sign == "in":
            return list(value)
    for schema in schemas:
        if "const" in schema:
            return [schema["const"]]
        if isinstance(schema.get("enum"), list):
            return list(schema["enum"])
        if schema.get("type") == "boolean":
            return [True, False]
        if schema.get("type") == "null":
            return [None]
    return None


def _fits(value: Any, schemas: list[Schema]) -> bool:
    return all(_fits_one(value, schema) for schema in schemas)


def _fits_one(value: Any, schema: Schema) -> bool:
    types = schema.get("type")
    if isinstance(types, str | list) and not any(_is_type(value, name) for name in _list(types) or [types]):
        return False
    if "const" in schema and not _same(value, schema["const"]):
        return False
    if isinstance(schema.get("enum"), list) and not any(_same(value, allowed) for allowed in schema["enum"]):
        return False
    if isinstance(value, str):
        lengths = [(sign, schema[key]) for key, sign in _LENGTHS if _is_number(schema.get(key))]
        return all(_holds(len(value), sign, bound) for sign, bound in lengths)
    if _is_number(value):
        return all(_holds(value, sign, schema[key]) for key, sign in _BOUNDS if _is_number(schema.get(key)))
    return True


def _holds(value: Any, sign: str, other: Any) -> bool:
    """Whether the comparison is true; one that CEL would refuse is not true."""
    if sign in ("in", "not in"):
        return any(_same(value, item) for item in other) == (sign == "in")
    if sign in ("==", "!="):
        return _same(value, other) == (sign == "==")
    both_text = isinstance(value, str) and isinstance(other, str)
    both_truth = isinstance(value, bool) and isinstance(other, bool)
    if not (both_text or both_truth or (_is_number(value) and _is_number(other))):
        return False
    return bool({"<": value < other, "<=": value <= other, ">": value > other, ">=": value >= other}[sign])


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    return bool(one == other)


def _has_room(bounds: Compared, whole: bool) -> bool:
    low, high = -math.inf, math.inf
    low_open = high_open = False
    for sign, value in bounds:
        if sign in (">", ">=") and (value > low or (value == low and sign == ">")):
            low, low_open = value, sign == ">"
        elif sign in ("<", "<=") and (value < high or (value == high and sign == "<")):
            high, high_open = value, sign == "<"
    if whole and low > -math.inf:
        low, low_open = math.floor(low) + 1 if low_open else math.ceil(low), False
    if whole and high < math.inf:
        high, high_open = math.ceil(high) - 1 if high_open else math.floor(high), False
    return low < high or (low == high and not low_open and not high_open)


def _bounds(schemas: list[Schema], key: str, step: int, open_key: str, open_step: int) -> list[float]:
    """Numbers that no whole number goes beyond; an open bound is a whole step further in."""
    closed = [schema[key] + step for schema in schemas if _is_number(schema.get(key))]
    opened = [schema[open_key] + open_step for schema in schemas if _is_number(schema.get(open_key))]
    return closed + [math.floor(bound) if open_step > 0 else math.ceil(bound) for bound in opened]


def _may_be_number(schemas: list[Schema]) -> bool:
    return all(
        bool({"number", "integer"} & set(_list(types) or [types]))
        for schema in schemas
        if isinstance(types := schema.get("type"), str | list)
    )


def _is_type(value: Any, name: object) -> bool:
    known: dict[object, bool] = {
        "null": value is None,
        "boolean": isinstance(value, bool),
        "integer": isinstance(value, int | float) and _is_number(value) and value == math.floor(value),
        "number": _is_number(value),
        "string": isinstance(value, str),
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
    }
    return known.get(name, True)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _properties(schema: Schema) -> dict[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
