"""Whether a fork may begin: it is a new run of its program, so the limits of that are asked as those of a start are.

The start of the original is on record in the fork, so its own first step asks nothing. A fork waits for nothing.
"""

from magsag.domain.breaking import BreakerState
from magsag.domain.errors import Refused
from magsag.domain.ids import RunId
from magsag.domain.manifests import Agent, Flow
from magsag.domain.verdicts import START
from magsag.policy.breaker import Shut
from magsag.policy.throttle import Later, settle
from magsag.ports.throttles import Throttles
from magsag.services.gate.throttling import shut_out, too_many
from magsag.services.steps.attempt import caller_of
from magsag.services.steps.limits import limits_of
from magsag.services.steps.throttles import change, log_moved, take


def require_leave(store: Throttles, manifest: Agent | Flow, fork: RunId, step_seconds: float) -> None:
    """Take leave for the fork to begin. Raises Refused, with the time at which it may."""
    throttled = limits_of(manifest)
    if throttled is None:
        return
    seconds = manifest.timeout if isinstance(manifest, Agent) else None
    caller, limits = caller_of(fork, START, 1), throttled.limits
    answer, now = take(store, throttled, caller, seconds or step_seconds)
    if isinstance(answer, Shut):
        raise Refused(shut_out(throttled, answer).message)
    if isinstance(answer, Later):
        # its objectives may have let it try, under the same name
        change(store, throttled.name, lambda was, now: settle(was, limits, caller, was.breaker.epoch, None, now))
        raise Refused(too_many(throttled, answer, now).message)
    if answer.is_probe:
        log_moved(throttled.name, BreakerState.HALF_OPEN, "its time is over: this fork tries", f"run {fork}")
