"""Contracts: what fits, what is redacted, and references that never leave the catalog."""

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from magsag.catalog.contracts import Contract
from magsag.catalog.redactable import REDACTED
from magsag.catalog.subschemas import BadRef
from magsag.domain.errors import Invalid
from tests.unit.catalogs import loaded, told


def contract(name: str, schemas: Mapping[str, object]) -> Contract:
    return Contract.load(name, schemas.get)


def pointers(name: str, schemas: Mapping[str, object], value: object) -> list[str]:
    return [problem.pointer for problem in contract(name, schemas).problems(value)]


def test_a_value_that_fits_has_no_problems_and_a_missing_field_is_named() -> None:
    profile = contract("profile", {"profile": {"type": "object", "required": ["role"]}})
    assert profile.problems({"role": "Engineer"}) == []
    (problem,) = profile.problems({})
    assert (problem.pointer, problem.message) == ("", '"role" is a required property')


def test_a_problem_has_the_pointer_of_its_value() -> None:
    schema = {"properties": {"a/b": {"items": {"type": "number"}}}}
    assert pointers("x", {"x": schema}, {"a/b": [1, "lots"]}) == ["/a~1b/1"]


def test_formats_are_enforced() -> None:
    schema = {"format": "date-time"}
    assert pointers("x", {"x": schema}, "yesterday") == [""]
    assert pointers("x", {"x": schema}, "2031-04-01T09:30:00Z") == []


@pytest.mark.parametrize("value", ["\ud800", 10**400, [[]] * 3], ids=["surrogate", "long", "list"])
def test_strange_values_are_problems_and_no_crash(value: object) -> None:
    assert contract("x", {"x": {"type": "object"}}).problems(value) != []


def test_long_values_and_many_problems_are_cut() -> None:
    problems = contract("x", {"x": {"items": {"type": "number"}}}).problems(["a" * 5000] * 100)
    assert len(problems) == 20
    assert all(len(problem.message) < 400 for problem in problems)


SHARED = {
    "money": {"$id": "https://example.com/money.json", "type": "object", "properties": {"amount": {"type": "number"}}},
    "people/name": {"$defs": {"word": {"type": "string", "$anchor": "w"}}, "$ref": "#/$defs/word"},
    "people/person": {"properties": {"name": {"$ref": "name.schema.json"}, "boss": {"$ref": "#"}}},
    "offer": {
        "$defs": {"own": {"$ref": "money.schema.json#/properties/amount"}},
        "properties": {
            "by_name": {"$ref": "money"},
            "by_file": {"$ref": "./people/person.schema.json"},
            "by_pointer": {"$ref": "#/$defs/own"},
            "by_anchor": {"$ref": "people/name#w"},
            "itself": {"$ref": "offer.schema.json"},
        },
    },
}


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({"by_name": {"amount": "x"}}, "/by_name/amount"),
        ({"by_file": {"boss": {"boss": {"name": 1}}}}, "/by_file/boss/boss/name"),
        ({"by_pointer": "x"}, "/by_pointer"),
        ({"by_anchor": 1}, "/by_anchor"),
        ({"itself": {"itself": {"by_name": {"amount": "x"}}}}, "/itself/itself/by_name/amount"),
    ],
)
def test_references_between_contracts_hold_by_name_and_by_file(value: object, pointer: str) -> None:
    assert pointers("offer", SHARED, value) == [pointer]


@pytest.mark.parametrize("names", [("a/b", "a.b"), ("a b", "a%b"), ("a~b", "ä")])
def test_contracts_keep_apart_whatever_their_names(names: tuple[str, str]) -> None:
    number, text = names
    using = {"properties": {"n": {"$ref": number}, "t": {"$ref": text}}}
    schemas = {"x": using, number: {"type": "integer"}, text: {"type": "string"}}
    assert pointers("x", schemas, {"n": 1, "t": "s"}) == []
    assert sorted(pointers("x", schemas, {"n": "s", "t": 1})) == ["/n", "/t"]


def test_a_field_that_is_called_not_may_be_marked(tmp_path: Path) -> None:
    assert told(tmp_path, {"contracts/other.schema.json": '{"properties": {"not": {"x-redact": true}}}'}) == []


