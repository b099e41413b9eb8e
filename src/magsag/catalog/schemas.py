"""The JSON Schemas of all manifests, made from their models, for editors and for whoever reads them.

They are committed under `catalog/_schemas/`; `magsag catalog schema --write` renews them, a test sees a drift.
"""

import ast
import inspect
import json
from collections.abc import Iterator
from itertools import pairwise
from textwrap import dedent
from typing import Any, Final, get_args

from pydantic import BaseModel

from magsag.catalog.python_text import parsed
from magsag.domain.manifests import KINDS

FOLDER: Final = "_schemas"
"""where they stand in a catalog"""
_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


def render() -> dict[str, str]:
    """Path in the catalog -> text of the schema, one per kind."""
    return {
        f"{FOLDER}/{kind}.schema.json": json.dumps(_schema(kind, model), indent=2, ensure_ascii=False) + "\n"
        for kind, model in KINDS.items()
    }


def _schema(kind: str, model: type[BaseModel]) -> dict[str, Any]:
    made = model.model_json_schema(by_alias=True)
    models = {found.__name__: found for found in _models(model, set())}
    parts = made.get("$defs", {})
    for name, part in [(model.__name__, made), *parts.items()]:
        if name in models:
            _describe(part, models[name])
    made["properties"] = {
        "$schema": {"type": "string", "description": "this schema, for editors"},
        **made["properties"],
    }
    made["title"] = f"MAGSAG {kind} manifest, schema 1"
    return {"$schema": _DRAFT, **made}


def _describe(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Put the text below each field beside it; titles that only repeat the name go."""
    texts = dict(_field_texts(model))
    for name, field in model.model_fields.items():
        described = schema["properties"].get(field.alias or name)
        if described is not None:
            described.pop("title", None)
            _without_null(described)
            if name in texts:
                described["description"] = texts[name]


def _without_null(schema: dict[str, Any]) -> None:
    """A key is left out, never null."""
    branches = [branch for branch in schema.get("anyOf", ()) if branch != {"type": "null"}]
    if len(branches) == 1:
        del schema["anyOf"]
        schema.update(branches[0])
    elif branches:
        schema["anyOf"] = branches
    if schema.get("default", ...) is None:
        del schema["default"]


def _models(annotation: Any, seen: set[Any]) -> Iterator[type[BaseModel]]:
    """The model and those that its fields hold, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation not in seen:
            seen.add(annotation)
            yield annotation
            for field in annotation.model_fields.values():
                yield from _models(field.annotation, seen)
        return
    for part in get_args(annotation):
        yield from _models(part, seen)


def _field_texts(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Field -> the string below it; a model's own text goes before that of the model it extends."""
    for parent in reversed(model.__mro__):
        if not issubclass(parent, BaseModel) or parent is BaseModel:
            continue
        statements = parsed(dedent(inspect.getsource(parent))).body[0]
        body = statements.body if isinstance(statements, ast.ClassDef) else []
        for field, below in pairwise(body):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                yield field.target.id, inspect.cleandoc(str(below.value.value))
