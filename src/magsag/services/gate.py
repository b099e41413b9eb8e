"""The gate: the one place where an act is judged, started and settled. One straight way for every step.

Order, fail closed at each: values and input contract, redaction, policy verdict, approval, intent, act under its
timeout, output contract, outcome. A step that the ledger knows is answered from the record after its call,
target and input were compared with it. Stopping a run is decided here, never by the caller.
"""

import asyncio
from typing import Any, Final, assert_never

from magsag.domain.effects import EFFECTFUL, Effect
from magsag.domain.errors import ErrorType, Retryable, StepFailed, Stopped
from magsag.domain.facts import Decision, ParkedOn, StepStatus, Verdict
from magsag.domain.ids import StepId
from magsag.domain.values import encode
from magsag.engine.recovery import Wanted, wanted
from magsag.engine.retry import leaves_doubt, retry_delay
from magsag.engine.run import Step
from magsag.ports.clock import Clock
from magsag.services.attempt import Attempt, Children, Switches, Told
from magsag.services.judging import Judging
from magsag.services.large import Values
from magsag.services.notes import Notes
from magsag.services.outcomes import Outcomes, breach, failure
from magsag.services.performing import Performing
from magsag.services.recorder import Recorder
from magsag.services.seat import Scope, Seat
from magsag.services.targets import Target

ALWAYS_STARTS: Final = EFFECTFUL | {Effect.DELEGATE}
"""kinds whose intent is a fact of its own"""


