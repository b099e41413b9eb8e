"""The gate: the one place where an act is judged, started and settled. One straight way for every step.

Order, fail closed at each: values and input contract, redaction, policy verdict, approval, intent, act under its
timeout, output contract, outcome. A step that the ledger knows is answered from the record after its call,
target and input were compared with it. Stopping a run is decided here, never by the caller.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Protocol, assert_never

from magsag.domain import facts
from magsag.domain.effects import EFFECTFUL, Effect, Level
from magsag.domain.errors import ErrorType, Retryable, StepFailed, Stopped
from magsag.domain.facts import Decision, ParkedOn, StepStatus, Verdict
from magsag.domain.ids import RunId, StepId
from magsag.domain.values import decode, encode, encode_known
from magsag.engine.recovery import Wanted, wanted
from magsag.engine.retry import leaves_doubt, retry_delay
from magsag.engine.run import Step
from magsag.policy.judge import BUILT_IN, Record, judge
from magsag.ports.clock import Clock
from magsag.services import acts
from magsag.services.large import Values
from magsag.services.moment import moment
from magsag.services.recorder import Recorder
from magsag.services.seat import Scope, Seat
from magsag.services.targets import ChildAct, Target


@dataclass(frozen=True, slots=True)
class Switches:
    """What is on, and the limits in force."""

    approvals: bool = True
    durable: bool = True
    every_step: bool = False
    step_seconds: float = 300.0
    """the timeout of an act that declares none"""
    depth: int = 8
    children: int = 256


@dataclass(frozen=True, slots=True)
class Told:
    """What a program is told of a step, and its place in the order of the ledger."""

    value: Any
    order: int
    at: int


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child run ended."""

    output: bytes | None
    error: StepFailed | None
    head: str


@dataclass(frozen=True, slots=True)
class ChildPlace:
    """Where a child run hangs in its tree."""

    seat: Seat
    scope: Scope
    branch: Scope
    """flagged when this delegation alone is given up, at its timeout"""
    step: StepId
    target: Target
    attempt: int


class Children(Protocol):
    """Drives child runs; `services.programs`."""

    async def run(self, place: ChildPlace, input: bytes) -> ChildEnd:
        """Start or go on with the child run of a step. Raises Stopped when it parked, with the reason noted."""


@dataclass(slots=True)
class _Attempt:
    """One step on its way through the gate."""

    seat: Seat
    scope: Scope
    id: StepId
    target: Target
    data: bytes
    value: Any
    number: int
    verdict: Verdict | None = None
    began: int = 0
    started: bool = False
    """an intent is on record"""
    cancelled: bool = False
    """somebody gave the step up while it acted"""


ALWAYS_STARTS: Final = EFFECTFUL | {Effect.DELEGATE}
"""kinds whose intent is a fact of its own"""