def test_a_contract_is_self_contained_and_leaves_the_written_ones_alone() -> None:
    before = json.dumps(SHARED)
    schema = contract("offer", SHARED).schema
    assert all(ref.startswith("#") for ref in _refs(schema))
    assert json.dumps(SHARED) == before


def _refs(value: Any) -> Iterator[str]:
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if key == "$ref":
            yield part
        else:
            yield from _refs(part)


@pytest.mark.parametrize(
    "ref", ["http://127.0.0.1:9/x", "file:///etc/passwd", "//host/x", "urn:x", "nowhere", "money#/no", "money#no"]
)
def test_a_reference_that_leads_out_or_nowhere_is_refused(ref: str) -> None:
    with pytest.raises(BadRef):
        contract("x", {**SHARED, "x": {"$ref": ref}})


class _Counting(BaseHTTPRequestHandler):
    requests: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.requests.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    listening = HTTPServer(("127.0.0.1", 0), _Counting)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.shutdown()
    thread.join()
    listening.server_close()


def test_nothing_is_fetched_at_load_or_use(server: str, tmp_path: Path) -> None:
    import urllib.request

    from magsag.catalog.contracts import compile_schema

    _Counting.requests.clear()
    remote = {"contracts/question.schema.json": json.dumps({"properties": {"text": {"$ref": f"{server}/x.json"}}})}
    (finding,) = [line for line in told(tmp_path, remote) if line.startswith("contracts/")]
    assert finding.startswith("contracts/question.schema.json:1:34: ")
    assert "nothing is fetched" in finding
    with pytest.raises(Invalid):
        loaded(tmp_path, remote).bundle.contract("question")
    with pytest.raises(ValueError, match="fetched"):
        compile_schema({"$ref": f"{server}/y.json"})
    assert _Counting.requests == []
    urllib.request.urlopen(f"{server}/control").read()
    assert _Counting.requests == ["/control"]


HIDDEN = {"x-redact": True}


