"""An example that fits a contract: what a stand-in gives when its manifest does not say.

Words of the schema come first (`examples`, `default`, `const`, `enum`); else the smallest value that its keywords
ask for. What comes out is held against the contract by whoever asks; patterns and conditions may be beyond it.
"""

from typing import Any, Final

from magsag.catalog.contracts import Contract
from magsag.catalog.subschemas import Schema, resolve_pointer
from magsag.domain.errors import Invalid

_DEEPEST: Final = 32
_FORMATS: Final = {
    "date-time": "2030-01-01T00:00:00Z",
    "date": "2030-01-01",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "someone@example.org",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "127.0.0.1",
    "hostname": "example.org",
}


def example_of(contract: Contract) -> object:
    """A value that meets the contract. Raises Invalid where none can be made."""
    value = _example(contract.schema, contract.schema, 0)
    problems = contract.problems(value)
    if problems:
        where = problems[0].pointer or "/"
        raise Invalid(f"no example fits contract {contract.name}: {where}: {problems[0].message}")
    return value


def _example(schema: object, whole: Schema, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return None
    if isinstance(examples := schema.get("examples"), list) and examples:
        return examples[0]
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    if isinstance(choices := schema.get("enum"), list) and choices:
        return choices[0]
    if isinstance(ref := schema.get("$ref"), str):
        return _example(resolve_pointer(whole, ref.removeprefix("#")), whole, depth + 1)
    for key in ("oneOf", "anyOf"):
        if isinstance(branches := schema.get(key), list) and branches:
            return _merged([_plain(schema, whole, depth), _example(branches[0], whole, depth + 1)])
    if isinstance(parts := schema.get("allOf"), list):
        return _merged([_plain(schema, whole, depth), *(_example(part, whole, depth + 1) for part in parts)])
    return _plain(schema, whole, depth)


def _merged(values: list[Any]) -> Any:
    """Objects joined; of anything else the first that says something."""
    objects = [value for value in values if isinstance(value, dict)]
    if objects:
        return {key: value for one in objects for key, value in one.items()}
    return next((value for value in values if value is not None), None)


def _plain(schema: Schema, whole: Schema, depth: int) -> Any:
    """By the type alone."""
    kind = schema.get("type", "object" if "properties" in schema or "required" in schema else None)
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "object":
            named = schema.get("properties") or {}
            return {key: _example(named.get(key, {}), whole, depth + 1) for key in schema.get("required") or ()}
        case "array":
            return [_example(schema.get("items", {}), whole, depth + 1)] * int(schema.get("minItems", 0))
        case "string":
            return str(_FORMATS.get(str(schema.get("format")), "")).ljust(int(schema.get("minLength", 0)), "x")
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return False
        case _:
            return None


def _number(schema: Schema) -> int | float:
    """The smallest allowed number that is not below zero where that is possible."""
    step = schema.get("multipleOf", 1)
    low = schema.get("minimum")
    if (above := schema.get("exclusiveMinimum")) is not None:
        low = above + step
    high = schema.get("maximum", schema.get("exclusiveMaximum", 0) - step if "exclusiveMaximum" in schema else None)
    number: int | float = 0
    if low is not None and low > 0:
        number = -(-low // step) * step
    elif high is not None and high < 0:
        number = high // step * step
    return number