class Gate:
    """Judges, records and performs steps for all runs of this process."""

    def __init__(self, recorder: Recorder, values: Values, clock: Clock, switches: Switches) -> None:
        self._recorder = recorder
        self._values = values
        self._clock = clock
        self._switches = switches
        self.children: Children | None = None

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
            raise await self._fail(_Attempt(seat, scope, id, target, b"null", None, 1), error) from None
        attempt = _Attempt(seat, scope, id, target, data, value, 1)
        if known is not None:
            return await self._resume(attempt, known)
        if target.input is not None:
            fault = breach(target.input, value, ErrorType.INPUT_CONTRACT)
            if fault is not None:
                raise await self._fail(attempt, fault)
        return await self._attempts(attempt)

    def _admit(self, seat: Seat, target: Target, payload: object, id: StepId) -> tuple[bytes, Any]:
        """The input as JSON, redacted: what is judged is what is stored is what is acted on."""
        if target.input is not None and target.input.redacts:
            payload = target.input.redact(encode(payload, f"input of step {id}")[1])
        return self._values.encode(seat.leg.tree, seat.run, payload, f"input of step {id}")

    async def _resume(self, attempt: _Attempt, step: Step) -> Told:
        """A step that the ledger knows: the recovery table says what it needs."""
        self._compare(attempt, step)
        attempt.number = max(1, step.attempt)
        match wanted(step):
            case Wanted.RETURN:
                if step.status in (StepStatus.CANCELLED, StepStatus.SKIPPED):
                    await asyncio.get_running_loop().create_future()
                return self._answer(attempt.seat, step)
            case Wanted.DECISION:
                raise self._park(attempt, ParkedOn.APPROVAL, _asks(attempt, step.verdict))
            case Wanted.PERSON:
                raise self._park(attempt, ParkedOn.DOUBT, _doubt(step))
            case Wanted.DOUBT:
                raise await self._in_doubt(attempt, "the process ended between the intent and the outcome")
            case Wanted.JUDGE:
                return await self._again(attempt, step)
            case Wanted.PERFORM:
                attempt.started, attempt.verdict, attempt.began = True, step.verdict, self._clock.now()
                return await self._attempts(attempt)
            case unknown:
                assert_never(unknown)

    async def _again(self, attempt: _Attempt, step: Step) -> Told:
        """The attempt before this one failed; wait until the next is due."""
        attempt.number = step.attempt + 1
        await asyncio.sleep(max(0, step.due - self._clock.now()) / 1e6)
        return await self._attempts(attempt)

    async def _attempts(self, attempt: _Attempt) -> Told:
        """Judge, start, act, settle; again while the retry policy says so. Every start is judged."""
        while True:
            if not attempt.started:
                await self._judged(attempt)
            try:
                result, spent_head = await self._act(attempt)
            except (StepFailed, Retryable) as error:
                await self._failed(attempt, error)
                continue
            return await self._succeeded(attempt, result, spent_head)

    async def _judged(self, attempt: _Attempt) -> None:
        """Let the attempt start, or end it here."""
        now = attempt.began = self._clock.now()
        verdict = attempt.verdict = self._verdict(attempt, now)
        if verdict.decision is Decision.ASK and not self._switches.approvals:
            reason = f"rule {verdict.rule} asks, and approvals are switched off: an ask is a deny"
            verdict = attempt.verdict = Verdict(Decision.DENY, verdict.rule, verdict.place, reason, verdict.policy)
        match verdict.decision:
            case Decision.ALLOW:
                if attempt.target.proposal.effect in ALWAYS_STARTS:
                    await self._start(attempt)
            case Decision.ASK:
                await self._hold(attempt)
            case Decision.DENY:
                await self._deny(attempt)
            case _:
                assert_never(verdict.decision)

    def _verdict(self, attempt: _Attempt, now: int) -> Verdict:
        seat, target = attempt.seat, attempt.target
        if target.proposal.effect in EFFECTFUL and not self._switches.durable:
            reason = "durable is switched off: runs live in memory, and only pure and read steps start"
            return Verdict(Decision.DENY, "durable-off", BUILT_IN, reason, seat.targets.policies.hash)
        if isinstance(target.act, ChildAct) and (refused := self._beyond(attempt)) is not None:
            return refused
        if target.found.fixed is not None:
            return target.found.fixed
        run = seat.run.started
        about = {
            "id": seat.run.id,
            "program": seat.targets.program,
            "parent": (run.parent if run else None) or "",
            "requester": run.requester if run else "",
        }
        record = Record(
            seat.targets.program,
            target.proposal.target,
            target.proposal.effect,
            attempt.value,
            about,
            seat.environment,
            seat.mode,
            moment(now),
        )
        return judge(record, target.found, seat.targets.policies.hash)

    def _beyond(self, attempt: _Attempt) -> Verdict | None:
        """The limits of delegation: depth, number, and no way back to an ancestor."""
        seat, target, limits = attempt.seat, attempt.target, self._switches
        children = seat.leg.tree.children
        if attempt.number == 1:
            children[seat.run.id] = children.get(seat.run.id, 0) + 1
        name = target.proposal.target.partition("@")[0]
        if any(above.partition("@")[0] == name for above in seat.lineage):
            rule, why = "delegation-cycle", f"{' -> '.join([*seat.lineage, target.proposal.target])} is a circle"
        elif len(seat.lineage) >= limits.depth:
            rule, why = "depth-limit", f"delegation is {limits.depth} deep already ([limits] depth)"
        elif children[seat.run.id] > limits.children:
            rule, why = "children-limit", f"the run has {limits.children} child runs already ([limits] children)"
        else:
            return None
        return Verdict(Decision.DENY, rule, BUILT_IN, why, seat.targets.policies.hash)

    async def _start(self, attempt: _Attempt) -> None:
        """The intent, on disk before the act when it has an effect."""
        target, limit = attempt.target, self._limit(attempt.target)
        assert attempt.verdict is not None
        fact = facts.StepStarted(
            at=attempt.began,
            step=attempt.id,
            proposal=target.proposal,
            verdict=attempt.verdict,
            attempt=attempt.number,
            key=_key(attempt.seat.run.id, attempt.id),
            act_by=attempt.began + int(limit * 1e6),
            input=attempt.data if attempt.id not in attempt.seat.run.steps else None,
        )
        attempt.started = True
        if target.proposal.effect in EFFECTFUL:
            await self._recorder.record(attempt.seat.leg.tree, attempt.seat.run, [fact], Level.SYNCED)
        else:
            self._recorder.keep(attempt.seat.leg.tree, attempt.seat.run, fact)

    async def _hold(self, attempt: _Attempt) -> None:
        """The verdict asks: on disk before anybody is shown that it waits."""
        assert attempt.verdict is not None
        fact = facts.StepHeld(
            at=attempt.began,
            step=attempt.id,
            proposal=attempt.target.proposal,
            verdict=attempt.verdict,
            attempt=attempt.number,
            input=attempt.data,
        )
        await self._recorder.record(attempt.seat.leg.tree, attempt.seat.run, [fact], Level.SYNCED)
        raise self._park(attempt, ParkedOn.APPROVAL, _asks(attempt, attempt.verdict))

    async def _deny(self, attempt: _Attempt) -> None:
        """A deny ends the step, unless an earlier attempt may have acted: then a person must look."""
        assert attempt.verdict is not None
        verdict, known = attempt.verdict, attempt.seat.run.steps.get(attempt.id)
        if known is not None and known.error_type is ErrorType.TIMEOUT and attempt.target.proposal.effect in EFFECTFUL:
            reason = f"an earlier attempt may have acted, and rule {verdict.rule} denies another one"
            raise self._park(attempt, ParkedOn.DOUBT, reason)
        why = f": {verdict.reason}" if verdict.reason else ""
        message = f"{attempt.target.proposal.target} is denied by rule {verdict.rule} ({verdict.place}){why}"
        error = StepFailed(ErrorType.DENIED, message, {"rule": verdict.rule, "place": verdict.place})
        raise await self._fail(attempt, error)

    async def _act(self, attempt: _Attempt) -> tuple[Any, str | None]:
        """Perform; (result, head of the child run). Raises StepFailed, Retryable, CancelledError, Stopped."""
        target = attempt.target
        if isinstance(target.act, ChildAct):
            return await self._delegate(attempt)
        scope = acts.ActScope(attempt.id, _key(attempt.seat.run.id, attempt.id), self._late(attempt))
        act = self._timed(acts.perform(target.act, attempt.value, scope), self._limit(target), attempt)
        if target.proposal.effect in EFFECTFUL:
            return await _shielded(act, attempt), None
        try:
            return await act, None
        except asyncio.CancelledError:
            if attempt.seat.given_up(attempt.scope):
                self._cancelled(attempt)
            raise

    async def _delegate(self, attempt: _Attempt) -> tuple[Any, str]:
        """Drive the child run in this leg. Giving it up at its timeout is ours to say, so the flag comes first."""
        assert self.children is not None
        branch = Scope()
        place = ChildPlace(attempt.seat, attempt.scope, branch, attempt.id, attempt.target, attempt.number)
        task, limit = asyncio.current_task(), attempt.target.timeout_seconds
        timer = asyncio.get_running_loop().call_later(limit, _expire, branch, task) if limit and task else None
        try:
            end = await self.children.run(place, attempt.data)
        except asyncio.CancelledError:
            if attempt.seat.given_up(attempt.scope):
                self._cancelled(attempt)
            elif branch.cancelled and task is not None:
                task.uncancel()
                raise StepFailed(ErrorType.TIMEOUT, f"{attempt.target.name} did not end within {limit:g} s") from None
            raise
        finally:
            if timer is not None:
                timer.cancel()
        if end.error is not None:
            raise end.error
        return self._values.decode(attempt.seat.leg.tree, end.output), end.head

    async def _timed(self, act: Coroutine[Any, Any, Any], limit: float, attempt: _Attempt) -> Any:
        try:
            async with asyncio.timeout(limit):
                return await act
        except TimeoutError as error:
            name = attempt.target.proposal.target
            raise StepFailed(ErrorType.TIMEOUT, f"{name} did not end within {limit:g} s") from error

    def _late(self, attempt: _Attempt) -> Callable[[object], None]:
        """What a sync function gives after it was given up is put on record, and never adopted."""

        def late(result: object) -> None:
            tree = attempt.seat.leg.tree
            if tree.lost is None and attempt.seat.run.ended is None and attempt.id in attempt.seat.run.steps:
                output, _ = encode(result, f"late output of step {attempt.id}")
                fact = facts.LateOutcome(at=self._clock.now(), step=attempt.id, output=output)
                self._recorder.keep(tree, attempt.seat.run, fact)

        return late

    async def _succeeded(self, attempt: _Attempt, result: object, head: str | None) -> Told:
        """The outcome meets its contract, goes on record, and then the program hears of it."""
        target, now = attempt.target, self._clock.now()
        try:
            output, value = self._outcome(attempt, result)
        except StepFailed as error:
            raise await self._fail(attempt, error) from None
        fact: facts.StepDone | facts.StepSucceeded
        if attempt.started:
            fact = facts.StepSucceeded(
                at=now, step=attempt.id, took=now - attempt.began, child_head=head, output=output
            )
        else:
            assert attempt.verdict is not None
            fact = facts.StepDone(
                at=now,
                step=attempt.id,
                proposal=target.proposal,
                verdict=attempt.verdict,
                attempt=attempt.number,
                took=now - attempt.began,
                input=attempt.data,
                output=output,
            )
        await self._settle(attempt, fact)
        return Told(value, attempt.seat.run.steps[attempt.id].order, now)

    def _outcome(self, attempt: _Attempt, result: object) -> tuple[bytes, object]:
        """The result as JSON, under its contract, redacted."""
        tree, run, contract = attempt.seat.leg.tree, attempt.seat.run, attempt.target.output
        output, value = self._values.encode(tree, run, result, f"output of step {attempt.id}")
        if contract is not None:
            if (fault := breach(contract, value, ErrorType.OUTPUT_CONTRACT)) is not None:
                raise fault
            if contract.redacts:
                output, value = self._values.known(tree, run, contract.redact(value))
        return output, value

    async def _failed(self, attempt: _Attempt, error: StepFailed | Retryable) -> None:
        """After a failed attempt: wait for the next one, or end the step."""
        target, effect = attempt.target, attempt.target.proposal.effect
        if leaves_doubt(effect, error.type):
            raise await self._in_doubt(attempt, f"{error.message}; whether it acted, nobody can tell")
        asked = error.retry_after_seconds if isinstance(error, Retryable) else None
        chance = self._clock.chance(1)[0] / 256
        delay = retry_delay(target.retry, effect, error.type, attempt.number, asked, chance)
        if delay is None or attempt.cancelled:
            raise await self._fail(attempt, _final(error))
        if not attempt.started:
            await self._start(attempt)
        now = self._clock.now()
        will = facts.StepWillRetry(
            at=now, step=attempt.id, type=error.type, due=now + int(delay * 1e6), output=error_bytes(error)
        )
        await self._recorder.record(attempt.seat.leg.tree, attempt.seat.run, [will], Level.WRITTEN)
        attempt.started = False
        attempt.number += 1
        await asyncio.sleep(delay)

    async def _fail(self, attempt: _Attempt, error: StepFailed) -> StepFailed:
        """Record the failure; the error as the program will see it, now and in every replay."""
        now = self._clock.now()
        known = attempt.id in attempt.seat.run.steps
        fact = facts.StepFailed(
            at=now,
            step=attempt.id,
            type=error.type,
            attempt=attempt.number,
            took=max(0, now - attempt.began) if attempt.began else 0,
            proposal=None if known else attempt.target.proposal,
            verdict=attempt.verdict,
            input=None if known else attempt.data,
            output=error_bytes(error),
        )
        await self._settle(attempt, fact)
        return failure(attempt.seat.run.steps[attempt.id])

    async def _settle(
        self, attempt: _Attempt, fact: facts.StepDone | facts.StepSucceeded | facts.StepFailed
    ) -> None:
        """Put the outcome on record at its level. A cancelled step's real outcome counts, then it is cancelled."""
        tree, run = attempt.seat.leg.tree, attempt.seat.run
        if self._switches.every_step:
            await self._recorder.record(tree, run, [fact], Level.SYNCED)
        elif attempt.target.paid or attempt.target.proposal.effect in EFFECTFUL:
            await self._recorder.record(tree, run, [fact], Level.WRITTEN)
        else:
            self._recorder.keep(tree, run, fact)
        if attempt.cancelled:
            raise asyncio.CancelledError

    def _cancelled(self, attempt: _Attempt) -> None:
        known = attempt.id in attempt.seat.run.steps
        fact = facts.StepCancelled(
            at=self._clock.now(),
            step=attempt.id,
            proposal=None if known else attempt.target.proposal,
            input=None if known else attempt.data,
        )
        self._recorder.keep(attempt.seat.leg.tree, attempt.seat.run, fact)

    async def _in_doubt(self, attempt: _Attempt, why: str) -> Stopped:
        fact = facts.StepInDoubt(at=self._clock.now(), step=attempt.id, reason=why)
        await self._recorder.record(attempt.seat.leg.tree, attempt.seat.run, [fact], Level.SYNCED)
        return self._park(attempt, ParkedOn.DOUBT, _doubt(attempt.seat.run.steps[attempt.id], why))

    def _park(self, attempt: _Attempt, on: ParkedOn, reason: str) -> Stopped:
        attempt.seat.park(on, attempt.id, reason)
        return Stopped(reason)

    def _compare(self, attempt: _Attempt, step: Step) -> None:
        """The program must do again what it did before; the first difference parks the run."""
        now, then = attempt.target.proposal, step.proposal
        if then is None or step.input is None:
            return
        if (now.call, now.target) != (then.call, then.target):
            said = f"the record has {then.call} {then.target}, the program now asks for {now.call} {now.target}"
        elif attempt.data != step.input and self._values.decode(attempt.seat.leg.tree, step.input) != attempt.value:
            said = f"{then.target} was called with another input before: {_difference(step.input, attempt.data)}"
        else:
            return
        raise self._park(attempt, ParkedOn.DIVERGENCE, f"step {attempt.id}: {said}")

    def noted(self, seat: Seat, id: StepId) -> Any:
        """What a note of the program's own (a race's winner, a time that ran out) says; None when there is none."""
        step = seat.run.steps.get(id)
        return decode(step.output) if step is not None and step.output is not None else None

    def note(self, seat: Seat, id: StepId, call: str, value: Any) -> Any:
        """Put such a note on record; the value again."""
        now = self._clock.now()
        verdict = Verdict(Decision.ALLOW, "allow-without-effects", BUILT_IN, "", seat.targets.policies.hash)
        fact = facts.StepDone(
            at=now,
            step=id,
            proposal=facts.Proposal(call, call, Effect.WAIT),
            verdict=verdict,
            attempt=1,
            took=0,
            input=b"null",
            output=encode_known(value),
        )
        self._recorder.keep(seat.leg.tree, seat.run, fact)
        return value

    def skip(self, seat: Seat, id: StepId, why: str) -> None:
        """A flow's step does not run; a resume finds it skipped already."""
        if id not in seat.run.steps:
            fact = facts.StepSkipped(at=self._clock.now(), step=id, why=why)
            self._recorder.keep(seat.leg.tree, seat.run, fact)

    def fail(self, seat: Seat, id: StepId, error: StepFailed) -> None:
        """A flow's step failed before it could be proposed: its expressions gave no input."""
        if id not in seat.run.steps:
            fact = facts.StepFailed(
                at=self._clock.now(), step=id, type=error.type, attempt=0, output=error_bytes(error)
            )
            self._recorder.keep(seat.leg.tree, seat.run, fact)

    async def sleep_until(self, due: int) -> None:
        """Wait for a point in time, in microseconds since 1970."""
        while (left := due - self._clock.now()) > 0:
            await asyncio.sleep(left / 1e6)

    async def forever(self) -> None:
        """Wait for being cancelled."""
        await asyncio.get_running_loop().create_future()

    def _answer(self, seat: Seat, step: Step) -> Told:
        """What the record says of a step that has ended. Raises the recorded StepFailed."""
        if step.status is StepStatus.FAILED:
            raise failure(step)
        return Told(self._values.decode(seat.leg.tree, step.output), step.order, step.at)

    def _limit(self, target: Target) -> float:
        return target.timeout_seconds or self._switches.step_seconds


