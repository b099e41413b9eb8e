"""Whether each contract is a JSON Schema that compiles, and whether all its references stay in the catalog."""

from collections.abc import Set
from typing import Any, Final

from magsag.catalog.bundle import Bundle
from magsag.catalog.contracts import compile_schema
from magsag.catalog.document import Pointer
from magsag.catalog.findings import Notebook, Notes
from magsag.catalog.redactable import MARK
from magsag.catalog.references import did_you_mean
from magsag.catalog.subschemas import BadRef, Schema, describes_no_field, locate, self_contained, subschemas
from magsag.catalog.survey import Survey

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_TYPES: Final = ("null", "boolean", "object", "array", "number", "integer", "string")


def check_contracts(found: Survey, bundle: Bundle, notes: Notes, within: Set[str] | None) -> None:
    """Add the findings of every contract file, or of those within."""
    for name, (path, document) in found.contracts.items():
        if within is not None and f"contract:{name}" not in within:
            continue
        if isinstance(document.value, dict) and not document.faults:
            _check(name, document.value, bundle, Notebook(notes, path, document, f"contract:{name}"))


def _check(name: str, schema: Schema, bundle: Bundle, notes: Notebook) -> None:
    draft = schema.get("$schema", _DRAFT)
    if not isinstance(draft, str) or draft.rstrip("#") != _DRAFT:
        notes.add(("$schema",), f"contracts are read as JSON Schema 2020-12, not {draft}", f"write {_DRAFT}")
        return
    if not _check_parts(name, schema, bundle, notes):
        _check_compiled(name, schema, bundle, notes)


def _check_parts(name: str, schema: Schema, bundle: Bundle, notes: Notebook) -> bool:
    """References and marks; whether anything was wrong."""
    wrong = False
    for pointer, part in subschemas(schema):
        if isinstance(ref := part.get("$ref"), str):
            try:
                locate(name, ref, bundle.schema_text)
            except BadRef as error:
                notes.add((*pointer, "$ref"), error.what, error.fix)
                wrong = True
        if not isinstance(part.get(MARK, True), bool):
            notes.add((*pointer, MARK), f"`{MARK}` is true or false", f"write `{MARK}: true` or remove it")
            wrong = True
        elif part.get(MARK) is True and (keyword := describes_no_field(pointer)):
            what = f"`{MARK}` under `{keyword}` marks no field, so nothing would be redacted"
            notes.add((*pointer, MARK), what, "mark the field itself")
            wrong = True
        if pointer and "$id" in part:
            notes.add((*pointer, "$id"), "`$id` inside a contract is not read", "use `$defs` and `#/$defs/...`")
            wrong = True
    return wrong


def _check_compiled(name: str, schema: Schema, bundle: Bundle, notes: Notebook) -> None:
    """What the compiler refuses; what it sees in other contracts is said there."""
    from jsonschema_rs import ValidationError

    try:
        compile_schema(self_contained(name, bundle.schema_text))
    except BadRef:
        return
    except ValidationError as error:
        faults = _meta_faults(schema)
        for pointer, message in faults.items():
            notes.add(pointer, f"the contract is no JSON Schema: {message}", _fix(pointer, schema))
        pointer = tuple(error.instance_path)
        if not faults and not any(str(part).startswith("contract.") for part in pointer[1:2]):
            notes.add(pointer, f"the contract does not compile: {error.message}", "correct it")


def _meta_faults(schema: Schema) -> dict[Pointer, str]:
    """What the schema of schemas says, once per place."""
    from jsonschema_rs import Draft202012Validator

    found: dict[Pointer, str] = {}
    for error in Draft202012Validator({"$ref": _DRAFT}).iter_errors(schema):
        found.setdefault(tuple(error.instance_path), error.message)
    return found


def _fix(pointer: Pointer, schema: Any) -> str:
    if not pointer or pointer[-1] != "type":
        return "correct it"
    for part in pointer:
        schema = schema[part]
    guess = did_you_mean(schema, list(_TYPES)) if isinstance(schema, str) else ""
    return guess or "the types are " + ", ".join(_TYPES)
