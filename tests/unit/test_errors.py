"""Errors that users raise and catch."""

import pickle

import pytest

from magsag.domain.errors import ErrorType, Retryable, StepFailed


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 1e18])
def test_a_wait_without_end_is_refused_where_it_is_written(seconds: float) -> None:
    with pytest.raises(ValueError, match="below a year"):
        Retryable("rate_limit", "too many calls", seconds)
    assert Retryable("rate_limit", "too many calls", 2).retry_after_seconds == 2


def test_only_error_types_of_the_closed_list_are_taken() -> None:
    for error in (Retryable, StepFailed):
        assert error("timeout", "late").type is ErrorType.TIMEOUT
        with pytest.raises(ValueError, match="bored"):
            error("bored", "late")


def test_a_failed_step_survives_the_way_between_processes() -> None:
    failed = StepFailed("raised", "it broke", {"at": 3}, "pay#1")
    copy = pickle.loads(pickle.dumps(failed))
    assert (str(copy), copy.details) == ("step pay#1: raised: it broke", {"at": 3})
