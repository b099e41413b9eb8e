"""Whether and when a failed attempt is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType
from magsag.domain.manifests.base import Retry
from magsag.engine.retry import REPEATABLE, leaves_doubt, retry_delay

RETRY = Retry.model_validate({"attempts": 4, "backoff": "1s", "max_backoff": "3s"})


def delay(
    *,
    retry: Retry = RETRY,
    effect: Effect = Effect.READ,
    type: ErrorType = ErrorType.UNAVAILABLE,
    attempt: int = 1,
    asked: float | None = None,
    chance: float = 0.0,
) -> float | None:
    return retry_delay(retry, effect, type, attempt, asked, chance)


def test_the_waits_double_up_to_their_bound() -> None:
    assert [delay(attempt=attempt) for attempt in (1, 2, 3)] == [0.5, 1.0, 1.5]


def test_the_last_attempt_is_the_last() -> None:
    assert delay(attempt=3) is not None
    assert delay(attempt=4) is None


def test_one_attempt_means_no_retry() -> None:
    assert delay(retry=Retry(attempts=1)) is None


def test_only_the_errors_that_the_policy_names_are_tried_again() -> None:
    assert delay(type=ErrorType.RATE_LIMIT) is not None
    assert delay(type=ErrorType.RAISED) is None
    assert delay(type=ErrorType.RAISED, retry=Retry(attempts=2, on=(ErrorType.RAISED,))) is not None


def test_what_the_other_side_asked_for_is_waited_at_least() -> None:
    assert delay(asked=7.0) == 7.0
    assert delay(asked=0.1) == 0.5


@pytest.mark.parametrize("effect", Effect)
def test_an_act_that_ran_out_of_time_is_repeated_only_where_that_is_harmless(effect: Effect) -> None:
    assert (delay(effect=effect, type=ErrorType.TIMEOUT) is not None) == (effect in REPEATABLE)
    assert leaves_doubt(effect, ErrorType.TIMEOUT) == (effect not in REPEATABLE)


@pytest.mark.parametrize("effect", [Effect.TRANSACTIONAL, Effect.RECONCILABLE, Effect.UNREPEATABLE])
def test_an_act_that_certainly_did_not_happen_leaves_no_doubt(effect: Effect) -> None:
    assert not leaves_doubt(effect, ErrorType.RATE_LIMIT)
    assert delay(effect=effect, type=ErrorType.RATE_LIMIT) is not None


@given(st.integers(1, 99), st.integers(0, 255).map(lambda byte: byte / 256))
def test_chance_spreads_a_wait_over_the_upper_half_of_its_backoff(attempt: int, chance: float) -> None:
    bound = min(3.0, 1.0 * 2 ** (attempt - 1))
    found = delay(retry=RETRY.model_copy(update={"attempts": 100}), attempt=attempt, chance=chance)
    assert found is not None
    assert bound / 2 <= found < bound
