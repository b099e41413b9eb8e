"""JSON values as they are recorded: nothing is bent to fit."""

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magsag.domain.errors import ErrorType, StepFailed
from magsag.domain.large import MARK, handle, lifted, lowered
from magsag.domain.values import MAX_DEPTH, decode, encode, encode_known

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=30)
BAD = st.sampled_from(
    [(), (1,), {1}, frozenset({2}), math.nan, math.inf, -math.inf, "\ud800", {1: 2}, {None: 1}, {"\udfff": 1}, b"x", 1j]
)
WRAPPERS: list[Callable[[Any], Any]] = [lambda value: [value], lambda value: {"a": value}, lambda value: [1, [value]]]


@given(JSON)
def test_json_comes_back_as_it_was(value: object) -> None:
    data, copy = encode(value, "x")
    assert copy == value == decode(data)
    assert encode_known(copy) == data


@given(JSON)
def test_the_copy_has_the_same_types_all_the_way_down(value: object) -> None:
    assert repr(encode(value, "x")[1]) == repr(value)


@given(JSON)
def test_the_copy_shares_no_memory_with_the_original(value: object) -> None:
    copy = encode([value], "x")[1]
    assert isinstance(copy, list)
    if isinstance(value, list | dict):
        assert copy[0] is not value


@given(BAD, st.lists(st.sampled_from(WRAPPERS), max_size=5))
def test_what_json_cannot_say_is_refused_wherever_it_stands(
    value: object, wrappers: list[Callable[[Any], Any]]
) -> None:
    for wrap in wrappers:
        value = wrap(value)
    with pytest.raises(StepFailed) as caught:
        encode(value, "input of step pay#1")
    assert caught.value.type is ErrorType.INVALID_VALUE
    assert caught.value.message.startswith("input of step pay#1 ")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": [1, (2,)]}, "a tuple, which JSON cannot hold: use a list, at /a/1"),
        ({"a": {3: 4}}, "has the key 3 at /a: JSON keys are strings, write '3'"),
        ([math.nan], "the number nan: JSON has none such, use null at /0"),
        (math.inf, "the number inf: JSON has none such, use null as a whole"),
        (["\ud800"], "a lone surrogate: it is no Unicode text at /0"),
        ({"\ud800": 1}, "has a key with a lone surrogate as a whole"),
        ({1, 2}, "a set, which JSON cannot hold: use a list, as a whole"),
        ([object()], "a object, which JSON cannot hold: use dict, list, str, number, bool or None, at /0"),
    ],
)
def test_the_message_says_where_and_what_to_use_instead(value: object, said: str) -> None:
    with pytest.raises(StepFailed, match="invalid_value") as caught:
        encode(value, "x")
    assert said in str(caught.value)


def nested(depth: int) -> object:
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


def test_depth_is_bounded() -> None:
    assert encode(nested(MAX_DEPTH - 1), "x")[1] == nested(MAX_DEPTH - 1)
    with pytest.raises(StepFailed, match="nested deeper than 200 levels"):
        encode(nested(MAX_DEPTH + 1), "x")


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_absurd_depth_is_refused_and_does_not_crash(depth: int) -> None:
    with pytest.raises(StepFailed, match="nested deeper"):
        encode(nested(depth), "x")


def test_a_value_that_holds_itself_is_refused() -> None:
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(StepFailed, match="nested deeper"):
        encode(circle, "x")


@pytest.mark.parametrize("data", [b"", b"{", b"NaN", b"[1,]", b"\xff", b"[" * 500 + b"]" * 500])
def test_bytes_that_are_no_json_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        decode(data)


def test_a_program_cannot_forge_the_mark_of_a_large_value() -> None:
    forged = {"a": [{MARK: "id"}]}
    with pytest.raises(StepFailed, match="at /a/0, which MAGSAG keeps for itself"):
        encode(forged, "x")
    assert encode(forged, "x", marks=True)[1] == forged


def test_a_text_that_looks_like_a_mark_is_a_text() -> None:
    text = '{"\\u0000blob":"id"}'
    assert encode([text, {"k": text}], "x")[1] == [text, {"k": text}]


@given(JSON)
def test_handles_become_marks_and_marks_the_same_value_again(value: object) -> None:
    large = handle([value], "id")
    assert lifted({"a": large, "b": [value]}, {"id"}) == {"a": {MARK: "id"}, "b": [value]}
    assert lowered(lifted({"a": large}, {"id"}), {"id": large}.__getitem__) == {"a": [value]}


@pytest.mark.parametrize("change", [lambda it: it.update(b=2), lambda it: it.pop("a"), lambda it: it.clear()])
def test_a_large_object_is_read_only_and_says_how_to_copy_it(change: Callable[[Any], Any]) -> None:
    large = handle({"a": 1}, "id")
    with pytest.raises(TypeError, match=r"copy what you want to change, e\.g\. dict\(value\)"):
        change(large)
    assert large == {"a": 1} == copy.copy(large)


@pytest.mark.parametrize("change", [lambda it: it.append(2), lambda it: it.sort(), lambda it: it.__setitem__(0, 2)])
def test_a_large_array_is_read_only_too(change: Callable[[Any], Any]) -> None:
    large = handle([1], "id")
    with pytest.raises(TypeError, match="read-only handle"):
        change(large)
    assert large == [1] == pickle.loads(pickle.dumps(large))


@given(JSON)
def test_nothing_inside_a_large_value_can_be_changed(value: object) -> None:
    large = handle({"a": [{"b": [value]}]}, "id")
    assert isinstance(large, dict)
    for inside in (large["a"], large["a"][0], large["a"][0]["b"]):
        with pytest.raises(TypeError, match="read-only handle"):
            inside.clear()
    assert large == {"a": [{"b": [value]}]} == copy.deepcopy(large)
    copy.deepcopy(large)["a"][0]["b"].clear()


def test_a_part_of_a_large_value_is_written_out_and_handles_in_it_are_not() -> None:
    inner = handle([1], "inner")
    outer = handle({"o": {"in": inner, "n": 1}}, "outer")
    assert isinstance(outer, dict)
    assert lifted({"part": outer["o"]}, {"inner", "outer"}) == {"part": {"in": {MARK: "inner"}, "n": 1}}


def test_a_large_text_has_no_handle() -> None:
    assert handle("long", "id") == "long"