def _expire(branch: Scope, task: "asyncio.Task[Any]") -> None:
    branch.cancelled = True
    task.cancel()


async def _shielded(act: Coroutine[Any, Any, Any], attempt: _Attempt) -> object:
    """An act with an effect is not broken off: it has its time, and its real outcome is recorded."""
    task = asyncio.ensure_future(act)
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            attempt.cancelled = True
    if task.cancelled():
        raise StepFailed(ErrorType.RAISED, "the act cancelled itself")
    return task.result()


def failure(step: Step) -> StepFailed:
    """The recorded error of a failed step."""
    error: Any = decode(step.output or b"{}")
    made = StepFailed(
        step.error_type or ErrorType.RAISED, error.get("message", ""), error.get("details"), error.get("step") or step.id
    )
    made.order, made.at = step.order, step.at
    return made


def breach(contract: Any, value: object, type: ErrorType) -> StepFailed | None:
    """The contract's complaint, with JSON pointers."""
    problems = contract.problems(value)
    if not problems:
        return None
    said = "; ".join(f"{problem.pointer or '/'}: {problem.message}" for problem in problems[:5])
    details = {"contract": contract.name, "problems": [{"pointer": p.pointer, "message": p.message} for p in problems]}
    return StepFailed(type, f"does not meet contract {contract.name}: {said}", details)


