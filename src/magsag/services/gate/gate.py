"""The gate: the one place where an act is judged, started and settled. One straight way for every step.

Order, fail closed at each: values and input contract, redaction, policy verdict, approval, secrets, breaker and rate,
budgets, intent, act under its timeout, output contract, outcome. A step that the ledger knows is answered from the
record after its call, target and input were compared with it. Stopping a run is decided here, never by the
caller.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final, assert_never

from magsag.domain.effects import EFFECTFUL, Effect
from magsag.domain.errors import Broken, ErrorType, Retryable, StepFailed, Stopped
from magsag.domain.facts import Decision, ParkedOn, StepStatus, Verdict
from magsag.domain.ids import StepId
from magsag.domain.verdicts import is_not_performed
from magsag.engine.recovery import Wanted, wanted
from magsag.engine.retry import leaves_doubt, retry_delay
from magsag.engine.run import Step
from magsag.policy.approval import expires_at
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store, TicketRow
from magsag.ports.means import Means
from magsag.services.gate.admitting import admit
from magsag.services.gate.asking import Asking, Goes, Over, Waits, still
from magsag.services.gate.comparing import asks, denied, departure, in_doubt
from magsag.services.gate.covering import Covering
from magsag.services.gate.judging import Judging
from magsag.services.gate.leaves import Leaves
from magsag.services.gate.lookups import CannotTell, Happened, Lookups, NotHappened, is_abandoned
from magsag.services.gate.notes import Notes
from magsag.services.gate.outcomes import Outcomes, failure
from magsag.services.gate.pausing import Pausing
from magsag.services.gate.performing import Performing
from magsag.services.gate.secrets import SecretDesk
from magsag.services.gate.throttling import Throttling
from magsag.services.recording.large import Values
from magsag.services.recording.recorder import Recorder
from magsag.services.steps.attempt import Acted, Attempt, Children, HeldTicket, Switches, Told
from magsag.services.steps.budgeting import Budgeting
from magsag.services.steps.seat import Scope, Seat
from magsag.services.steps.target import ONCE, Target, for_input

ALWAYS_STARTS: Final = EFFECTFUL | {Effect.DELEGATE, Effect.WAIT}
"""kinds whose intent is a fact of its own"""
_NOT_FOUND: Final = "the process ended before it acted, says its lookup"
_NOT_ACTED: Final = "it was given up before it acted"


class Gate:
    """Judges, records and performs steps for all runs of this process."""

    def __init__(
        self,
        recorder: Recorder,
        store: Store,
        values: Values,
        clock: Clock,
        switches: Switches,
        means: Means,
        covering: Covering | None = None,
    ) -> None:
        """Without `covering` no standing approval answers anything."""
        self._values = values
        self._covering = covering
        self._clock = clock
        self._asking = Asking(store, clock)
        self._budgeting = Budgeting(store, switches.step_seconds)
        self._outcomes = Outcomes(recorder, values, clock, switches)
        self.secrets = SecretDesk(means.secrets, recorder, clock, are_needed=means.place is None)
        seconds = switches.step_seconds
        self._throttling = throttling = Throttling(store, recorder, clock, seconds)
        self._judging = Judging(switches, store, clock, throttling.moved)
        self.leaves = Leaves(throttling, clock)
        parts = self._outcomes, throttling, self.leaves
        self._performing = Performing(*parts, store, values, clock, seconds, self.secrets, means)
        self._pausing = Pausing(self._outcomes, clock, switches.durable)
        self._lookups = Lookups(clock, self._performing.look_up)
        self.notes = Notes(recorder, clock)

    def drive_children(self, children: Children) -> None:
        """Say who drives child runs."""
        self._performing.children = children

    @property
    def limits(self) -> Sequence[float]:
        """The timeouts of the acts under way that declare one."""
        return self._performing.limits

    def step(self, seat: Seat, scope: Scope, id: StepId, target: Target, payload: object) -> Coroutine[Any, Any, Told]:
        """Take one step. Raises StepFailed as recorded, Stopped when the run cannot go on in this leg."""
        if target.by is not None:
            target = for_input(target, payload)
        if seat.leg.resumed:
            seat.reached.add(id)
        if scope.given_up_at:
            return self._retold(seat, scope, id, target, payload)
        return self._step(seat, scope, id, target, payload)

    async def _step(self, seat: Seat, scope: Scope, id: StepId, target: Target, payload: object) -> Told:
        try:
            known = seat.run.steps.get(id)
            if known is not None:
                self._values.decode(seat.leg.tree, known.input)
            attempt = Attempt(seat, scope, id, target, b"null", None, 1)
            try:
                if known is None and target.secrets:
                    await self.secrets.foresee(attempt)
                admit(self._values, attempt, payload, known is None)
            except StepFailed as error:
                if known is None:
                    raise await self._outcomes.fail(attempt, error) from None
                return self._refused_again(attempt, known)
            return await (self._attempts(attempt) if known is None else self._resume(attempt, known))
        except Broken as error:
            seat.leg.tree.lose(error)
            raise Stopped(str(error)) from error

    async def _retold(self, seat: Seat, scope: Scope, id: StepId, target: Target, payload: object) -> Told:
        """A step of a branch that an earlier leg gave up: what it was told then, it is told again, and no more."""
        known = seat.run.steps.get(id)
        if known is None or not 0 < known.order <= scope.given_up_at:
            await self.notes.forever(seat)
        return await self._step(seat, scope, id, target, payload)

    async def recover(self, seat: Seat, step: Step) -> None:
        """Bring a begun act to its end without its program, starting nothing. Raises Stopped for a doubt."""
        assert step.proposal is not None
        target = replace(seat.targets.recorded(step.proposal), retry=ONCE)
        data = step.input or b"null"
        value = self._values.decode(seat.leg.tree, data)
        attempt = Attempt(seat, Scope(), step.id, target, data, value, max(1, step.attempt), cancelled=True)
        try:
            if step.status is StepStatus.STARTED and step.proposal.effect is Effect.TRANSACTIONAL:
                raise await self._outcomes.fail(attempt, StepFailed(ErrorType.RAISED, _NOT_ACTED))
            await self._resume(attempt, step)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise

    def _refused_again(self, attempt: Attempt, step: Step) -> Told:
        """The input is no JSON: that must be how the step failed before."""
        if step.error_type is ErrorType.INVALID_VALUE and step.status is StepStatus.FAILED:
            return self._answer(attempt.seat, step)
        said = "it was called with another input before; now that is nothing that JSON can hold"
        raise attempt.park(ParkedOn.DIVERGENCE, f"step {attempt.id}: {said}")

    async def _resume(self, attempt: Attempt, step: Step) -> Told:
        """A step that the ledger knows: the recovery table says what it needs."""
        self._compare(attempt, step)
        attempt.number = max(1, step.attempt)
        attempt.nothing_happened = step.status is StepStatus.HELD and attempt.number == 1
        attempt.recorded = step.changed or step.input
        if step.changed is not None:
            attempt.value = self._values.decode(attempt.seat.leg.tree, step.changed)
        if step.approval is not None:
            attempt.ticket = self._asking.earlier(attempt, step)
        match wanted(step):
            case Wanted.RETURN:
                return await self._returned(attempt, step)
            case Wanted.DECISION:
                return await self._decided(attempt, step)
            case Wanted.PERSON:
                raise attempt.park(ParkedOn.DOUBT, in_doubt(step))
            case Wanted.DOUBT:
                raise await self._doubt(attempt, "the process ended between the intent and the outcome")
            case Wanted.LOOK_UP:
                attempt.started, attempt.verdict, attempt.began = True, step.verdict, self._clock.now()
                return await self._look_up(attempt, step)
            case Wanted.JUDGE:
                attempt.number = step.attempt + 1
                await self._pausing.for_attempt(attempt, step.due, step.error_type)
                return await self._attempts(attempt)
            case Wanted.PERFORM:
                attempt.started, attempt.verdict, attempt.began = True, step.verdict, self._clock.now()
                if step.reserved is not None:
                    await self._start(attempt, None)
                return await self._attempts(attempt)
            case unknown:
                assert_never(unknown)

    async def _decided(self, attempt: Attempt, step: Step) -> Told:
        """A held step: what people said of its ticket. What was approved is judged once more."""
        match self._asking.look(attempt, step):
            case Waits(ticket, said, due):
                raise attempt.park(ParkedOn.APPROVAL, f"{asks(attempt, step.verdict)}; {said}", due, ticket=ticket)
            case Over(error, tickets):
                raise await self._refused(attempt, error, tickets)
            case Goes(held):
                attempt.ticket = held
                return await self._attempts(attempt)
            case unknown:
                assert_never(unknown)

    async def _look_up(self, attempt: Attempt, step: Step) -> Told:
        """Adopt what happened, act again when it did not; when nobody can tell, a person must look."""
        match await self._lookups.ask(attempt, step, attempt.seat.leg.tree.lease.wrested):
            case Happened(output):
                return await self._outcomes.succeeded(attempt, Acted(output, adopted=True))
            case CannotTell(why, said):
                raise await self._doubt(attempt, why, said)
            case NotHappened():
                error = StepFailed(ErrorType.UNAVAILABLE, _NOT_FOUND)
                if attempt.cancelled:
                    raise await self._outcomes.fail(attempt, error)
                self._throttling.vacate(attempt, is_over=True)
                await self._outcomes.will_retry(attempt, error, 0)
                return await self._attempts(attempt)
            case unknown:
                assert_never(unknown)

    async def _returned(self, attempt: Attempt, step: Step) -> Told:
        """A step that has ended. One that was cancelled is told nothing: whoever waits for it is given up too."""
        if step.status is StepStatus.SKIPPED:
            raise attempt.park(ParkedOn.DIVERGENCE, f"step {attempt.id}: the record has it skipped, now it is to run")
        if step.status is StepStatus.CANCELLED:
            await self.notes.forever(attempt.seat)
        return self._answer(attempt.seat, step)

    async def _attempts(self, attempt: Attempt) -> Told:
        """Judge, start, act, settle; again while the retry policy says so. Every start is judged."""
        while True:
            if not attempt.started:
                judged = self._judged(attempt)
                await (self._throttling.giving_back(attempt, judged) if attempt.target.throttled else judged)
                if is_not_performed(attempt.verdict):
                    return await self._outcomes.shown(attempt)
            elif attempt.target.secrets and attempt.secrets is None:
                await self._hand_secrets(attempt)
            try:
                acted = await self._performing.act(attempt)
            except (StepFailed, Retryable) as error:
                told = await self._failed(attempt, error)
                if told is not None:
                    return told
                continue
            return await self._outcomes.succeeded(attempt, acted)

    async def _judged(self, attempt: Attempt) -> None:
        """Let the attempt start, or end it here."""
        now, attempt.leans = self._clock.now(), None
        attempt.began = now
        verdict = attempt.verdict = self._judging.verdict(attempt, now)
        match verdict.decision:
            case Decision.ALLOW:
                await self._start(attempt, await self._spends(attempt) if attempt.ticket else None)
            case Decision.ASK:
                spends = await self._spends(attempt) if attempt.ticket else None
                if attempt.ticket is None and self._covering is not None:
                    attempt.leans = self._covering.find(attempt)
                is_answered = spends is not None or attempt.leans is not None
                await (self._start(attempt, spends) if is_answered else self._hold(attempt, verdict))
            case Decision.DENY:
                await self._deny(attempt)
            case _:
                assert_never(verdict.decision)

    async def _hold(self, attempt: Attempt, verdict: Verdict) -> None:
        """Open a ticket, and wait. A branch that is given up meanwhile waits for nothing."""
        ask, tickets = self._asking.open(attempt)
        await self._outcomes.hold(attempt, ask, tickets)
        if attempt.cancelled:
            raise asyncio.CancelledError
        reason = f"{asks(attempt, verdict)}; {still(attempt, ask.rule)}"
        raise attempt.park(ParkedOn.APPROVAL, reason, expires_at(ask), ticket=ask.ticket)

    async def _spends(self, attempt: Attempt) -> HeldTicket | None:
        """The ticket that the intent spends, or has spent before. One for other arguments ends the step."""
        try:
            return self._asking.spend(attempt)
        except StepFailed as error:
            raise await self._refused(attempt, error) from None

    async def _refused(
        self, attempt: Attempt, error: StepFailed, tickets: Sequence[TicketRow] = ()
    ) -> StepFailed | Stopped:
        """What it lacks ends the step, unless an earlier attempt may have acted: then a person must look."""
        if not attempt.may_have_acted:
            return await self._outcomes.fail(attempt, error, tickets)
        return await self._doubt(attempt, f"an earlier attempt may have acted, and no other follows: {error.message}")

    async def _start(self, attempt: Attempt, spends: HeldTicket | None) -> None:
        """The intent, where it is a fact of its own: of the kinds that always start, and of what was held."""
        acts, again = not is_not_performed(attempt.verdict), attempt.started
        if acts and attempt.target.secrets:
            await self._hand_secrets(attempt)
        if acts and attempt.target.throttled is not None and not again and not await self._may_go(attempt):
            return
        try:
            attempt.charge = self._budgeting.charge(attempt) if acts else None
            starts = acts and attempt.target.proposal.effect in ALWAYS_STARTS
            if not (attempt.charge or (not again and (starts or attempt.ticket or attempt.leans or attempt.is_held))):
                return
            await self._outcomes.start(attempt, spends)
        except StepFailed as error:
            raise await self._refused(attempt, error) from None
        if attempt.cancelled and attempt.given_up:
            why = StepFailed(ErrorType.RAISED, _NOT_ACTED)
            raise await self._outcomes.fail(attempt, why, released=attempt.charge is not None)

    async def _hand_secrets(self, attempt: Attempt) -> None:
        """One that is missing ends the step before anything starts."""
        if (missing := await self.secrets.hand(attempt, self._outcomes.cancelled)) is not None:
            raise await self._refused(attempt, missing)

    async def _may_go(self, attempt: Attempt) -> bool:
        """Whether breaker, rate and concurrency let it act; False when it had to wait, and was judged again."""
        refused = self._pausing.left(attempt) or self._throttling.admit(attempt)
        if isinstance(refused, StepFailed):
            raise await self._refused(attempt, refused)
        if refused is not None:
            await self._pausing.for_leave(attempt, refused)
            await self._judged(attempt)
        return refused is None

    async def _failed(self, attempt: Attempt, error: StepFailed | Retryable) -> Told | None:
        """After a failed attempt: wait for the next one, or end the step here; Told when it did happen after all."""
        effect = attempt.target.proposal.effect
        if leaves_doubt(effect, error.type):
            answer = await self._lookups.ask(attempt, attempt.seat.run.steps[attempt.id])
            if isinstance(answer, Happened):
                return await self._outcomes.succeeded(attempt, Acted(answer.output, adopted=True))
            if isinstance(answer, CannotTell) or is_abandoned(attempt, error):
                raise await self._doubt(
                    attempt, f"it ended with {error.type}; whether it acted, nobody can tell", error
                )
            effect = Effect.IDEMPOTENT
        asked = error.retry_after_seconds if isinstance(error, Retryable) else None
        chance = self._clock.chance(1)[0] / 256
        delay = retry_delay(attempt.target.retry, effect, error.type, attempt.number, asked, chance)
        if delay is None or (attempt.cancelled and attempt.given_up):
            raise await self._outcomes.fail(attempt, error)
        await self._outcomes.will_retry(attempt, error, delay)
        await self._pausing.for_attempt(attempt, attempt.seat.run.steps[attempt.id].due, error.type)
        return None

    async def _doubt(self, attempt: Attempt, why: str, said: StepFailed | Retryable | None = None) -> Stopped:
        await self._outcomes.in_doubt(attempt, why, said)
        self._throttling.vacate(attempt)
        return attempt.park(ParkedOn.DOUBT, in_doubt(attempt.seat.run.steps[attempt.id], why))

    async def _deny(self, attempt: Attempt) -> None:
        """A deny ends the step, unless an earlier attempt may have acted: then a person must look."""
        assert attempt.verdict is not None
        if attempt.may_have_acted:
            reason = f"an earlier attempt may have acted, and rule {attempt.verdict.rule} denies another one"
            raise await self._doubt(attempt, reason)
        raise await self._outcomes.fail(attempt, denied(attempt, attempt.verdict))

    def _compare(self, attempt: Attempt, step: Step) -> None:
        """The program must do again what it did before; the first difference parks the run."""
        said = departure(attempt, step, lambda data: self._values.decode(attempt.seat.leg.tree, data))
        if said is not None:
            raise attempt.park(ParkedOn.DIVERGENCE, f"step {attempt.id}: {said}")

    def _answer(self, seat: Seat, step: Step) -> Told:
        """What the record says of a step that has ended. Raises the recorded StepFailed."""
        if step.status is StepStatus.FAILED:
            raise failure(step)
        return Told(self._values.decode(seat.leg.tree, step.output), step.order, step.at, step.partial)
