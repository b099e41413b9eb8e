"""References and version ranges mean what npm's mean."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magsag.catalog.references import BadReference, Reference
from magsag.catalog.versions import Range, SemVer

Numbers = tuple[int, int, int]


def fits(range: str, version: str) -> bool:
    return Range.parse(range).matches(SemVer.parse(version))


@pytest.mark.parametrize(
    ("range", "inside", "outside"),
    [
        ("1.2.3", ["1.2.3"], ["1.2.4", "1.2.3-rc.1"]),
        ("=1.2.3", ["1.2.3"], ["1.2.2"]),
        ("1.2", ["1.2.0", "1.2.9"], ["1.3.0", "1.1.9"]),
        ("1", ["1.0.0", "1.9.9"], ["2.0.0", "0.9.0"]),
        ("^1.2.3", ["1.2.3", "1.9.0"], ["1.2.2", "2.0.0", "2.0.0-rc.1"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3.0", "1.0.0"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("^0.0", ["0.0.0", "0.0.9"], ["0.1.0"]),
        ("^0", ["0.0.1", "0.9.0"], ["1.0.0"]),
        ("~1.2.3", ["1.2.3", "1.2.9"], ["1.3.0"]),
        ("~1", ["1.0.0", "1.9.0"], ["2.0.0"]),
        (">=1.2", ["1.2.0", "9.0.0"], ["1.1.9"]),
        (">1.2", ["1.3.0"], ["1.2.9"]),
        (">1", ["2.0.0"], ["1.9.9"]),
        ("<=1.2", ["1.2.9"], ["1.3.0"]),
        ("<2", ["1.9.9"], ["2.0.0", "2.0.0-rc.1"]),
        (">=1 <3", ["1.0.0", "2.9.9"], ["3.0.0"]),
        (">= 1, < 3", ["2.0.0"], ["3.0.0", "0.9.0"]),
        ("^1 || ^3", ["1.5.0", "3.5.0"], ["2.0.0"]),
        (">=1.0.0-rc.2", ["1.0.0-rc.2", "1.0.0-rc.10", "1.0.0", "2.0.0"], ["1.0.0-rc.1", "1.1.0-rc.3"]),
        ("^1.0.0-beta", ["1.0.0-beta", "1.0.0-rc", "1.4.0"], ["1.0.0-alpha", "1.4.0-beta"]),
    ],
)
def test_a_range_takes_what_npm_takes(range: str, inside: list[str], outside: list[str]) -> None:
    assert [version for version in inside if not fits(range, version)] == []
    assert [version for version in outside if fits(range, version)] == []


@pytest.mark.parametrize("text", ["", " ", "*", "1.x", "^", "1 ||", "|| 1", "latest", "1.2.3.4", "^1.2-rc", ">=a"])
def test_a_range_that_cannot_be_read_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="range"):
        Range.parse(text)


def test_precedence_is_that_of_semver() -> None:
    order = ["alpha", "alpha.1", "alpha.beta", "beta", "beta.2", "beta.11", "rc.1"]
    versions = [*(SemVer.parse(f"1.0.0-{text}") for text in order), SemVer.parse("1.0.0")]
    assert all(one < other for one, other in pairwise(versions))


def test_the_newest_version_that_fits_is_taken() -> None:
    versions = [SemVer.parse(text) for text in ("1.0.0", "1.10.0", "1.9.0", "2.0.0-rc.1")]
    assert Range.parse("^1").best(versions) == versions[1]
    assert Range().best(versions) == versions[1]
    assert Range().best(versions[3:]) == versions[3]
    assert Range.parse("^3").best(versions) is None


_numbers = st.tuples(*[st.integers(0, 4)] * 3)


def _text(numbers: Numbers) -> str:
    return ".".join(map(str, numbers))


@given(_numbers, _numbers)
def test_comparisons_are_those_of_the_three_numbers(one: Numbers, other: Numbers) -> None:
    version = _text(one)
    assert fits(f">={_text(other)}", version) is (one >= other)
    assert fits(f">{_text(other)}", version) is (one > other)
    assert fits(f"<{_text(other)}", version) is (one < other)
    assert fits(f"<={_text(other)}", version) is (one <= other)
    assert fits(_text(other), version) is (one == other)


@given(_numbers, _numbers)
def test_a_caret_keeps_the_leftmost_number_that_is_not_zero(one: Numbers, other: Numbers) -> None:
    kept = next((index for index, number in enumerate(other) if number), 2) + 1
    assert fits(f"^{_text(other)}", _text(one)) is (one >= other and one[:kept] == other[:kept])


@given(_numbers, _numbers)
def test_a_tilde_keeps_the_first_two_numbers(one: Numbers, other: Numbers) -> None:
    assert fits(f"~{_text(other)}", _text(one)) is (one >= other and one[:2] == other[:2])


@given(_numbers, _numbers, _numbers)
def test_alternatives_are_either_and_a_list_is_both(one: Numbers, low: Numbers, high: Numbers) -> None:
    version = _text(one)
    assert fits(f">={_text(low)} <{_text(high)}", version) is (low <= one < high)
    assert fits(f"<{_text(low)} || >={_text(high)}", version) is (one < low or one >= high)


@pytest.mark.parametrize(
    ("text", "kind", "slug", "range", "role"),
    [
        ("skill:send-offer", "skill", "send-offer", "", None),
        ("agent:writer-sag@^1.2 || 3.0.0", "agent", "writer-sag", "^1.2 || 3.0.0", None),
        ("magsag://sub.writer-sag@>=0.1.0", "agent", "writer-sag", ">=0.1.0", "sub"),
        ("magsag://main.boss-mag", "agent", "boss-mag", "", "main"),
        ("magsag://skill.send@0.1.0", "skill", "send", "0.1.0", None),
        ("model:smart", "model", "smart", "", None),
        ("shell:stamp", "shell", "stamp", "", None),
    ],
)
def test_both_forms_are_read(text: str, kind: str, slug: str, range: str, role: str | None) -> None:
    found = Reference.parse(text)
    assert (found.kind, found.slug, found.range.source, found.role) == (kind, slug, range, role)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("send-offer", "no reference"),
        ("skil:send", 'did you mean "skill"'),
        ("tool:server/name", "not enforced by this version"),
        ("skill:*", "wildcard"),
        ("skill:Send", "no slug"),
        ("skill:send@latest", "version range"),
        ("skill:send@", "version range"),
    ],
)
def test_what_names_nothing_is_refused_in_words(text: str, word: str) -> None:
    with pytest.raises(BadReference, match=word):
        Reference.parse(text)


def test_a_reference_matches_exact_targets() -> None:
    assert Reference.parse("skill:send").matches("skill:send@0.2.0")
    assert Reference.parse("skill:send@^0.2").matches("skill:send@0.2.9")
    assert not Reference.parse("skill:send@^0.2").matches("skill:send@0.3.0")
    assert not Reference.parse("skill:send").matches("skill:send-offer@0.2.0")
    assert Reference.parse("model:smart").matches("model:smart")
    assert not Reference.parse("model:smart@1").matches("model:smart")
