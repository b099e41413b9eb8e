"""YAML and JSON are read as their present versions say, each value with its place, every trap refused."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from magsag.catalog.document import Document, Fault
from magsag.catalog.reading import read


def of(text: str, name: str = "a.yaml") -> Document:
    return read(name, text.encode())


def fault(text: str, name: str = "a.yaml") -> Fault:
    (only,) = of(text, name).faults
    return only


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("12:30", "12:30"),
        ("1e3", 1000.0),
        ("-.5", -0.5),
        ("+7", 7),
        ("1_000", "1_000"),
        ("2031-04-01", "2031-04-01"),
        ("0.1.0", "0.1.0"),
        ("~", None),
        ("", None),
        ("True", True),
        ("'true'", "true"),
        ('"1"', "1"),
        ("=", "="),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    found = of(f"a: {text}\n")
    assert found.faults == ()
    assert found.value == {"a": value}
    assert type(found.value["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "column", "word"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "stands twice; the first is at 1:1"),
        ("x: {a: 1, a: 2}\n", 1, 11, "stands twice"),
        ("a: .nan\n", 1, 4, "no number that JSON has"),
        ("a: 1e999\n", 1, 4, "no number that JSON has"),
        ("a: {<<: {b: 1}}\n", 1, 5, "merge key"),
        ("a: !!str 1\n", 1, 4, "tags are not read"),
        ("when: !has(input.a)\n", 1, 7, "tags are not read"),
        ("1: a\n", 1, 1, "is no text"),
        ("? [a]\n: 1\n", 1, 3, "must be plain text"),
        ("a: 1\n---\nb: 1\n", 2, 1, "second document"),
        ("a: *b\n", 1, 4, "names no anchor"),
        ("a: &a [*a]\n", 1, 8, "names no anchor"),
        ("a:\n\t- 1\n", 2, 1, "a tab"),
        ("a: [1\n", 2, 1, "the YAML is broken"),
        ("a: \x01\n", 1, 4, "control character"),
    ],
)
def test_what_a_manifest_must_not_have_is_named_with_its_place(text: str, line: int, column: int, word: str) -> None:
    found = fault(text)
    assert (found.line, found.column) == (line, column)
    assert word in found.what


def test_faults_that_leave_the_rest_readable_come_together() -> None:
    found = of("a: .inf\nb: 1\nb: 2\nc: !x 3\nd: 4\n")
    assert len(found.faults) == 3
    assert found.value == {"a": None, "b": 1, "c": "3", "d": 4}


@pytest.mark.parametrize(
    "text", ["{x: =f(1, 2)}", "{x: =f(1, 2, three), y: 4}", "[=f(1, 2)]", "a: {x: '1', y: =g(a, b)}"]
)
def test_an_expression_that_yaml_cuts_at_a_comma_is_named_as_such(text: str) -> None:
    found = fault(text)
    assert "cut at a comma" in found.what
    assert "quotes" in found.next


def test_a_quoted_expression_in_braces_is_whole() -> None:
    found = of('{x: "=f(1, 2)", y: =g(3)}')
    assert found.faults == ()
    assert found.value == {"x": "=f(1, 2)", "y": "=g(3)"}


@pytest.mark.parametrize("text", ["{x: =[1, 2]}", "{x: =a[0].b}", "{x: =c ? 1 : 2}"])
def test_an_expression_that_breaks_the_syntax_of_braces_gets_the_way_out(text: str) -> None:
    assert "quotes" in fault(text).next


def test_a_value_that_only_begins_with_a_quote_gets_the_way_out() -> None:
    assert "other quotes" in fault('when: "a" == input.b\n').next


def test_what_is_not_utf_8_is_named_with_its_place() -> None:
    (found,) = read("a.yaml", b"a: 1\nb: \xff\n").faults
    assert (found.line, found.column, found.what) == (2, 4, "the file is not UTF-8")


@pytest.mark.parametrize("name", ["a.yaml", "a.json"])
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_deep_nesting_is_refused_and_does_not_end_the_process(name: str, text: str) -> None:
    assert "deeper than 100 levels" in fault(text, name).what


def test_deep_block_lists_are_refused_and_do_not_end_the_process() -> None:
    assert "deeper than 100 levels" in fault("- " * 50_000).what


def test_small_aliases_are_read_and_bombs_are_refused() -> None:
    assert of("a: &x [1]\nb: *x\n").value == {"a": [1], "b": [1]}
    lines = ["- &a0 [" + ", ".join("1" * 9) + "]"]
    lines += [f"- &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "more than 50,000 values" in fault("\n".join(lines)).what


def test_a_file_of_a_megabyte_is_refused() -> None:
    (found,) = read("a.yaml", b"a: " + b"x" * 1_000_001).faults
    assert "bytes" in found.what


@pytest.mark.parametrize(
    ("text", "line", "column", "word"),
    [
        ('{"a": 1,\n "a": 2}', 2, 2, "stands twice; the first is at 1:2"),
        ('{"a": NaN}', 1, 7, "no number that JSON has"),
        ('{"a": -Infinity}', 1, 7, "no number that JSON has"),
        ('{"a": "\\ud800"}', 1, 7, "lone surrogate"),
        ('{"a": 1 2}', 1, 9, "the JSON is broken"),
        ("", 1, 1, "the JSON is broken"),
    ],
)
def test_json_is_read_strictly(text: str, line: int, column: int, word: str) -> None:
    found = fault(text, "a.json")
    assert (found.line, found.column) == (line, column)
    assert word in found.what


def test_json_reads_surrogate_pairs_and_tabs() -> None:
    found = of('{\n\t"a": "\\ud83d\\ude00\\/"}', "a.json")
    assert found.faults == ()
    assert found.value == {"a": "\U0001f600/"}


def test_a_pointer_leads_to_value_and_key() -> None:
    found = of("# head\nsteps:\n  - id: a\n    with: {x: 1,  y: [2, 3]}\n")
    pointer = ("steps", 0, "with", "y")
    assert found.place(()) == (2, 1)
    assert found.place((*pointer, 1)) == (4, 26)
    assert found.key_place(pointer) == (4, 19)
    assert found.place((*pointer, 7)) == found.place(pointer) == (4, 22)


@pytest.mark.parametrize(
    ("text", "part", "place"),
    [
        ("a: b == c\n", "c", (1, 9)),
        ('a: "b\\tb == c"\n', "c", (1, 13)),
        ("a: 'it''s c'\n", "c", (1, 11)),
        ("a: >\n  b ==\n  c\n", "c", (3, 3)),
        ("a: |\n  b ==\n    c\n", "c", (3, 5)),
        ("a: b ==\n  c\n", "c", (2, 3)),
    ],
)
def test_a_character_of_a_text_is_found_in_every_style(text: str, part: str, place: tuple[int, int]) -> None:
    found = of(text)
    value: Any = found.value
    assert found.text_place(("a",), value["a"].rindex(part)) == place


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1), _VALUES, max_size=4), st.sampled_from([None, 2]))
def test_json_gives_the_values_of_the_standard_library_and_points_at_each(value: dict[str, Any], indent: int) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    found = of(text, "a.json")
    assert found.value == value
    _points_at(found, text, value, ())


def _points_at(found: Document, text: str, value: Any, pointer: tuple[str | int, ...]) -> None:
    line, column = found.place(pointer)
    rest = "\n".join(text.split("\n")[line - 1 :])[column - 1 :]
    assert json.JSONDecoder().raw_decode(rest)[0] == value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        _points_at(found, text, part, (*pointer, key))


_WORDS = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=12)


@given(st.dictionaries(_WORDS.filter(bool), _WORDS, min_size=1, max_size=5), st.sampled_from(["'", '"']))
def test_yaml_that_the_library_wrote_is_read_back_with_places(value: dict[str, str], style: str) -> None:
    text = yaml.safe_dump(value, allow_unicode=True, width=10_000, default_style=style)
    found = of(text)
    assert found.faults == ()
    assert found.value == value
    for key, part in value.items():
        line, column = found.key_place((key,))
        assert yaml.safe_load(text.split("\n")[line - 1][column - 1 :]) == {key: part}


@given(_WORDS)
def test_a_plain_scalar_means_text_wherever_no_core_type_fits(word: str) -> None:
    found = of(f"- '{word.replace(chr(39), chr(39) * 2)}'\n")
    assert found.value == [word]
