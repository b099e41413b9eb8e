"""Whatever a contract looks like, its complaints show nothing of what it redacts."""

from itertools import count
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from magsag.catalog.contracts import Contract

PARTS = st.recursive(
    st.sampled_from([{"type": "integer"}, {"enum": ["x"]}, {"minLength": 99}, {"const": 0}, {"pattern": "^z"}, {}]),
    lambda inner: st.one_of(
        st.builds(lambda part: {**part, "x-redact": True}, inner),
        st.builds(
            lambda parts, more: {"type": "object", "properties": parts, **more},
            st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
            st.sampled_from([{}, {"required": ["q"]}, {"maxProperties": 1}, {"additionalProperties": False}]),
        ),
        st.builds(lambda part: {"items": part, "uniqueItems": True, "maxItems": 1}, inner),
        st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda part: {"$defs": {"d": part}, "allOf": [part], "not": {"required": ["c"]}}, inner),
    ),
    max_leaves=8,
)
VALUES = st.recursive(
    st.just("?"),
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3), st.lists(inner, max_size=3)
    ),
    max_leaves=8,
)  # fmt: skip


@given(PARTS, VALUES)
def test_no_problem_shows_what_is_redacted(schema: Any, shape: Any) -> None:
    names = count()
    value = _told_apart(shape, names)
    found = Contract("x", {"properties": {"a": {"x-redact": True}, "b": schema}})
    whole = {"a": _told_apart("?", names), "b": value}
    secret = _words(whole) - _words(found.redact(whole))
    said = " ".join(f"{problem.pointer} {problem.message}" for problem in found.problems(whole))
    assert {word for word in secret if word in said} == set()


def _told_apart(shape: Any, names: Any) -> Any:
    """The shape with another word at each leaf."""
    if isinstance(shape, dict):
        return {key: _told_apart(part, names) for key, part in shape.items()}
    if isinstance(shape, list):
        return [_told_apart(part, names) for part in shape]
    return f"<{next(names)}>"


def _words(value: Any) -> set[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return {word for part in value for word in _words(part)}
    return {value}