class Gate:
    """Judges, records and performs steps for all runs of this process."""

    def __init__(self, recorder: Recorder, values: Values, clock: Clock, switches: Switches) -> None:
        self._values = values
        self._clock = clock
        self._judging = Judging(switches)
        self._outcomes = Outcomes(recorder, values, clock, switches)
        self._performing = Performing(self._outcomes, values, switches.step_seconds)
        self.notes = Notes(recorder, clock)

    def drive_children(self, children: Children) -> None:
        """Say who drives child runs."""
        self._performing.children = children

    async def step(self, seat: Seat, scope: Scope, id: StepId, target: Target, payload: object) -> Told:
        """Take one step. Raises StepFailed as recorded, Stopped when the run cannot go on in this leg."""
        known = seat.run.steps.get(id)
        if known is not None:
            self._values.decode(seat.leg.tree, known.input)
        try:
            data, value = self._admit(seat, target, payload, id)
        except StepFailed as error:
            if known is not None:
                return self._answer(seat, known)
            raise await self._outcomes.fail(Attempt(seat, scope, id, target, b"null", None, 1), error) from None
        attempt = Attempt(seat, scope, id, target, data, value, 1)
        if known is not None:
            return await self._resume(attempt, known)
        if target.input is not None:
            fault = breach(target.input, value, ErrorType.INPUT_CONTRACT)
            if fault is not None:
                raise await self._outcomes.fail(attempt, fault)
        return await self._attempts(attempt)

    def _admit(self, seat: Seat, target: Target, payload: object, id: StepId) -> tuple[bytes, Any]:
        """The input as JSON, redacted: what is judged is what is stored is what is acted on."""
        if target.input is not None and target.input.redacts:
            payload = target.input.redact(encode(payload, f"input of step {id}")[1])
        return self._values.encode(seat.leg.tree, seat.run, payload, f"input of step {id}")

    async def _resume(self, attempt: Attempt, step: Step) -> Told:
        """A step that the ledger knows: the recovery table says what it needs."""
        self._compare(attempt, step)
        attempt.number = max(1, step.attempt)
        match wanted(step):
            case Wanted.RETURN:
                if step.status in (StepStatus.CANCELLED, StepStatus.SKIPPED):
                    await asyncio.get_running_loop().create_future()
                return self._answer(attempt.seat, step)
            case Wanted.DECISION:
                raise attempt.park(ParkedOn.APPROVAL, _asks(attempt, step.verdict))
            case Wanted.PERSON:
                raise attempt.park(ParkedOn.DOUBT, _in_doubt(step))
            case Wanted.DOUBT:
                raise await self._doubt(attempt, "the process ended between the intent and the outcome")
            case Wanted.JUDGE:
                return await self._again(attempt, step)
            case Wanted.PERFORM:
                attempt.started, attempt.verdict, attempt.began = True, step.verdict, self._clock.now()
                return await self._attempts(attempt)
            case unknown:
                assert_never(unknown)

    async def _again(self, attempt: Attempt, step: Step) -> Told:
        """The attempt before this one failed; wait until the next is due."""
        attempt.number = step.attempt + 1
        await asyncio.sleep(max(0, step.due - self._clock.now()) / 1e6)
        return await self._attempts(attempt)

    async def _attempts(self, attempt: Attempt) -> Told:
        """Judge, start, act, settle; again while the retry policy says so. Every start is judged."""
        while True:
            if not attempt.started:
                await self._judged(attempt)
            try:
                result, head = await self._performing.act(attempt)
            except (StepFailed, Retryable) as error:
                await self._failed(attempt, error)
                continue
            return await self._outcomes.succeeded(attempt, result, head)

    async def _judged(self, attempt: Attempt) -> None:
        """Let the attempt start, or end it here."""
        now = attempt.began = self._clock.now()
        verdict = attempt.verdict = self._judging.verdict(attempt, now)
        match verdict.decision:
            case Decision.ALLOW:
                if attempt.target.proposal.effect in ALWAYS_STARTS:
                    await self._outcomes.start(attempt)
            case Decision.ASK:
                await self._outcomes.hold(attempt)
                raise attempt.park(ParkedOn.APPROVAL, _asks(attempt, verdict))
            case Decision.DENY:
                await self._deny(attempt)
            case _:
                assert_never(verdict.decision)

    async def _failed(self, attempt: Attempt, error: StepFailed | Retryable) -> None:
        """After a failed attempt: wait for the next one, or end the step here."""
        effect = attempt.target.proposal.effect
        if leaves_doubt(effect, error.type):
            raise await self._doubt(attempt, f"{error.message}; whether it acted, nobody can tell")
        asked = error.retry_after_seconds if isinstance(error, Retryable) else None
        chance = self._clock.chance(1)[0] / 256
        delay = retry_delay(attempt.target.retry, effect, error.type, attempt.number, asked, chance)
        if delay is None or attempt.cancelled:
            raise await self._outcomes.fail(attempt, error)
        await self._outcomes.will_retry(attempt, error, delay)
        await asyncio.sleep(delay)

    async def _doubt(self, attempt: Attempt, why: str) -> Stopped:
        await self._outcomes.in_doubt(attempt, why)
        return attempt.park(ParkedOn.DOUBT, _in_doubt(attempt.seat.run.steps[attempt.id], why))

    async def _deny(self, attempt: Attempt) -> None:
        """A deny ends the step, unless an earlier attempt may have acted: then a person must look."""
        assert attempt.verdict is not None
        verdict, known = attempt.verdict, attempt.seat.run.steps.get(attempt.id)
        if known is not None and known.error_type is ErrorType.TIMEOUT and attempt.target.proposal.effect in EFFECTFUL:
            reason = f"an earlier attempt may have acted, and rule {verdict.rule} denies another one"
            raise attempt.park(ParkedOn.DOUBT, reason)
        why = f": {verdict.reason}" if verdict.reason else ""
        message = f"{attempt.target.proposal.target} is denied by rule {verdict.rule} ({verdict.place}){why}"
        error = StepFailed(ErrorType.DENIED, message, {"rule": verdict.rule, "place": verdict.place})
        raise await self._outcomes.fail(attempt, error)

    def _compare(self, attempt: Attempt, step: Step) -> None:
        """The program must do again what it did before; the first difference parks the run."""
        now, then = attempt.target.proposal, step.proposal
        if then is None or step.input is None:
            return
        if (now.call, now.target) != (then.call, then.target):
            said = f"the record has {then.call} {then.target}, the program now asks for {now.call} {now.target}"
        elif attempt.data == step.input:
            return
        else:
            before = self._values.decode(attempt.seat.leg.tree, step.input)
            if before == attempt.value:
                return
            where = _difference(before, attempt.value)
            said = f"{then.target} was called with another input before; it differs at {where}"
        raise attempt.park(ParkedOn.DIVERGENCE, f"step {attempt.id}: {said}")

    def _answer(self, seat: Seat, step: Step) -> Told:
        """What the record says of a step that has ended. Raises the recorded StepFailed."""
        if step.status is StepStatus.FAILED:
            raise failure(step)
        return Told(self._values.decode(seat.leg.tree, step.output), step.order, step.at)


def _asks(attempt: Attempt, verdict: Verdict | None) -> str:
    target = attempt.target.proposal.target
    if verdict is None:
        return f"{target} waits for an approval"
    return f"{target} asks: rule {verdict.rule} ({verdict.place})" + (f": {verdict.reason}" if verdict.reason else "")


def _in_doubt(step: Step, why: str = "") -> str:
    target = step.proposal.target if step.proposal else step.id
    return f"{target} may have acted and has no outcome" + (f": {why}" if why else "")


def _difference(before: Any, now: Any, pointer: str = "") -> str:
    """The JSON pointer at which two inputs part; never their values, which may be anybody's data."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *now]:
            if key not in before or key not in now:
                return f"{pointer}/{key}"
            if before[key] != now[key]:
                return _difference(before[key], now[key], f"{pointer}/{key}")
    if isinstance(before, list) and isinstance(now, list):
        for index, (old, new) in enumerate(zip(before, now, strict=False)):
            if old != new:
                return _difference(old, new, f"{pointer}/{index}")
        return f"{pointer}/{min(len(before), len(now))}"
    return pointer or "/"
