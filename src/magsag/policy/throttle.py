"""What one skill, agent or provider can take: its breaker, its rate and how many calls are under way. All or nothing.

A call that one of the three refuses takes nothing of the others. The rate is a token bucket kept as one number, the
time at which it is full again. Times are microseconds, handed in.
"""

from dataclasses import field, replace
from enum import StrEnum
from typing import NamedTuple

from magsag.domain.frozen import frozen
from magsag.domain.manifests.throttling import BreakerRule, RateRule
from magsag.policy.breaker import Breaker, Shut, ask, earlier, hear


@frozen
class Limits:
    """What is declared; None does not limit."""

    breaker: BreakerRule | None = None
    rate: RateRule | None = None
    concurrency: int | None = None

    @property
    def end_counts(self) -> bool:
        """Whether anything is to be noted when a call ends; of a rate, nothing."""
        return self.breaker is not None or self.concurrency is not None


@frozen
class Declared:
    """Limits, and what they are of: all that is called by this name shares one throttle."""

    name: str
    limits: Limits


def declared(name: str, limits: Limits) -> Declared | None:
    """None where nothing is limited, so that it costs nothing."""
    return None if limits == Limits() else Declared(name, limits)


class Busy(NamedTuple):
    """A call under way."""

    caller: str
    until: int
    """when it is not counted any longer, because its process may have died"""


@frozen
class Throttle:
    """What is known, shared by all processes."""

    breaker: Breaker = field(default_factory=Breaker)
    full_at: int = 0
    """when the bucket is full again"""
    busy: tuple[Busy, ...] = ()
    closed_by: str = ""
    """who closed the breaker by hand, and when"""
    closed_at: int = 0
    at: int = field(default=0, compare=False)
    """when it was changed last"""


class Limited(StrEnum):
    """Which limit is reached."""

    RATE = "rate"
    CONCURRENCY = "concurrency"


@frozen
class Admitted:
    """The call may go."""

    throttle: Throttle
    epoch: int
    is_probe: bool


@frozen
class Later:
    """The call may not go now; nothing is wrong with what it wants to call."""

    by: Limited
    at: int
    """when to ask again"""


def admit(throttle: Throttle, limits: Limits, caller: str, now: int, until: int) -> Admitted | Shut | Later:
    """Whether a call may go; `until` is when it has ended at the latest."""
    breaker, is_probe = throttle.breaker, False
    if limits.breaker is not None:
        answer = ask(breaker, caller, now, until)
        if isinstance(answer, Shut):
            return answer
        breaker, is_probe = answer.breaker, answer.is_probe
    full_at, busy = throttle.full_at, throttle.busy
    if limits.rate is not None:
        full_at = _taken(throttle.full_at, limits.rate, now)
        if (early := full_at - _span(limits.rate) - now) > 0:
            return Later(Limited.RATE, now + early)
    if limits.concurrency is not None:
        busy = tuple(one for one in busy if one.caller != caller and now < one.until)
        if len(busy) >= limits.concurrency:
            return Later(Limited.CONCURRENCY, min(one.until for one in busy))
        busy += (Busy(caller, until),)
    return Admitted(replace(throttle, breaker=breaker, full_at=full_at, busy=busy), breaker.epoch, is_probe)


def settle(
    throttle: Throttle, limits: Limits, caller: str, epoch: int, failed: bool | None, now: int, once: bool = False
) -> Throttle:
    """What is known once a call has ended; `failed` and `once` as `policy.breaker.hear` has them."""
    breaker = throttle.breaker
    if limits.breaker is not None:
        breaker = hear(breaker, limits.breaker, caller, epoch, failed, now, once)
    busy = tuple(one for one in throttle.busy if one.caller != caller)
    return replace(throttle, breaker=breaker, busy=busy)


def withdraw(throttle: Throttle, limits: Limits, caller: str, epoch: int, now: int) -> Throttle:
    """As if the call had not been let through: it was never made."""
    given_back = throttle.full_at - _one(limits.rate) if limits.rate is not None else throttle.full_at
    return replace(settle(throttle, limits, caller, epoch, None, now), full_at=given_back)


def rewound(throttle: Throttle, now: int) -> Throttle:
    """As it stands by the clock of now: one that was set back makes nobody wait longer than was meant."""
    by = throttle.at - now
    if by <= 0:
        return throttle
    busy = tuple(Busy(one.caller, one.until - by) for one in throttle.busy)
    return replace(
        throttle, breaker=earlier(throttle.breaker, by), full_at=max(0, throttle.full_at - by), busy=busy, at=now
    )


def calls_left(throttle: Throttle, rate: RateRule, now: int) -> int:
    """How many calls may go at once now."""
    missing = max(0, min(throttle.full_at, now + _span(rate)) - now)
    return rate.calls - -(-missing // _one(rate))


def _taken(full_at: int, rate: RateRule, now: int) -> int:
    """When the bucket is full again, after one more call."""
    return max(min(full_at, now + _span(rate)), now) + _one(rate)


def _one(rate: RateRule) -> int:
    """The time in which one call is refilled, rounded so that there are never more."""
    return -(-int(rate.per * 1_000_000) // rate.calls)


def _span(rate: RateRule) -> int:
    """The time in which an empty bucket is full."""
    return _one(rate) * rate.calls
