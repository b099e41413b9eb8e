"""What a JSON Schema says of a value and its parts: for checking expressions, never for validating values.

Where a schema leaves something open the answer is None: anything may stand there. One reading is stricter
than JSON Schema's: an object that lists `properties` and does not say `additionalProperties` counts as
closed, since reading a field that nobody declared is a slip of the pen far more often than a plan.
`additionalProperties: true` opens it. References must point inside the schema; any other one is open.
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

from magsag.domain.frozen import frozen

_OPENERS: Final = frozenset({"patternProperties", "if", "dependentSchemas", "$dynamicRef"})
_GROUPS: Final = ("anyOf", "oneOf")
_BRANCHINGS: Final = 8
"""how many `anyOf` inside one another are followed"""


class _Says(Enum):
    OPEN = "open"
    NOTHING = "nothing"


@frozen
class Absent:
    """The schema excludes that field; `known` are the ones that it has."""

    known: tuple[str, ...]


@frozen(eq=False)
class Shape:
    """A schema and the document that its references point into."""

    schema: Mapping[str, Any]
    root: Mapping[str, Any]

    @classmethod
    def of(cls, schema: object) -> "Shape | None":
        """The shape of a whole schema; None for one that says nothing."""
        if isinstance(schema, Shape):
            return schema
        return cls(schema, schema) if isinstance(schema, dict) else None

    def at(self, path: tuple[str, ...]) -> "Shape | Absent | None":
        """What stands at a path of fields."""
        shape: Shape | Absent | None = self
        for name in path:
            if not isinstance(shape, Shape):
                return shape
            shape = shape.field(name)
        return shape

    def field(self, name: str) -> "Shape | Absent | None":
        """What stands under a name, if this is an object."""
        found = self._field(name, _BRANCHINGS)
        return None if isinstance(found, _Says) else found

    def item(self) -> "Shape | None":
        """What each item is, if this is a list."""
        parts = self.parts()
        if any("prefixItems" in part for part in parts):
            return None
        return next((self._inside(part["items"]) for part in parts if isinstance(part.get("items"), dict)), None)

    def fields(self) -> "dict[str, Shape | None]":
        """The declared fields, those of `anyOf` and `oneOf` left out."""
        return {
            name: self._inside(schema)
            for part in self.parts()
            for name, schema in (part.get("properties") or {}).items()
        }

    def other_fields(self) -> "Shape | None":
        """What stands under names that are not declared."""
        found = (part.get("additionalProperties") for part in self.parts())
        return next((self._inside(schema) for schema in found if isinstance(schema, dict)), None)

    def excludes(self, name: str) -> bool:
        """Whether a value with a field of that name can never fit: JSON Schema's own, lenient reading."""
        return any(
            part.get("additionalProperties") is False
            and name not in (part.get("properties") or {})
            and "patternProperties" not in part
            for part in self.parts()
        )

    def kinds(self) -> frozenset[str] | None:
        """The types that a value may have; None for any. `number` stands for fractions: both are there for both."""
        return self._kinds(_BRANCHINGS)

    def parts(self) -> list[Mapping[str, Any]]:
        """The schemas that a value must all meet: this one, what it refers to, what stands under `allOf`."""
        found: list[Mapping[str, Any]] = []
        waiting: list[object] = [self.schema]
        while waiting:
            part = waiting.pop(0)
            if not isinstance(part, dict) or any(part is known for known in found):
                continue
            found.append(part)
            if isinstance(ref := part.get("$ref"), str):
                target = self._target(ref)
                waiting.append({"$dynamicRef": ref} if target is None else target)
            waiting.extend(part.get("allOf") or ())
        return found

    def groups(self) -> "Iterator[list[Shape | None]]":
        """Each `anyOf` and `oneOf`: a value must meet at least one of its branches."""
        for part in self.parts():
            for key in _GROUPS:
                if isinstance(branches := part.get(key), list):
                    yield [self._inside(branch) for branch in branches]

    def _field(self, name: str, depth: int) -> "Shape | Absent | _Says | None":
        if depth == 0:
            return _Says.OPEN
        for part in self.parts():
            if name in (part.get("properties") or {}):
                return self._inside(part["properties"][name])
        answers = [self._own_answer(), *(self._group_answer(group, name, depth) for group in self.groups())]
        if shapes := [answer for answer in answers if isinstance(answer, Shape)]:
            return shapes[0]
        if None in answers or _Says.OPEN in answers:
            return self.other_fields() or _Says.OPEN
        absent = [answer.known for answer in answers if isinstance(answer, Absent)]
        return Absent(tuple(dict.fromkeys(name for known in absent for name in known))) if absent else _Says.NOTHING

    def _own_answer(self) -> "Absent | _Says":
        declared = tuple(name for part in self.parts() for name in part.get("properties") or {})
        kinds = self.kinds()
        if kinds is not None and "object" not in kinds:
            return Absent(())
        parts = self.parts()
        if any(
            part.get("additionalProperties") is False or part.get("unevaluatedProperties") is False for part in parts
        ):
            return Absent(declared)
        opened = any(
            part.get("additionalProperties") is not None or part.get("unevaluatedProperties") or _OPENERS & part.keys()
            for part in parts
        )
        if opened:
            return _Says.OPEN
        return Absent(declared) if declared else _Says.NOTHING

    @staticmethod
    def _group_answer(branches: "list[Shape | None]", name: str, depth: int) -> "Shape | Absent | _Says | None":
        answers = [_Says.NOTHING if branch is None else branch._field(name, depth - 1) for branch in branches]
        known = [answer for answer in answers if isinstance(answer, Shape) or answer is None]
        if known:
            return known[0] if len(known) == 1 else None
        if _Says.OPEN in answers:
            return _Says.OPEN
        if _Says.NOTHING in answers or not answers:
            return _Says.NOTHING
        return Absent(tuple(name for answer in answers if isinstance(answer, Absent) for name in answer.known))

    def _kinds(self, depth: int) -> frozenset[str] | None:
        allowed: frozenset[str] | None = None
        for found in [*map(_own_kinds, self.parts()), *(_group_kinds(group, depth) for group in self.groups())]:
            if found is not None:
                allowed = found if allowed is None else allowed & found
        return allowed

    def _inside(self, schema: object) -> "Shape | None":
        """A part; one with an `$id` is a document of its own, which its references point into."""
        if not isinstance(schema, dict):
            return None
        return Shape(schema, schema if "$id" in schema else self.root)

    def _target(self, ref: str) -> object:
        if not ref.startswith("#"):
            return None
        target: object = self.root
        for part in ref[1:].split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(target, dict) and key in target:
                target = target[key]
            elif isinstance(target, list) and key.isdigit() and int(key) < len(target):
                target = target[int(key)]
            else:
                return None
        return target


def kind_of(value: object) -> frozenset[str]:
    """The JSON Schema type of a value, `number` for fractions only."""
    if isinstance(value, bool):
        return frozenset({"boolean"})
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return frozenset({"integer"})
    names = {float: "number", str: "string", list: "array", dict: "object"}
    return frozenset({names.get(type(value), "null")})


def _own_kinds(part: Mapping[str, Any]) -> frozenset[str] | None:
    given = part.get("type")
    if given is not None:
        names = frozenset([given] if isinstance(given, str) else given)
        return names | {"integer"} if "number" in names else names
    literals = [part["const"]] if "const" in part else part.get("enum")
    return frozenset().union(*map(kind_of, literals)) if isinstance(literals, list) else None


def _group_kinds(branches: "list[Shape | None]", depth: int) -> frozenset[str] | None:
    found: set[str] = set()
    for branch in branches:
        kinds = None if branch is None or depth == 0 else branch._kinds(depth - 1)
        if kinds is None:
            return None
        found |= kinds
    return frozenset(found)
