"""Whether a manifest has the shape of its kind, in words.

Besides its faults a manifest that fails gets a stand-in: the same manifest with the faulty parts mended, so
that the other checks see the rest of it and what one fault hides is found in the same pass.
"""

from collections.abc import Iterator
from copy import deepcopy
from difflib import get_close_matches
from typing import Any, Final, NamedTuple, get_args

from pydantic import BaseModel, ValidationError

from magsag.catalog.check.wording import MISSING, SchemaWords, words
from magsag.catalog.document import Pointer
from magsag.domain.frozen import frozen
from magsag.domain.manifests import KINDS, Manifest

_ROUNDS: Final = 4
_PLACEHOLDERS: Final[dict[str, Any]] = {
    "schema": 1,
    "version": "0.0.0",
    "role": "sub",
    "entrypoint": "",
    "effect": "unrepeatable",
    "attempts": 1,
    "max_rounds": 1,
    "until": "true",
    "threshold": 0.0,
    "on_metrics": ["output"],
    "verdict": "deny",
}
"""harmless values for keys that must be there"""


class SchemaFault(NamedTuple):
    """One fault of shape."""

    pointer: Pointer
    at_key: bool
    what: str
    next: str


@frozen
class Shape:
    """What the shape check made of a manifest's values."""

    manifest: Manifest | None
    """None when there are faults"""
    stand_in: Manifest | None
    """with faults: the manifest with these mended; None where that is impossible"""
    faults: tuple[SchemaFault, ...] = ()
    mended: frozenset[Pointer] = frozenset()
    """places of the stand-in that are not what was written"""


def check_shape(kind: str, data: dict[str, Any], folder: str) -> Shape:
    """Read the values as a manifest of this kind; `folder` stands in for a missing slug."""
    model = KINDS[kind]
    data = {key: value for key, value in data.items() if key != "$schema"}
    empty = list(_empty(model, data))
    try:
        read = model.model_validate(data)
        if not empty:
            return Shape(read, None)
        return Shape(None, read, tuple(empty))
    except ValidationError as error:
        told = {fault.pointer for fault in empty}
        first = empty + [fault for fault in _faults(model, data, error) if fault.pointer not in told]
    if isinstance(version := data.get("schema"), int) and version > 1:
        what = f"the manifest has schema {version}, which a newer magsag reads"
        return Shape(None, None, (SchemaFault(("schema",), False, what, "install that version, or write schema: 1"),))
    return _mended(model, deepcopy(data), first, folder)


def _mended(model: type[Manifest], data: dict[str, Any], found: list[SchemaFault], folder: str) -> Shape:
    faults = list(found)
    mended: set[Pointer] = set()
    for _ in range(_ROUNDS):
        for fault in found:
            mended.add(fault.pointer)
            _mend(data, fault.pointer, folder, model)
        try:
            return Shape(None, model.model_validate(data), tuple(faults), frozenset(mended))
        except ValidationError as error:
            found = list(_faults(model, data, error))
        known = {fault.pointer[:-1] for fault in faults} | {fault.pointer for fault in faults}
        faults += [fault for fault in found if fault.pointer not in known and fault.pointer[:-1] not in known]
    return Shape(None, None, tuple(faults))


def _mend(data: Any, pointer: Pointer, folder: str, model: type[BaseModel]) -> None:
    """Remove what is at fault, or put something harmless there."""
    parent = _at(data, pointer[:-1])
    if not pointer or not isinstance(parent, dict | list):
        return
    last = pointer[-1]
    if isinstance(parent, list):
        parent[int(last)] = _stand_in(parent[int(last)])
        return
    last = str(last)
    field = _fields(_model_at(model, data, pointer[:-1])).get(last)
    if field is None or not field.is_required():
        parent.pop(last, None)
    elif last == "slug":
        parent[last] = folder
    elif last in _PLACEHOLDERS:
        parent[last] = _PLACEHOLDERS[last]


def _stand_in(step: Any) -> Any:
    """A step of the same name and order that does nothing."""
    if not isinstance(step, dict) or not isinstance(step.get("id"), str):
        return step
    kept = {key: step[key] for key in ("id", "when", "needs", "for_each") if key in step}
    return {**kept, "run": ["true"], "effect": "pure"}


def _empty(model: type[BaseModel] | None, data: Any, pointer: Pointer = ()) -> Iterator[SchemaFault]:
    """Keys without a value: what is left open by mistake must not count as left out."""
    if isinstance(data, list):
        for index, part in enumerate(data):
            yield from _empty(model, part, (*pointer, index))
    elif isinstance(data, dict):
        for name, field in _fields(model).items():
            if name in data and data[name] is None:
                what = f"`{name}` is empty"
                yield SchemaFault((*pointer, name), True, what, "give it a value, or remove the key")
            elif name in data:
                yield from _empty(_model_in(field.annotation), data[name], (*pointer, name))


def _faults(model: type[Manifest], data: dict[str, Any], error: ValidationError) -> Iterator[SchemaFault]:
    """One fault per place: the alternatives of a union are told once, and a misspelt key is not missing too."""
    found: dict[Pointer, list[dict[str, Any]]] = {}
    unions: dict[Pointer, Pointer] = {}
    for item in error.errors(include_url=False):
        pointer, union = _pointer(data, item["loc"], item["type"] == "missing")
        found.setdefault(pointer, []).append(dict(item))
        if union is not None:
            unions[pointer] = union
    deep = {union for pointer, union in unions.items() if len(pointer) > len(union)}
    extra = [pointer for pointer, items in found.items() if items[0]["type"] == "extra_forbidden"]
    for pointer, items in found.items():
        if pointer in deep or (items[0]["type"] == "missing" and _is_misspelt(pointer, extra)):
            continue
        model_here = _model_at(model, data, pointer[:-1])
        said: SchemaWords = words(items, pointer, _names(model_here))
        yield SchemaFault(pointer, said.at_key, said.what, said.next)


def _is_misspelt(missing: Pointer, extra: list[Pointer]) -> bool:
    beside = [str(pointer[-1]) for pointer in extra if pointer[:-1] == missing[:-1]]
    return bool(get_close_matches(str(missing[-1]), beside, n=1, cutoff=MISSING))


def _pointer(data: Any, location: tuple[Any, ...], missing: bool) -> tuple[Pointer, Pointer | None]:
    """The place in the file; names of union branches are no part of it. Also the union, if there is one."""
    pointer: Pointer = ()
    union: Pointer | None = None
    here = data
    for index, part in enumerate(location):
        if (isinstance(here, dict) and part in here) or (isinstance(here, list) and isinstance(part, int)):
            here = here[part]
            pointer = (*pointer, part)
        elif missing and index == len(location) - 1:
            pointer = (*pointer, part)
        else:
            union = pointer
    return pointer, union


def _at(data: Any, pointer: Pointer) -> Any:
    for part in pointer:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _model_at(model: type[BaseModel], data: Any, pointer: Pointer) -> type[BaseModel] | None:
    """The model that describes the mapping at a pointer."""
    here: type[BaseModel] | None = model
    for part in pointer:
        if isinstance(part, str) and here is not None and (field := _fields(here).get(part)) is not None:
            here = _model_in(field.annotation)
    return here


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _fields(model: type[BaseModel] | None) -> dict[str, Any]:
    if model is None:
        return {}
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _names(model: type[BaseModel] | None) -> list[str]:
    return sorted(_fields(model))
