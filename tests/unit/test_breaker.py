"""The circuit breaker and the token bucket as pure machines: every state by every event, and against a model."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import ValidationError

from magsag.domain.breaking import BreakerState
from magsag.domain.manifests.throttling import BreakerRule, RateRule
from magsag.policy.breaker import Breaker, Call, Passes, Shut, ask, closed, hear, state_of
from magsag.policy.throttle import Admitted, Busy, Later, Limited, Limits, Throttle, admit, calls_left, rewound, settle

SECOND = 1_000_000
RULE = BreakerRule.model_validate({"failures": 2, "of": 3, "open": "10s", "within": "60s"})
OPEN = Breaker(1, since=5 * SECOND, until=15 * SECOND)
PROBED = replace(OPEN, probe="p", probe_until=20 * SECOND)


def failing(times: int) -> Breaker:
    breaker = Breaker()
    for number in range(times):
        breaker = hear(breaker, RULE, "c", breaker.epoch, True, (number + 1) * SECOND)
    return breaker


def test_so_many_failures_of_the_last_calls_open_it() -> None:
    assert failing(1) == Breaker(recent=(Call(SECOND, True),))
    assert failing(2) == Breaker(1, since=2 * SECOND, until=12 * SECOND, opened_by="c")


def test_successes_push_a_failure_out_of_what_is_looked_at() -> None:
    breaker = failing(1)
    for at in (2, 3, 4):
        breaker = hear(breaker, RULE, "c", 0, False, at * SECOND)
    assert breaker == Breaker()


def test_a_failure_of_long_ago_does_not_count() -> None:
    assert hear(failing(1), RULE, "c", 0, True, 62 * SECOND) == Breaker(recent=(Call(62 * SECOND, True),))


def test_a_healthy_one_remembers_nothing() -> None:
    assert hear(Breaker(), RULE, "c", 0, False, SECOND) == Breaker()


@pytest.mark.parametrize("breaker", [Breaker(), failing(1), OPEN, PROBED])
def test_what_says_nothing_of_the_thing_changes_no_count(breaker: Breaker) -> None:
    assert hear(breaker, RULE, "c", breaker.epoch, None, 30 * SECOND) == breaker


def test_an_open_one_refuses_until_its_time_is_over() -> None:
    assert ask(OPEN, "c", 15 * SECOND - 1, 0) == Shut(BreakerState.OPEN, 5 * SECOND, 15 * SECOND)
    assert state_of(OPEN, 15 * SECOND) is BreakerState.HALF_OPEN


def test_a_clock_that_was_set_back_makes_nobody_wait_longer() -> None:
    day, busy = 86_400 * SECOND, (Busy("c", 17 * SECOND),)
    late = replace(PROBED, since=day + 5 * SECOND, until=day + 15 * SECOND, probe_until=day + 20 * SECOND)
    known = Throttle(late, full_at=day + 9 * SECOND, busy=(Busy("c", day + 17 * SECOND),), at=day + 8 * SECOND)
    assert rewound(known, 8 * SECOND) == Throttle(PROBED, full_at=9 * SECOND, busy=busy)
    assert rewound(known, day + 8 * SECOND) is known
    assert rewound(Throttle(failing(1), at=3 * SECOND), 2 * SECOND) == Throttle(Breaker(recent=(Call(0, True),)))


def test_half_open_lets_one_through_and_the_same_call_again() -> None:
    first = ask(OPEN, "p", 15 * SECOND, 20 * SECOND)
    assert first == Passes(PROBED, is_probe=True)
    assert ask(PROBED, "q", 16 * SECOND, 21 * SECOND) == Shut(BreakerState.HALF_OPEN, 5 * SECOND, 20 * SECOND)
    assert ask(PROBED, "p", 16 * SECOND, 21 * SECOND) == Passes(replace(PROBED, probe_until=21 * SECOND), True)


def test_a_probe_whose_process_died_is_waited_for_no_longer_than_its_time() -> None:
    assert ask(PROBED, "q", 20 * SECOND, 25 * SECOND) == Passes(
        replace(OPEN, probe="q", probe_until=25 * SECOND), is_probe=True
    )


def test_a_probe_that_works_closes_it_and_one_that_fails_opens_it_again() -> None:
    assert hear(PROBED, RULE, "p", 1, False, 16 * SECOND) == Breaker(2)
    again = Breaker(2, since=5 * SECOND, until=26 * SECOND, opened_by="p")
    assert hear(PROBED, RULE, "p", 1, True, 16 * SECOND) == again
    assert hear(PROBED, RULE, "p", 1, None, 16 * SECOND) == OPEN


def test_what_began_before_a_change_is_not_heard_after_it() -> None:
    assert hear(OPEN, RULE, "c", 0, True, 6 * SECOND) == OPEN
    assert hear(PROBED, RULE, "c", 1, False, 16 * SECOND) == PROBED
    assert hear(closed(OPEN), RULE, "c", 1, True, 20 * SECOND) == Breaker(2)


def test_a_bucket_gives_its_calls_at_once_and_then_evenly() -> None:
    limits, throttle = Limits(rate=RateRule.model_validate({"calls": 3, "per": "30s"})), Throttle()
    assert limits.rate is not None
    for number in (2, 1, 0):
        answer = admit(throttle, limits, "c", SECOND, 0)
        assert isinstance(answer, Admitted)
        throttle = answer.throttle
        assert calls_left(throttle, limits.rate, SECOND) == number
    assert admit(throttle, limits, "c", SECOND, 0) == Later(Limited.RATE, 11 * SECOND)
    assert admit(throttle, limits, "c", 11 * SECOND - 1, 0) == Later(Limited.RATE, 11 * SECOND)
    assert isinstance(admit(throttle, limits, "c", 11 * SECOND, 0), Admitted)
    assert calls_left(throttle, limits.rate, 3600 * SECOND) == 3


def test_a_clock_that_was_set_back_keeps_a_bucket_empty_for_one_filling_at_most() -> None:
    rate = RateRule.model_validate({"calls": 1, "per": "10s"})
    assert admit(Throttle(full_at=3600 * SECOND), Limits(rate=rate), "c", 0, 0) == Later(Limited.RATE, 10 * SECOND)


def test_so_many_calls_may_be_under_way_and_a_dead_one_no_longer_than_its_time() -> None:
    limits = Limits(concurrency=2)
    throttle = Throttle(busy=(Busy("a", 9), Busy("b", 7)))
    assert admit(throttle, limits, "c", 6, 20) == Later(Limited.CONCURRENCY, 7)
    assert admit(throttle, limits, "c", 7, 20) == Admitted(Throttle(busy=(Busy("a", 9), Busy("c", 20))), 0, False)
    assert settle(throttle, limits, "a", 0, None, 6) == Throttle(busy=(Busy("b", 7),))


def test_a_call_that_one_limit_refuses_takes_nothing_of_the_others() -> None:
    limits = Limits(RULE, RateRule.model_validate({"calls": 1, "per": "1h"}), 1)
    full = Throttle(busy=(Busy("a", 9),))
    assert isinstance(admit(full, limits, "c", 1, 20), Later)
    assert isinstance(admit(replace(full, breaker=OPEN), limits, "c", 1, 20), Shut)
    assert isinstance(admit(replace(full, busy=()), limits, "c", 1, 20), Admitted)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"failures": 3, "of": 2}, "can never be"),
        ({"failures": 0}, "greater than or equal to 1"),
        ({"failures": 1, "open": "0s"}, "from 1ms to 365d"),
        ({"failures": 1, "open": 30}, "needs its unit"),
        ({"failures": 1, "open": "3w"}, "in ms, s, m, h or d"),
        ({"failures": 1, "open": "-1s"}, "is not below 0"),
    ],
)
def test_a_breaker_that_could_not_work_is_refused(written: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        BreakerRule.model_validate(written)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 20), st.integers(1, 90), st.lists(st.integers(0, 30 * SECOND), max_size=80))
def test_no_stretch_of_time_sees_more_than_a_full_bucket_and_what_is_refilled(
    calls: int, per: int, gaps: list[int]
) -> None:
    limits = Limits(rate=RateRule.model_validate({"calls": calls, "per": f"{per}s"}))
    throttle, now = Throttle(), 0
    taken: list[int] = []
    for gap in gaps:
        now += gap
        answer = admit(throttle, limits, "c", now, 0)
        if isinstance(answer, Admitted):
            throttle, taken = answer.throttle, [*taken, now]
    for first, begin in enumerate(taken):
        for last, end in enumerate(taken[first:], 1):
            assert last <= calls + (end - begin) * calls / (per * SECOND)


class BreakerMachine(RuleBasedStateMachine):
    """The machine beside a plain retelling: a list of what was heard since the last change, and who tries."""

    @initialize(failures=st.integers(1, 4), more=st.integers(0, 4))
    def begin(self, failures: int, more: int) -> None:
        self.rule = RULE.model_copy(update={"failures": failures, "of": failures + more})
        self.breaker, self.now, self.count = Breaker(), SECOND, 0
        self.heard: list[tuple[int, bool]] = []
        self.open_until = 0
        self.trying: tuple[str, int] | None = None
        self.under_way: list[tuple[str, int]] = []

    @rule(by=st.integers(0, 12 * SECOND))
    def pass_time(self, by: int) -> None:
        self.now += by

    @rule(lasts=st.integers(1, 20 * SECOND))
    def call(self, lasts: int) -> None:
        self.count += 1
        caller = f"c{self.count}"
        answer = ask(self.breaker, caller, self.now, self.now + lasts)
        is_tried = self.trying is not None and self.now < self.trying[1]
        may = not self.open_until or (self.now >= self.open_until and not is_tried)
        assert isinstance(answer, Passes) == may
        if isinstance(answer, Passes):
            assert answer.is_probe == bool(self.open_until)
            self.breaker = answer.breaker
            self.under_way.append((caller, answer.breaker.epoch))
            if answer.is_probe:
                self.trying = caller, self.now + lasts
        else:
            assert answer.until > self.now

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), failed=st.sampled_from([True, False, None]))
    def end(self, data: st.DataObject, failed: bool | None) -> None:
        caller, epoch = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        is_heard = epoch == self.breaker.epoch
        self.breaker = hear(self.breaker, self.rule, caller, epoch, failed, self.now)
        if not is_heard:
            return
        if self.open_until:
            self._probe_ended(caller, failed)
        elif failed is not None:
            self.heard.append((self.now, failed))
            last = [bad for at, bad in self.heard[-self.rule.last :] if at > self.now - 60 * SECOND]
            if sum(last) >= self.rule.failures:
                self.open_until, self.heard = self.now + 10 * SECOND, []

    def _probe_ended(self, caller: str, failed: bool | None) -> None:
        if self.trying is not None and self.trying[0] == caller:
            self.trying = None
            if failed is not None:
                self.open_until = self.now + 10 * SECOND if failed else 0

    @invariant()
    def it_stands_where_the_retelling_does(self) -> None:
        opened = BreakerState.OPEN if self.now < self.open_until else BreakerState.HALF_OPEN
        assert state_of(self.breaker, self.now) is (opened if self.open_until else BreakerState.CLOSED)


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
