"""A contract: a JSON Schema (draft 2020-12) that input or output must meet, and what of them is redacted."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from magsag.catalog.redactable import MARK, REDACTED, redactable
from magsag.catalog.subschemas import Lookup, Schema, resolve_pointer, self_contained, subschemas
from magsag.domain.errors import Invalid

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

LABELS: Final = "x-labels"
_MOST: Final = 20
"""problems of one value that are worth reading"""
_LONGEST: Final = 300


class Problem(NamedTuple):
    """One thing in a value that breaks its contract."""

    pointer: str
    """JSON pointer of the value, empty for the whole"""
    message: str


@dataclass(frozen=True)
class Contract:
    """One contract, self-contained: every `$ref` in `schema` points inside it."""

    name: str
    schema: Schema

    @classmethod
    def load(cls, name: str, lookup: Lookup) -> "Contract":
        """Build it from the schemas as written. Raises BadRef."""
        return cls(name, self_contained(name, lookup))

    @cached_property
    def redacts(self) -> bool:
        """Whether any field is marked `x-redact: true`."""
        return any(schema.get(MARK) is True for _, schema in subschemas(self.schema))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The data labels of its fields (`x-labels: [personal]`), sorted: what a value of it may hold."""
        found = {str(label) for _, schema in subschemas(self.schema) for label in schema.get(LABELS) or ()}
        return tuple(sorted(found))

    def problems(self, value: object) -> list[Problem]:
        """What breaks the contract; empty when the value fits. Raises Invalid for a contract that is none."""
        try:
            if self._validator.is_valid(value):
                return []
            errors = islice(self._validator.iter_errors(value), _MOST)
            if not self.redacts:
                return [_problem(error) for error in errors]
            masked = islice(self._masking.iter_errors(value), _MOST)
            shown = self.redact(value)
            return [self._careful(value, shown, error, next(masked, None)) for error in errors]
        except (ValueError, RecursionError) as error:
            return [Problem("", f"cannot be checked: {error}")]

    def prove(self) -> None:
        """Compile it. Raises Invalid for a contract that is none."""
        _ = self._validator

    def redact(self, value: object) -> object:
        """A copy in which every marked field is replaced; the value itself when nothing is marked."""
        return self._redacted(value, [self.schema]) if self.redacts else value

    @cached_property
    def _validator(self) -> "Draft202012Validator":
        return self._compiled(mask=False)

    @cached_property
    def _masking(self) -> "Draft202012Validator":
        """The same, but its messages show no value at all."""
        return self._compiled(mask=True)

    def _compiled(self, mask: bool) -> "Draft202012Validator":
        from jsonschema_rs import ValidationError

        try:
            return compile_schema(redactable(self.schema) if self.redacts else self.schema, mask=mask)
        except ValidationError as error:
            raise Invalid(
                f"contract {self.name} does not compile: {error.message}; `magsag catalog validate`"
            ) from error

    def _careful(self, value: object, shown: object, error: Any, masked: Any) -> Problem:
        """A message quotes the value that it is about: as it is only where nothing of it is redacted."""
        path = error.instance_path
        if (quoted := _within(value, path)) is not None and quoted == _within(shown, path):
            return _problem(error)
        if masked is not None and masked.instance_path == path and masked.schema_path == error.schema_path:
            return _problem(masked)
        return Problem(_pointer(path), "does not fit; its value is marked x-redact")

    def _redacted(self, value: object, schemas: list[Schema]) -> object:
        every = self._applied(schemas)
        if any(schema.get(MARK) is True for schema in every):
            return REDACTED
        if isinstance(value, dict):
            return {key: self._redacted(part, list(_of_key(every, key))) for key, part in value.items()}
        if isinstance(value, list):
            return [self._redacted(part, list(_of_index(every, index))) for index, part in enumerate(value)]
        return value

    def _applied(self, schemas: list[Schema]) -> list[Schema]:
        """The schemas and all that apply to the same value through `$ref`, `allOf`, `if` and their like.

        Branches are not tried out: a field that any of them marks is redacted.
        """
        found: list[Schema] = []
        waiting: list[object] = list(schemas)
        while waiting:
            schema = waiting.pop()
            if not isinstance(schema, dict) or any(schema is known for known in found):
                continue
            found.append(schema)
            if isinstance(ref := schema.get("$ref"), str):
                waiting.append(resolve_pointer(self.schema, ref.removeprefix("#")))
            if isinstance(ref := schema.get("$dynamicRef"), str):
                waiting.extend(self._dynamic(ref.removeprefix("#")))
            for key in ("allOf", "anyOf", "oneOf"):
                waiting.extend(schema.get(key) or ())
            waiting.extend(schema.get(key) for key in ("if", "then", "else"))
            waiting.extend((schema.get("dependentSchemas") or {}).values())
        return found

    def _dynamic(self, anchor: str) -> Iterator[object]:
        """What a `$dynamicRef` may mean: every part of that name, whichever is in force."""
        if not anchor or anchor.startswith("/"):
            yield resolve_pointer(self.schema, anchor)
        yield from (part for _, part in subschemas(self.schema) if part.get("$dynamicAnchor") == anchor)


def compile_schema(schema: Schema, mask: bool = False) -> "Draft202012Validator":
    """Compile; formats are enforced and nothing is fetched. Raises jsonschema_rs.ValidationError."""
    from jsonschema_rs import Draft202012Validator

    return Draft202012Validator(schema, validate_formats=True, retriever=_refuse, mask=REDACTED if mask else None)


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"{uri} lies outside the catalog, and nothing is fetched")


def _within(value: Any, path: Sequence[str | int]) -> tuple[object] | None:
    """The part of a value, in a tuple of its own; None where redaction left no such place."""
    for part in path:
        if isinstance(value, str):
            return None
        value = value[part]
    return (value,)


def _pointer(path: Sequence[str | int]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _problem(error: Any) -> Problem:
    pointer = _pointer(error.instance_path)
    message = error.message
    return Problem(pointer, message if len(message) <= _LONGEST else f"{message[:_LONGEST]} ...")


def _of_key(schemas: list[Schema], key: str) -> Iterator[Schema]:
    """The schemas that apply to a member of an object."""
    for schema in schemas:
        named = (schema.get("properties") or {}).get(key)
        patterns = [
            part for pattern, part in (schema.get("patternProperties") or {}).items() if _may_match(pattern, key)
        ]
        rest = [schema.get("additionalProperties")] if named is None and not patterns else []
        for part in (named, *patterns, *rest, schema.get("unevaluatedProperties")):
            if isinstance(part, dict):
                yield part


def _may_match(pattern: str, key: str) -> bool:
    """Patterns are those of JavaScript; one that Python cannot read counts, so that nothing marked slips through."""
    try:
        return re.search(pattern, key) is not None
    except re.error:
        return True


def _of_index(schemas: list[Schema], index: int) -> Iterator[Schema]:
    """The schemas that apply to an item of a list."""
    for schema in schemas:
        before = schema.get("prefixItems") or []
        item = before[index] if index < len(before) else schema.get("items")
        for part in (item, schema.get("contains"), schema.get("unevaluatedItems")):
            if isinstance(part, dict):
                yield part
