"""How ids are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magsag.domain.ids import RunId, StepId, child_run_id, is_given_run_id, run_id

MILLIS = st.integers(0, (1 << 48) - 1)
CHANCE = st.binary(min_size=7, max_size=7)


@given(MILLIS, MILLIS, CHANCE, CHANCE)
def test_ids_sort_by_time(one: int, other: int, chance: bytes, more: bytes) -> None:
    if one < other:
        assert run_id(one, chance) < run_id(other, more)


@given(MILLIS, CHANCE)
def test_an_id_has_twenty_characters_that_a_caller_could_give(millis: int, chance: bytes) -> None:
    assert len(run_id(millis, chance)) == 20
    assert is_given_run_id(run_id(millis, chance))


def test_fifty_two_bits_of_chance_tell_ids_of_one_moment_apart() -> None:
    flipped = [bytes(7)] + [(1 << bit).to_bytes(7, "big") for bit in range(4, 56)]
    assert len({run_id(5, chance) for chance in flipped}) == 53


@pytest.mark.parametrize("text", ["", "-a", "a.b", "a b", "a/b", "a~2", "ä", "a\n", "a" * 129])
def test_what_could_be_a_path_or_a_child_is_no_id_to_give(text: str) -> None:
    assert not is_given_run_id(text)
    assert is_given_run_id("a" * 128)


def test_each_attempt_has_a_child_run_of_its_own() -> None:
    run, step = RunId("r"), StepId("ask#1")
    assert [child_run_id(run, step, attempt) for attempt in (1, 2)] == ["r.ask#1", "r.ask#1~2"]