def error_bytes(error: StepFailed | Retryable) -> bytes:
    """The error as it is recorded: `{type, message, details, step}`."""
    details = error.details if isinstance(error, StepFailed) else {}
    step = error.step if isinstance(error, StepFailed) else None
    document = {"type": error.type.value, "message": error.message, "details": details, "step": step}
    try:
        return encode(document, "error")[0]
    except StepFailed:
        return encode_known({"type": error.type.value, "message": ascii(error.message), "details": {}, "step": step})


def _final(error: StepFailed | Retryable) -> StepFailed:
    return error if isinstance(error, StepFailed) else StepFailed(error.type, error.message)


def _asks(attempt: _Attempt, verdict: Verdict | None) -> str:
    target = attempt.target.proposal.target
    if verdict is None:
        return f"{target} waits for an approval"
    return f"{target} asks: rule {verdict.rule} ({verdict.place})" + (f": {verdict.reason}" if verdict.reason else "")


def _doubt(step: Step, why: str = "") -> str:
    target = step.proposal.target if step.proposal else step.id
    return f"{target} may have acted and has no outcome" + (f": {why}" if why else "")


def _difference(before: bytes, now: bytes) -> str:
    """The place where two inputs part, in a few words."""
    at = next((i for i, (a, b) in enumerate(zip(before, now, strict=False)) if a != b), min(len(before), len(now)))
    begin = max(0, at - 20)
    return f"…{before[begin : at + 40]!r} then, …{now[begin : at + 40]!r} now"


def _key(run: RunId, step: StepId) -> str:
    """The idempotency key: the same for every attempt of this step, in every process."""
    return sha256(f"{run}\n{step}".encode()).hexdigest()[:32]
