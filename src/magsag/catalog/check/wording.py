"""What pydantic found, in the words of the people who write manifests."""

import re
from typing import Any, Final, NamedTuple

from magsag.catalog.document import Pointer
from magsag.catalog.references import did_you_mean
from magsag.domain.effects import DECLARABLE

MISSING: Final = 0.6
"""how close a key must be to a missing one to count as its misspelling"""

LATER: Final = frozenset(
    {"budget", "budgets", "model", "instructions", "handoffs", "memory"}
    | {"permissions", "rate_limit", "breaker", "durability", "detached"}
)
"""keys that later versions enforce"""

_EFFECTS: Final = ", ".join(effect.value for effect in DECLARABLE)
_ADD: Final = {
    "schema": "add `schema: 1`",
    "slug": "add `slug:` with small letters, digits and dashes",
    "version": "add `version: 0.1.0`",
    "role": "add `role: main` or `role: sub`",
    "effect": f"say what repeating it would do: `effect:` with one of {_EFFECTS}",
    "entrypoint": "add `entrypoint:` with the Python file beside the manifest",
    "max_rounds": "bound the loop: add `max_rounds:`",
    "until": "add `until:` with the condition that ends the loop",
    "verdict": "add `verdict:` with allow, ask or deny",
    "on": "add `on:` with a list",
    "threshold": "add `threshold:` between 0 and 1",
}
_WRITE: Final = {
    "slug": "slugs have small letters, digits and dashes, at least two, begin with a letter and do not end with a dash",
    "version": "write three numbers, e.g. 1.2.0, in quotes if YAML reads a number",
    "id": "ids have small letters, digits and underscores (rules: dashes) and begin with a letter",
    "effect": f"write one of {_EFFECTS}",
    "on_error": "write fail, retry, skip, collect or {fallback: ID}",
    "with": "write a mapping, or an expression that begins with `=`",
}
_TYPES: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_BOUNDS: Final = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "more than"),
    "less_than": ("lt", "less than"),
}


class SchemaWords(NamedTuple):
    """What is wrong and the next move; `at_key` points at the key instead of the value."""

    what: str
    next: str
    at_key: bool = False


def words(errors: list[dict[str, Any]], pointer: Pointer, known: list[str]) -> SchemaWords:
    """Say one fault; several errors at one place are the branches of a union."""
    error, name = errors[0], str(pointer[-1]) if pointer else "manifest"
    kind, given, context = error["type"], error["input"], error.get("ctx") or {}
    if kind == "missing":
        return SchemaWords(f"`{name}` is missing", _ADD.get(name, f"add `{name}:`"))
    if kind == "extra_forbidden":
        return _unknown(name, known)
    if len(errors) > 1:
        return SchemaWords(f"{_named(pointer)} cannot be {_shown(given)}", _WRITE.get(name, "write one of its forms"))
    if kind == "value_error":
        return SchemaWords(*_split(str(context["error"])))
    if kind in ("literal_error", "enum"):
        expected = re.sub(r"<[\w.]+: ('[^']*')>", r"\1", str(context["expected"])).replace("'", "")
        return SchemaWords(f"{_named(pointer)} cannot be {_shown(given)}", f"write {_one_of(given, expected)}")
    if kind in _TYPES:
        what = f"{_named(pointer)} must be {_TYPES[kind]}, not {_shown(given)}"
        return SchemaWords(what, _retyped(kind, name, given))
    if kind in _BOUNDS:
        key, how = _BOUNDS[kind]
        return SchemaWords(f"{_named(pointer)} is {_shown(given)}", f"write {how} {context[key]}")
    if kind == "string_pattern_mismatch":
        fix = _WRITE.get(name, f"it must match {context['pattern']}")
        return SchemaWords(f"{_named(pointer)} cannot be {_shown(given)}", fix)
    if kind == "too_short":
        return SchemaWords(f"{_named(pointer)} is empty", "give at least one")
    return SchemaWords(f"{_named(pointer)}: {error['msg']}", _WRITE.get(name, "correct it"))


def _split(text: str) -> tuple[str, str]:
    """What is wrong and the next move, at the first colon that is not inside backticks."""
    for colon in re.finditer(": ", text):
        if text.count("`", 0, colon.start()) % 2 == 0:
            return text[: colon.start()], text[colon.end() :]
    return text, ""


def _unknown(name: str, known: list[str]) -> SchemaWords:
    if name in LATER:
        return SchemaWords(f"`{name}` is not enforced by this version, so it is refused", "remove it", True)
    fix = did_you_mean(name, known) or "remove it; the keys here are " + ", ".join(known)
    return SchemaWords(f"`{name}` is no key of this place", fix, True)


def _named(pointer: Pointer) -> str:
    last = pointer[-1] if pointer else "the manifest"
    if isinstance(last, int):
        return f"`{pointer[-2]}[{last}]`" if len(pointer) > 1 else f"item {last}"
    return f"`{last}`" if pointer else last


def _one_of(given: object, expected: str) -> str:
    names = [part.strip() for part in expected.replace(" or ", ", ").split(",")]
    guess = did_you_mean(given, names) if isinstance(given, str) else ""
    return f"{expected}; {guess}" if guess else expected


def _retyped(kind: str, name: str, given: object) -> str:
    if kind == "string_type" and isinstance(given, bool | int | float):
        if name == "version":
            return _WRITE["version"]
        return f'put it in quotes: "{str(given).lower() if isinstance(given, bool) else given}"'
    if kind == "string_type" and isinstance(given, dict | list):
        return "put the whole expression in quotes"
    if kind in ("tuple_type", "list_type") and isinstance(given, str):
        return f"put it in brackets: [{given}]"
    return _WRITE.get(name, f"write {_TYPES[kind]}")


def _shown(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
