"""The text of the configuration reference: settings, and the keys of every manifest, as the models have them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from ops.tools import described

_DURATION: Final = "duration: 500ms, 20s, 24h"


def config_reference() -> tuple[str, ...]:
    """Title, description and parts of the page."""
    from magsag.domain import manifests

    return (
        "Configuration reference",
        "The settings of magsag.toml and the keys of every manifest.",
        "## Settings",
        "A flag stands above a variable, a variable above `magsag.toml`, the file above the default; "
        "`magsag config show` gives each value with its source. A key with a dot stands in a section: "
        "`limits.depth` is `depth` under `[limits]`.",
        _settings(),
        "## Manifests",
        "Every manifest says `kind:` and `schema: 1`. A key that is not here is refused.",
        *(f"### {model.__name__}\n\n{described.summary(model)}\n\n{_keys(model)}" for model in _models(manifests)),
    )


def _settings() -> str:
    from magsag.adapters.settings.keys import FLAGS, KEYS
    from magsag.domain.settings import Audit, Features, Http, Limits, Sandboxing, Settings

    sections = {
        "": Settings,
        "features.": Features,
        "sandbox.": Sandboxing,
        "http.": Http,
        "limits.": Limits,
        "audit.": Audit,
    }
    about = {
        f"{start}{field.name}": field.about for start, cls in sections.items() for field in described.fields_of(cls)
    }
    rows = [
        (key, f"MAGSAG_{key.replace('.', '_').upper()}", FLAGS.get(key, ""), _toml(known.default), about[key])
        for key, known in KEYS.items()
    ]
    rows.append(("models.ALIAS", "MAGSAG_MODELS_ALIAS", "", "", about["models"]))
    rows.append(("prices.ALIAS", "", "", "", about["prices"]))
    rows.append(("providers.NAME", "", "", "", about["providers"]))
    lines = [
        f"| `{key}` | {_cell(variable)} | {_cell(flag)} | {_cell(default)} | {what} |"
        for key, variable, flag, default, what in rows
    ]
    return "\n".join(["| key | variable | flag | default | what it does |", "|---|---|---|---|---|", *lines])


def _toml(default: object) -> str:
    """A default as magsag.toml would say it; empty where it depends on where one is."""
    return "" if default is None else json.dumps(default)


def _models(package: Any) -> Iterator[type[BaseModel]]:
    """The manifests and their parts, in the order of their files; what has no keys of its own is left out."""
    for name in sorted(path.stem for path in Path(package.__path__[0]).glob("[a-z]*.py")):
        module = __import__(f"{package.__name__}.{name}", fromlist=[name])
        for thing in vars(module).values():
            is_own = isinstance(thing, type) and thing.__module__ == module.__name__
            if is_own and issubclass(thing, BaseModel) and set(thing.model_fields) - {"kind", "schema_version"}:
                yield thing


def _keys(model: type[BaseModel]) -> str:
    schema = model.model_json_schema(by_alias=True)
    about = {field.name: field.about for field in described.fields_of(model)}
    definitions = schema.get("$defs", {})
    own = schema if "properties" in schema else definitions[model.__name__]
    rows = []
    for name, field in model.model_fields.items():
        key = field.alias or name
        if key not in {"kind", "schema"}:
            shape = own["properties"][key]
            words = _shape(shape, definitions)
            default = "required" if key in own.get("required", ()) else _said(shape.get("default"), words)
            rows.append((key, words, default, about.get(name, "")))
    return _table(rows)


def _said(default: object, shape: str) -> str:
    """A default as a manifest would say it; empty where leaving the key out means that there is none."""
    if default is None or (isinstance(default, dict) and not any(default.values())):
        return ""
    return f"{default:g}s" if shape == _DURATION and isinstance(default, float) else json.dumps(default)


def _shape(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """What a value looks like, in words: `string`, `list of string`, `a or b`."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return _shape(definitions[name], definitions) if "enum" in definitions[name] else name
    if "anyOf" in schema:
        return " or ".join(_shape(part, definitions) for part in schema["anyOf"] if part.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return " or ".join(str(value) for value in schema.get("enum", [schema.get("const")]))
    match schema.get("type"):
        case "array":
            return f"list of {_shape(schema.get('items', {}), definitions)}"
        case "object":
            inner = schema.get("additionalProperties")
            return f"map of {_shape(inner if isinstance(inner, dict) else {}, definitions)}"
        case "string" if "24h" in schema.get("examples", ()):
            return _DURATION
        case None:
            return "any"
        case name:
            return str(name) + "".join(
                f", {words} {schema[bound]:g}"
                for bound, words in (("minimum", "at least"), ("maximum", "at most"))
                if bound in schema
            )


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    lines = [f"| `{key}` | {_cell(shape)} | {_cell(default)} | {about} |" for key, shape, default, about in rows]
    return "\n".join(["| key | value | default | what it does |", "|---|---|---|---|", *lines])


def _cell(text: str) -> str:
    return f"`{text}`".replace("|", "\\|") if text and text != "required" else text