@pytest.mark.parametrize(
    ("schema", "value", "shown"),
    [
        ({"properties": {"a": HIDDEN}}, {"a": 1, "b": 2}, {"a": REDACTED, "b": 2}),
        ({"properties": {"a": {"x-redact": False}}}, {"a": 1}, {"a": 1}),
        ({"items": {"properties": {"a": HIDDEN}}}, [{"a": {"b": 1}}, 2], [{"a": REDACTED}, 2]),
        ({"prefixItems": [{}, HIDDEN], "items": {}}, [1, 2, 3], [1, REDACTED, 3]),
        ({"properties": {"a": {}}, "additionalProperties": HIDDEN}, {"a": 1, "b": 2}, {"a": 1, "b": REDACTED}),
        ({"patternProperties": {"^s_": HIDDEN}}, {"s_a": 1, "b": 2}, {"s_a": REDACTED, "b": 2}),
        ({"anyOf": [{"type": "string"}, {"properties": {"a": HIDDEN}}]}, {"a": 1}, {"a": REDACTED}),
        ({"if": {}, "then": {"properties": {"a": HIDDEN}}}, {"a": 1}, {"a": REDACTED}),
        ({"$defs": {"s": HIDDEN}, "allOf": [{"properties": {"a": {"$ref": "#/$defs/s"}}}]}, {"a": 1}, {"a": REDACTED}),
        ({"$defs": {"n": {"properties": {"k": HIDDEN, "n": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"},
         {"n": {"n": {"k": 1}}}, {"n": {"n": {"k": REDACTED}}}),
        ({"patternProperties": {r"^\p{L}+$": HIDDEN}}, {"é": 1}, {"é": REDACTED}),
        ({"$defs": {"s": {"$dynamicAnchor": "n", **HIDDEN}}, "properties": {"a": {"$dynamicRef": "#n"}}},
         {"a": 1, "b": 2}, {"a": REDACTED, "b": 2}),
        (HIDDEN, {"a": 1}, REDACTED),
        ({"properties": {"x-redact": {"type": "boolean"}}}, {"x-redact": True}, {"x-redact": True}),
    ],
)  # fmt: skip
def test_marked_fields_are_replaced_wherever_the_schema_puts_them(
    schema: dict[str, Any], value: object, shown: object
) -> None:
    before = json.dumps(value)
    assert contract("x", {"x": schema}).redact(value) == shown
    assert json.dumps(value) == before


def test_a_mark_in_another_contract_counts() -> None:
    schemas = {"x": {"properties": {"who": {"$ref": "person"}}}, "person": {"properties": {"ssn": HIDDEN}}}
    found = contract("x", schemas)
    assert found.redacts
    assert found.redact({"who": {"ssn": "1"}}) == {"who": {"ssn": REDACTED}}


def test_references_in_a_circle_end() -> None:
    found = contract("x", {"x": {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "x-redact": True}})
    assert found.redact({"a": 1}) == REDACTED
    looped = contract("y", {"y": {"properties": {"a": HIDDEN, "b": {"$ref": "#"}}}})
    assert looped.redact({"b": {"b": {"a": 1}}}) == {"b": {"b": {"a": REDACTED}}}


def test_a_problem_of_a_contract_that_redacts_shows_no_value() -> None:
    schema = {"properties": {"ssn": {"type": "string", "x-redact": True}}}
    (problem,) = contract("x", {"x": schema}).problems({"ssn": 123456})
    assert "123456" not in problem.message


def test_a_problem_shows_values_where_nothing_is_redacted() -> None:
    age = {"type": "integer"}
    schema = {"properties": {"ssn": HIDDEN, "age": age, "of": {"properties": {"age": age}, "required": ["name"]}}}
    found = contract("x", {"x": schema}).problems({"ssn": "123456", "age": "old", "of": {"age": "oldest"}})
    assert {problem.pointer: problem.message for problem in found if problem.pointer != "/of"} == {
        "/age": '"old" is not of type "integer"',
        "/of/age": '"oldest" is not of type "integer"',
    }
    hidden = contract("y", {"y": {**schema, "maxProperties": 1}}).problems({"ssn": "123456", "age": 1})
    assert [("123456" in problem.message, problem.pointer) for problem in hidden] == [(False, "")]


@pytest.mark.parametrize(
    ("text", "place", "word"),
    [
        ('{"type": "strin"}', "1:10", 'did you mean "string"'),
        ('{"properties": {"a": 5}}', "1:22", "no JSON Schema"),
        ('{"pattern": "("}', "1:13", "regex"),
        ('{"$schema": "http://json-schema.org/draft-07/schema#"}', "1:13", "2020-12"),
        ('{"properties": {"a": {"$ref": "answr"}}}', "1:31", "no contract"),
        ('{"properties": {"a": {"x-redact": "yes"}}}', "1:35", "true or false"),
        ('{"not": {"properties": {"a": {"x-redact": true}}}}', "1:43", "would be redacted"),
        ('{"propertyNames": {"x-redact": true}}', "1:32", "mark the field itself"),
        ('{"$defs": {"a": {"$id": "a"}}}', "1:25", "`$defs`"),
        ("[]", "1:1", "JSON Schema object"),
    ],
)
def test_a_contract_that_cannot_be_used_is_a_finding_at_its_place(
    text: str, place: str, word: str, tmp_path: Path
) -> None:
    (line,) = told(tmp_path, {"contracts/other.schema.json": text})
    assert line.startswith(f"contracts/other.schema.json:{place}: ")
    assert word in line


def test_what_is_wrong_in_one_contract_is_not_said_of_those_that_use_it(tmp_path: Path) -> None:
    changes = {
        "contracts/a.schema.json": '{"properties": {"b": {"$ref": "b"}}}',
        "contracts/b.schema.json": '{"pattern": "("}',
    }
    (line,) = told(tmp_path, changes)
    assert line.startswith("contracts/b.schema.json:1:13: ")


def test_contracts_in_yaml_count_and_twins_are_refused(tmp_path: Path) -> None:
    changes = {"contracts/deep/er.schema.yaml": "type: object\n"}
    assert loaded(tmp_path, changes).bundle.contract("deep/er").schema == {"type": "object"}
    (line,) = told(tmp_path, {"contracts/deep/er.schema.json": "{}"})
    assert "stands twice" in line
