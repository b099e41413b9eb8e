"""Breaker, rate and concurrency at the gate: leave to act is taken before the intent, and given back after the act.

It is taken in a commit of its own: whoever dies between the two has wasted a call, never added one. What an act that
a crash cut off comes to is not counted; a child run that goes on in a later leg is, once it ends. Nothing here waits;
the gate does.
"""

import logging
from collections.abc import Awaitable, Callable

from magsag.domain.breaking import BreakerMoved, BreakerState
from magsag.domain.errors import Broken, ErrorType, Retryable, StepFailed, Stopped
from magsag.domain.ids import StepId
from magsag.domain.verdicts import START
from magsag.engine.retry import retry_delay
from magsag.policy.breaker import FAILURES, Breaker, Shut
from magsag.policy.throttle import Declared, Later, Limited, Throttle, settle, withdraw
from magsag.ports.clock import Clock
from magsag.ports.throttles import Throttles
from magsag.services.recording.recorder import Recorder
from magsag.services.steps.attempt import Acted, Attempt, caller_of
from magsag.services.steps.holding import Admission
from magsag.services.steps.moment import moment
from magsag.services.steps.seat import Seat
from magsag.services.steps.target import ChildAct
from magsag.services.steps.throttles import change, log_moved, take, throttle_of

_log = logging.getLogger("magsag.throttle")


class Throttling:
    """Asks for all runs of this process."""

    def __init__(self, store: Throttles, recorder: Recorder, clock: Clock, step_seconds: float) -> None:
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._step_seconds = step_seconds

    def admit(self, attempt: Attempt) -> float | StepFailed | None:
        """None when the attempt may act; else how it fails, or the seconds after which it is to be judged again.

        Raises StoreBroken, and nothing is let through.
        """
        throttled, caller = attempt.target.throttled, caller_of(attempt.seat.run.id, attempt.id, attempt.number)
        assert throttled is not None
        lasts = attempt.target.timeout_seconds or self._step_seconds
        answer, now = take(self._store, throttled, caller, lasts)
        if isinstance(answer, Shut):
            return shut_out(throttled, answer, attempt.number - 1)
        if isinstance(answer, Later):
            return self._later(throttled, answer, attempt, now)
        attempt.admission = Admission(caller, answer.epoch)
        if answer.is_probe and not _is_told(attempt, throttled.name):
            why = "its time is over: this call tries"
            self.moved(attempt.seat, attempt.id, throttled.name, BreakerState.HALF_OPEN, why)
        return None

    def take_up(self, attempt: Attempt) -> None:
        """A child run of an earlier leg goes on: how it ends is counted now, since nobody could count it before."""
        assert attempt.target.throttled is not None
        caller = caller_of(attempt.seat.run.id, attempt.id, attempt.number)
        attempt.admission = self.taken_up(attempt.target.throttled, caller)

    def taken_up(self, throttled: Declared, caller: str) -> Admission:
        """The leave of somebody who took it in an earlier leg."""
        _, row = self._store.throttle(throttled.name)
        return Admission(caller, 0 if row is None else throttle_of(row).breaker.epoch)

    async def giving_back(self, attempt: Attempt, judged: Awaitable[None]) -> None:
        """Let it be judged and started; what is refused behind us, or given up, has called nothing.

        Where the tree is lost, nobody here knows whether the intent stands: it keeps its leave, since it may act.
        """
        try:
            await judged
        except Broken:
            raise
        except BaseException:
            admission, throttled = attempt.admission, attempt.target.throttled
            attempt.admission = None
            if attempt.seat.leg.tree.lost is not None:
                raise
            if admission is not None and throttled is not None:
                limits, caller, epoch = throttled.limits, admission.caller, admission.epoch
                self._change(throttled.name, lambda throttle, now: withdraw(throttle, limits, caller, epoch, now))
            raise

    async def watched(self, attempt: Attempt, act: Awaitable[Acted]) -> Acted:
        """Act, and tell how that went. A child run that parks has not ended: if it tries, its place is kept."""
        began, failed, has_parked = self._clock.now(), None, False
        try:
            acted = await act
            failed = False
            return acted
        except (StepFailed, Retryable) as error:
            failed = True if error.type in FAILURES else None
            raise
        except Stopped:
            has_parked = isinstance(attempt.target.act, ChildAct)
            raise
        finally:
            if attempt.admission is None:
                self.vacate(attempt)
            if not has_parked:
                self._settle(attempt, failed, (self._clock.now() - began) / 1e6)

    def vacate(self, attempt: Attempt, is_over: bool = False) -> None:
        """The process that was let through has ended, and its act with it: nobody is at it, and nothing is counted.

        Where the lease was wrested from an owner that may live, the place is held for as long as the act may take;
        `is_over` when that was waited for.
        """
        throttled, caller = attempt.target.throttled, caller_of(attempt.seat.run.id, attempt.id, attempt.number)
        may_go_on = attempt.seat.leg.tree.lease.wrested and not is_over
        if throttled is None or not throttled.limits.end_counts or may_go_on:
            return

        def vacated(throttle: Throttle, now: int) -> Throttle:
            return settle(throttle, throttled.limits, caller, throttle.breaker.epoch, None, now)

        self._change(throttled.name, vacated)

    def moved(self, seat: Seat, step: StepId, name: str, state: BreakerState, reason: str) -> None:
        """On record, in the logs; a tree that is lost records nothing any more."""
        log_moved(name, state, reason, f"run {seat.run.id}, step {step}")
        if seat.leg.tree.lost is None:
            fact = BreakerMoved(at=self._clock.now(), step=step, name=name, state=state, reason=reason)
            self._recorder.keep(seat.leg.tree, seat.run, fact)

    def _settle(self, attempt: Attempt, failed: bool | None, seconds: float) -> None:
        throttled, admission = attempt.target.throttled, attempt.admission
        attempt.admission = None
        if throttled is not None and admission is not None and throttled.limits.end_counts:
            self.settle(attempt.seat, attempt.id, throttled, admission, failed, seconds)

    def settle(
        self, seat: Seat, step: StepId, throttled: Declared, admission: Admission, failed: bool | None, seconds: float
    ) -> None:
        """It has ended; `failed` is None when that says nothing of what was called."""
        rule = throttled.limits.breaker
        if failed is False and rule is not None and rule.slow is not None and seconds > rule.slow:
            failed = True

        def settled(throttle: Throttle, now: int) -> Throttle:
            return settle(throttle, throttled.limits, admission.caller, admission.epoch, failed, now, step == START)

        before, after = self._change(throttled.name, settled)
        if before.breaker.epoch != after.breaker.epoch:
            state = BreakerState.OPEN if after.breaker.since else BreakerState.CLOSED
            self.moved(seat, step, throttled.name, state, _why(throttled, before.breaker, after.breaker))

    def _change(self, name: str, changed: Callable[[Throttle, int], Throttle]) -> tuple[Throttle, Throttle]:
        """What happened has happened: a store that does not answer now is no reason to lose the outcome."""
        try:
            return change(self._store, name, changed)
        except Broken as error:
            _log.warning("%s: how a call went could not be counted: %s", name, error)
            return Throttle(), Throttle()

    def _later(self, throttled: Declared, later: Later, attempt: Attempt, now: int) -> float | StepFailed:
        """The retry policy says whether it waits: a rate until its next call, a concurrency as after any failure."""
        target, is_rate = attempt.target, later.by is Limited.RATE
        seconds = (later.at - now) / 1e6 if is_rate else None
        chance = self._clock.chance(1)[0] / 256
        tries = attempt.number + attempt.waits
        delay = retry_delay(target.retry, target.proposal.effect, ErrorType.RATE_LIMIT, tries, seconds, chance)
        if delay is not None:
            attempt.waits += 1
            _log.info("%s: step %s waits %.3f s for its %s", throttled.name, attempt.id, delay, later.by.value)
            return delay
        return too_many(throttled, later, now)


