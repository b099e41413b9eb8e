"""Where a JSON Schema holds further schemas, and what a `$ref` between contracts means.

Every contract is made self-contained: what it refers to in other contracts is copied under its `$defs` and
all references point inside. So nobody who reads it later has to look anything up, and nothing can be fetched.
"""

import posixpath
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote, unquote

from magsag.catalog.document import Pointer

Schema = dict[str, Any]
Lookup = Callable[[str], object]
"""contract name -> its schema as written; None when there is no such contract"""

_MAPS: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_LISTS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_SINGLE: Final = frozenset(
    {"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"}
    | {"unevaluatedItems", "unevaluatedProperties", "contentSchema"}
)
_NO_FIELDS: Final = frozenset({"not", "propertyNames", "contentSchema"})
SUFFIXES: Final = (".schema.json", ".schema.yaml", ".schema.yml")


class BadRef(Exception):
    """A `$ref` that leads nowhere; `fix` is the next move."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


def subschemas(schema: object, pointer: Pointer = ()) -> Iterator[tuple[Pointer, Schema]]:
    """Every schema object inside a schema, itself first; data such as `enum` and `default` is left out."""
    if not isinstance(schema, dict):
        return
    yield pointer, schema
    for key, part in schema.items():
        if key in _MAPS and isinstance(part, dict):
            for name, inner in part.items():
                yield from subschemas(inner, (*pointer, key, name))
        elif key in _LISTS and isinstance(part, list):
            for index, inner in enumerate(part):
                yield from subschemas(inner, (*pointer, key, index))
        elif key in _SINGLE:
            yield from subschemas(part, (*pointer, key))


def describes_no_field(pointer: Pointer) -> str | None:
    """The keyword on the way to a schema that makes it say nothing of a value's own fields; None for most."""
    waiting = iter(pointer)
    for keyword in waiting:
        if keyword in _NO_FIELDS:
            return str(keyword)
        if keyword not in _SINGLE:
            next(waiting, None)
    return None


def self_contained(name: str, lookup: Lookup) -> Schema:
    """The contract's schema with all it refers to inside. Raises BadRef."""
    return _Copy(name, lookup).schema()


def locate(referrer: str, ref: str, lookup: Lookup) -> tuple[str, str]:
    """Name and JSON pointer (text) of what `ref`, written in contract `referrer`, means. Raises BadRef."""
    file, _, fragment = ref.partition("#")
    name = _file_name(referrer, file, lookup) if file else referrer
    target = lookup(name)
    if fragment and not fragment.startswith("/"):
        fragment = _anchor(target, ref, fragment)
    if resolve_pointer(target, fragment) is None:
        raise BadRef(f"`{ref}` points at nothing in contract {name}", "correct the part after `#`")
    return name, fragment


def resolve_pointer(schema: object, fragment: str) -> object:
    """The value at a JSON pointer; None where there is nothing."""
    for part in [_unescaped(part) for part in fragment.split("/")[1:]]:
        if isinstance(schema, dict) and part in schema:
            schema = schema[part]
        elif isinstance(schema, list) and part.isdigit() and int(part) < len(schema):
            schema = schema[int(part)]
        else:
            return None
    return schema


def contract_name(path: str) -> str | None:
    """`contracts/a/b.schema.json` -> `a/b`; None for a file that is no contract."""
    if not path.startswith("contracts/"):
        return None
    return next((path[len("contracts/") : -len(end)] for end in SUFFIXES if path.endswith(end)), None)


class _Copy:
    """One contract on its way to being self-contained."""

    def __init__(self, name: str, lookup: Lookup) -> None:
        self._name = name
        self._lookup = lookup
        self._keys: dict[str, str] = {}
        """contract -> its key under `$defs`"""

    def schema(self) -> Schema:
        root = self._rewritten(self._name)
        done: dict[str, Schema] = {}
        while waiting := [name for name in self._keys if name not in done]:
            for name in waiting:
                done[name] = self._rewritten(name)
        if done:
            kept = root.get("$defs") or {}
            root["$defs"] = {**kept, **{self._keys[name]: schema for name, schema in done.items()}}
        return root

    def _rewritten(self, name: str) -> Schema:
        source = self._lookup(name)
        if not isinstance(source, dict):
            raise BadRef(f"contract {name} is no JSON object", "write a JSON Schema object")
        copy: Schema = _copied(source)
        copy.pop("$id", None)
        for _, schema in list(subschemas(copy)):
            if isinstance(ref := schema.get("$ref"), str):
                target, fragment = locate(name, ref, self._lookup)
                schema["$ref"] = f"#{self._prefix(target)}{fragment}"
            schema.pop("$anchor", None)
        return copy

    def _prefix(self, target: str) -> str:
        if target == self._name:
            return ""
        if target not in self._keys:
            self._keys[target] = f"contract.{target}"
        return f"/$defs/{quote(_escaped(self._keys[target]))}"


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_copied(part) for part in value]
    return value


def _file_name(referrer: str, file: str, lookup: Lookup) -> str:
    if "://" in file or file.startswith(("//", "urn:", "file:", "data:")):
        raise BadRef(f"`{file}` lies outside the catalog, and nothing is fetched", "copy that schema into contracts/")
    plain = next((file[: -len(end)] for end in (*SUFFIXES, ".json") if file.endswith(end)), file)
    beside = posixpath.normpath(posixpath.join(posixpath.dirname(referrer), plain))
    for name in (beside, posixpath.normpath(plain)):
        if lookup(name) is not None:
            return name
    raise BadRef(f"there is no contract {beside!r} in the catalog", "write the contract's name or its relative file")


def _anchor(target: object, ref: str, anchor: str) -> str:
    for pointer, schema in subschemas(target):
        if schema.get("$anchor") == anchor:
            return "".join(f"/{_escaped(str(part))}" for part in pointer)
    raise BadRef(f"`{ref}` names no `$anchor`", "correct the part after `#`")


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _unescaped(part: str) -> str:
    return unquote(part).replace("~1", "/").replace("~0", "~")
