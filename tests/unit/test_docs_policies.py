"""Every property of the policy, people and policy-test schemas occurs in an example that is typed and run."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from magsag.catalog.reading import read
from tests.unit.pages import ROOT, Block, blocks, pages

KINDS: Final = ("policy", "people", "policy_test")
Schema = Mapping[str, Any]


def run_examples() -> list[Block]:
    """The YAML files of pages that are followed command by command: the commands read them."""
    found = [blocks(path) for path in pages()]
    followed = [page for page in found if any(block.language == "console" for block in page)]
    return [block for page in followed for block in page if block.language == "yaml" and block.file is not None]


def properties(schema: Schema, whole: Schema, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """All of them, each as `Title.name`."""
    if (name := str(schema.get("$ref", "")).removeprefix("#/$defs/")) and name not in seen:
        yield from properties(whole["$defs"][name], whole, seen | {name})
    for name, part in schema.get("properties", {}).items():
        if name == "$schema":
            continue  # says to editors what the rest is
        yield f"{schema.get('title')}.{name}"
        yield from properties(part, whole, seen)
    for part in _inner(schema):
        yield from properties(part, whole, seen)


def occurring(value: Any, schema: Schema, whole: Schema) -> Iterator[str]:
    """Those that the value has."""
    if "$ref" in schema:
        yield from occurring(value, whole["$defs"][schema["$ref"].removeprefix("#/$defs/")], whole)
    for part in schema.get("anyOf", ()):
        yield from occurring(value, part, whole)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        more = schema.get("additionalProperties")
        for name, part in value.items():
            if name in known:
                yield f"{schema.get('title')}.{name}"
                yield from occurring(part, known[name], whole)
            elif isinstance(more, dict):
                yield from occurring(part, more, whole)
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for part in value:
            yield from occurring(part, schema["items"], whole)


def unshown(kind: str, texts: list[str]) -> list[str]:
    """The properties that no example has."""
    path = ROOT / "catalog" / "_schemas" / f"{kind}.schema.json"
    schema: Schema = json.loads(path.read_text(encoding="utf-8"))
    documents = [read("example.yaml", text.encode()).value for text in texts]
    shown = {
        name
        for document in documents
        if isinstance(document, dict) and document.get("kind") == kind
        for name in occurring(document, schema, schema)
    }
    return sorted(set(properties(schema, schema)) - shown)


def _inner(schema: Schema) -> Iterator[Schema]:
    yield from (part for part in schema.get("anyOf", ()))
    yield from (schema[key] for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict))


@pytest.mark.parametrize("kind", KINDS)
def test_every_property_occurs_in_an_example_that_is_run(kind: str) -> None:
    assert unshown(kind, [block.text for block in run_examples()]) == []


def test_a_property_that_no_example_has_is_missed() -> None:
    texts = [block.text for block in run_examples()]
    without = [text.replace(", escalate_to: [head]", "") for text in texts]
    assert unshown("policy", without) == ["Approval.escalate_to"]
    assert len(unshown("people", [])) > len(unshown("people", texts))