def _is_told(attempt: Attempt, name: str) -> bool:
    """Whether it is on record that this call tries: objectives that open the breaker have let the run start for it."""
    told = (moved for moved in attempt.seat.run.breakers if moved.step == START and moved.name == name)
    return attempt.id == START and any(moved.state is BreakerState.HALF_OPEN for moved in told)


def too_many(throttled: Declared, later: Later, now: int) -> StepFailed:
    """What is told to whom a rate or a concurrency does not let go."""
    details: dict[str, object] = {"throttle": throttled.name, "limit": later.by.value}
    rate = throttled.limits.rate
    if later.by is Limited.CONCURRENCY or rate is None:
        said = f"{throttled.limits.concurrency} calls of it are under way, which is all that may be at once"
    else:
        details["retry_after"] = seconds = (later.at - now) / 1e6
        said = f"it may be called {rate.calls} times in {rate.per:g} s; the next call may go in {seconds:.3f} s"
    return StepFailed(ErrorType.RATE_LIMIT, f"{throttled.name}: {said}", details)


def shut_out(throttled: Declared, shut: Shut, failed: int = 0) -> StepFailed:
    """What is told to whom a breaker does not let through; so many attempts of it had failed before."""
    since, until = str(moment(shut.since)["iso"]), str(moment(shut.until)["iso"])
    if shut.state is BreakerState.OPEN:
        next_call = f"the next call may try at {until}"
    else:
        next_call = f"one call tries now; if that says nothing, the next may at {until}"
    said = f"{throttled.name} is not tried: its breaker is open since {since}; {next_call}"
    if failed:
        said += f"; {failed} attempts of this step had failed before"
    details = {"throttle": throttled.name, "breaker": shut.state.value, "since": since, "half_open": until}
    return StepFailed(ErrorType.UNAVAILABLE, said, details)


def _why(throttled: Declared, before: Breaker, after: Breaker) -> str:
    rule = throttled.limits.breaker
    assert rule is not None
    if not after.since:
        return "a call that tried worked"
    if before.since:
        return f"the call that tried failed; nothing is tried for {rule.open:g} s"
    return f"{rule.failures} of its last {rule.last} calls failed; nothing is tried for {rule.open:g} s"
