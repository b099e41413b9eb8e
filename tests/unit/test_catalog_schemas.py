"""The schemas for editors are those of the models, and the drawings show what is there."""

import json
from pathlib import Path

import pytest
from jsonschema_rs import Draft202012Validator

from magsag.catalog.graph_view import as_json, as_mermaid, as_text, edges, of_catalog, of_flow
from magsag.catalog.reading import read
from magsag.catalog.schemas import FOLDER, render
from tests.unit.catalogs import AGENT, FLOW, SKILL, loaded, swapped

ROOT = Path(__file__).parents[2] / "catalog"


def test_the_committed_schemas_are_up_to_date() -> None:
    committed = {f"{FOLDER}/{path.name}": path.read_text(encoding="utf-8") for path in (ROOT / FOLDER).iterdir()}
    assert committed == render()


def test_every_field_of_every_schema_is_described() -> None:
    bare = [
        f"{path} {part.get('title')}.{name}"
        for path, text in render().items()
        for part in [json.loads(text), *json.loads(text).get("$defs", {}).values()]
        for name, field in part.get("properties", {}).items()
        if "description" not in field
    ]
    assert bare == []


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        (AGENT, True),
        (SKILL, True),
        (FLOW, True),
        (swapped(FLOW, ("version: 1.0.0", "version: 1.0")), False),
        (swapped(SKILL, ("effect: idempotent\n", "")), False),
        (swapped(SKILL, ("effect", "efect")), False),
        (swapped(AGENT, ("role: main", "role: chief")), False),
        (AGENT + "timeout: 20\n", False),
        (AGENT + "timeout: 20s\n", True),
    ],
)
def test_a_schema_takes_what_the_loader_takes(text: str, fits: bool) -> None:
    value = read("a.yaml", text.encode()).value
    assert isinstance(value, dict)
    schema = json.loads(render()[f"{FOLDER}/{value['kind']}.schema.json"])
    assert Draft202012Validator(schema).is_valid(value) is fits


def test_the_edges_are_exact_references(tmp_path: Path) -> None:
    assert [tuple(edge) for edge in edges(loaded(tmp_path).bundle)] == [
        ("agent:boss-mag@0.1.0", "agent:helper-sag@0.1.3", "uses"),
        ("agent:boss-mag@0.1.0", "skill:send@0.2.0", "uses"),
        ("flow:review@1.0.0", "skill:send@0.2.0", "step"),
    ]


def test_a_catalog_is_drawn_as_trees_mermaid_and_json(tmp_path: Path) -> None:
    drawing = of_catalog(loaded(tmp_path).bundle)
    assert as_text(drawing).split("\n") == [
        "agent:boss-mag@0.1.0 (main)",
        "├─ uses agent:helper-sag@0.1.3 (sub)",
        "└─ uses skill:send@0.2.0 [idempotent]",
        "flow:review@1.0.0",
        "└─ step skill:send@0.2.0 [idempotent]",
    ]
    assert '    n0["agent:boss-mag@0.1.0 (main)"]' in as_mermaid(drawing)
    assert "    n0 -->|uses| n1" in as_mermaid(drawing)
    assert json.loads(as_json(drawing))["edges"][0]["target"] == "agent:helper-sag@0.1.3"


def test_a_cycle_in_a_catalog_is_drawn_once(tmp_path: Path) -> None:
    helper = {
        "agents/sub/helper-sag/agent.yaml": swapped(AGENT, ("boss-mag", "helper-sag"), ("agent:helper", "agent:boss"))
    }
    text = as_text(
        of_catalog(loaded(tmp_path, {key: text.replace("boss-sag", "boss-mag") for key, text in helper.items()}).bundle)
    )
    assert text.count("uses agent:helper-sag") == 1


def test_the_steps_of_a_flow_are_drawn_with_what_they_wait_for(tmp_path: Path) -> None:
    text = """\
        kind: flow
        schema: 1
        slug: round
        version: 0.1.0
        steps:
          - {id: a, run: [echo, "<hi>"], effect: pure, on_error: {fallback: spare}}
          - {id: spare, run: [a], effect: pure}
          - id: again
            loop: {max_rounds: 2, until: steps.two.code == 0}
            steps:
              - {id: one, run: [echo, =steps.a.stdout], effect: pure}
              - {id: two, run: [echo, =steps.one.stdout], effect: pure}
        """
    bundle = loaded(tmp_path, {"flows/round.yaml": text}).bundle
    drawing = of_flow(bundle, bundle.find("flow:round"))
    assert as_text(drawing).split("\n") == [
        "a: echo <hi>",
        "spare: a   (fallback of a)",
        "again: loop, at most 2 rounds, until steps.two.code == 0   (after a)",
        "   one: echo =steps.a.stdout",
        "   two: echo =steps.one.stdout   (after one)",
    ]
    assert "-->|fallback|" in as_mermaid(drawing)
    assert "#60;hi#62;" in as_mermaid(drawing)
