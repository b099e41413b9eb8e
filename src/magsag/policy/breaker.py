"""The circuit breaker as a state machine: which calls it lets through, and what their ends make of it.

    closed --(enough of the last calls failed)--> open --(time)--> half_open --(the probe worked)--> closed
                                                   ^------(the probe failed)------'

Half-open is an open breaker whose time is over: one call at a time may try. Whoever tries holds the probe until it
says how that went, or its own time is over, because a process may die with it. Every change of state begins a new
epoch, and what calls of an earlier epoch have to say is not heard any more. Times are microseconds, handed in.
"""

from dataclasses import replace
from typing import NamedTuple, assert_never

from magsag.domain.breaking import BreakerState
from magsag.domain.errors import ErrorType
from magsag.domain.frozen import frozen
from magsag.domain.manifests.throttling import BreakerRule

FAILURES = frozenset({ErrorType.TIMEOUT, ErrorType.UNAVAILABLE, ErrorType.RAISED, ErrorType.OUTPUT_CONTRACT})
"""errors by which a call says that what it called does not work; all others say nothing of it"""


class Call(NamedTuple):
    """How one call went."""

    at: int
    failed: bool
    by: str = ""
    """whose end it was, of a whole run: a process that dies before that end is on record tells it again"""


@frozen
class Breaker:
    """What a breaker knows. A new one is closed."""

    epoch: int = 0
    """how often its state has changed"""
    recent: tuple[Call, ...] = ()
    """of a closed one: calls from the first failure on that still counts, the oldest first"""
    since: int = 0
    """when it opened; 0 for a closed one. A probe that fails does not change it"""
    until: int = 0
    """before this time nothing is tried"""
    probe: str = ""
    """the call that tries; empty for none"""
    probe_until: int = 0
    """when it is not waited for any longer"""
    opened_by: str = ""
    """of an open one: the call that opened it last; empty where no single one did"""


@frozen
class Passes:
    """The call may go; it says later how it went, and of which epoch it is."""

    breaker: Breaker
    is_probe: bool = False


@frozen
class Shut:
    """The call is refused without contact."""

    state: BreakerState
    since: int
    until: int
    """when the next call may try"""


def state_of(breaker: Breaker, now: int) -> BreakerState:
    """What it does with a call at this time."""
    if not breaker.since:
        return BreakerState.CLOSED
    return BreakerState.OPEN if now < breaker.until else BreakerState.HALF_OPEN


def ask(breaker: Breaker, caller: str, now: int, until: int) -> Passes | Shut:
    """Whether a call may go; `until` is when it has ended at the latest, if it is the probe."""
    match state_of(breaker, now):
        case BreakerState.CLOSED:
            return Passes(breaker)
        case BreakerState.OPEN:
            return Shut(BreakerState.OPEN, breaker.since, breaker.until)
        case BreakerState.HALF_OPEN:
            if breaker.probe not in ("", caller) and now < breaker.probe_until:
                return Shut(BreakerState.HALF_OPEN, breaker.since, breaker.probe_until)
            return Passes(replace(breaker, probe=caller, probe_until=until), is_probe=True)
        case unknown:
            assert_never(unknown)


def hear(
    breaker: Breaker, rule: BreakerRule, caller: str, epoch: int, failed: bool | None, now: int, once: bool = False
) -> Breaker:
    """What is known once a call has ended; `failed` is None when it says nothing of what it called.

    `once`: of this caller only one end counts, however often it is told.
    """
    if epoch != breaker.epoch:
        return breaker
    if breaker.since:
        return _after_probe(breaker, rule, caller, failed, now) if breaker.probe == caller else breaker
    if failed is None or (once and any(call.by == caller for call in breaker.recent)):
        return breaker
    oldest = now - _micros(rule.within)
    recent = [call for call in breaker.recent if call.at > oldest]
    recent = [*recent, Call(now, failed, caller if once else "")][-rule.last :]
    while recent and not recent[0].failed:
        del recent[0]  # before the first failure a success moves nothing, so a healthy thing costs no write
    if sum(call.failed for call in recent) < rule.failures:
        return replace(breaker, recent=tuple(recent))
    return opened(breaker, rule, caller, now)


def opened(breaker: Breaker, rule: BreakerRule, caller: str, now: int) -> Breaker:
    """Nothing is tried for a while."""
    until = now + _micros(rule.open)
    return Breaker(breaker.epoch + 1, since=breaker.since or now, until=until, opened_by=caller)


def closed(breaker: Breaker) -> Breaker:
    """It works again, and what was is forgotten."""
    return Breaker(breaker.epoch + 1)


def earlier(breaker: Breaker, by: int) -> Breaker:
    """The same by a clock that is so far behind."""
    recent = tuple(call._replace(at=call.at - by) for call in breaker.recent)
    if not breaker.since:
        return replace(breaker, recent=recent)
    since, until = max(1, breaker.since - by), breaker.until - by
    return replace(breaker, recent=recent, since=since, until=until, probe_until=breaker.probe_until - by)


def _after_probe(breaker: Breaker, rule: BreakerRule, caller: str, failed: bool | None, now: int) -> Breaker:
    if failed is None:
        return replace(breaker, probe="", probe_until=0)
    return opened(breaker, rule, caller, now) if failed else closed(breaker)


def _micros(seconds: float) -> int:
    return int(seconds * 1_000_000)
