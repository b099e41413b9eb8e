"""Puts on record what becomes of an attempt: intent, hold, outcome, retry, doubt. Decides nothing about the run.

The level of each fact is its effect kind's: an intent with an effect is synced before the act, an outcome of a
paid or effectful act is written at once, what `pure` and `read` gave is kept and goes with the next commit.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from magsag.catalog.contracts import Contract
from magsag.domain import facts
from magsag.domain.approval import Ask
from magsag.domain.effects import EFFECTFUL, Level
from magsag.domain.errors import ErrorType, LeaseLost, Retryable, StepFailed
from magsag.domain.sealed import Sealed
from magsag.domain.values import decode, encode, encode_known
from magsag.engine.charging import lost
from magsag.engine.retry import DID_NOT_ACT
from magsag.engine.run import Step
from magsag.policy.budget import exhausted, worst_of
from magsag.ports.clock import Clock
from magsag.ports.ledger import Record, TicketRow, Write
from magsag.services.gate.committing import Committing
from magsag.services.recording.commits import Commit
from magsag.services.recording.large import Values
from magsag.services.recording.masking import RESOLVED
from magsag.services.recording.recorder import Recorder
from magsag.services.steps.attempt import Acted, Attempt, HeldTicket, Switches, Told
from magsag.services.steps.budgeting import priced_by, spent, warn
from magsag.services.steps.holding import Charge
from magsag.services.steps.records import told_of
from magsag.services.steps.target import WaitAct


class Outcomes:
    """Records for all runs of this process."""

    def __init__(self, recorder: Recorder, values: Values, clock: Clock, switches: Switches) -> None:
        self._recorder = recorder
        self._committing = Committing(recorder)
        self._values = values
        self._clock = clock
        self._every_step = switches.every_step
        self._step_seconds = switches.step_seconds

    async def start(self, attempt: Attempt, spends: HeldTicket | None = None) -> None:
        """The intent, on disk before the act when it has an effect; with `spends` the ticket is spent in its commit.

        What it holds back of budgets is taken in the same commit. Raises StepFailed when they have too little left.
        """
        target, charge, before = attempt.target, attempt.charge, attempt.seat.run.steps.get(attempt.id)
        assert attempt.verdict is not None
        fact = facts.StepStarted(
            at=attempt.began,
            step=attempt.id,
            proposal=target.proposal,
            verdict=attempt.verdict,
            attempt=attempt.number,
            key=attempt.key,
            act_by=self._act_by(attempt),
            approval=spends.ticket.ask.ticket if spends else None,
            standing=attempt.leans.id if attempt.leans else None,
            reserved=charge.reserved if charge is not None else None,
            lost=worst_of(before.reserved) if before is not None and before.reserved is not None else None,
            prices=priced_by(attempt) if charge is not None else None,
            input=None if attempt.known else attempt.data,
        )
        tickets: Sequence[TicketRow] = ()
        if spends is not None:
            is_spent = attempt.ticket is not None and attempt.ticket.row == spends.row
            attempt.ticket, tickets = spends, () if is_spent else (spends.row,)
        if charge is not None:
            await self._intend(attempt, fact, charge, tickets)
            attempt.started = True
            return
        attempt.started = True
        if spends is not None:
            await self._committing.surely(attempt, fact, Level.SYNCED, tickets=tickets)
        elif target.proposal.effect in EFFECTFUL or attempt.leans is not None:
            await self._committing.surely(attempt, fact, Level.SYNCED, leans=(attempt.leans,) if attempt.leans else ())
        else:
            self._recorder.keep(attempt.seat.leg.tree, attempt.seat.run, fact)

    async def _intend(
        self, attempt: Attempt, fact: facts.StepStarted, charge: Charge, tickets: Sequence[TicketRow]
    ) -> None:
        """The intent and what it holds back, in one commit or not at all."""
        tree, run = attempt.seat.leg.tree, attempt.seat.run
        effectful = attempt.target.proposal.effect in EFFECTFUL
        leans = [replace(attempt.leans, at=self._clock.now())] if attempt.leans is not None else []
        level = Level.SYNCED if effectful or tickets or leans else Level.WRITTEN
        before = run.steps.get(attempt.id)
        settles = lost(before) if before is not None else []

        def write(sealed: Sealed) -> Write:
            about = Write(run.id, tree.root, [sealed], tree.lease, tickets=tickets, leans=leans)
            about.reserves, about.settles = charge.reserves, settles
            return about

        intent = self._recorder.intend(tree, run, fact, level, write)
        attempt.seat.going[attempt.id] = attempt.target.proposal.target
        try:
            await self._committing.committed(attempt, intent)
        finally:
            del attempt.seat.going[attempt.id]
        if intent.short is not None:
            raise exhausted(intent.short, attempt.target.proposal.target)
        warn(attempt, charge, intent.balances)

    def _act_by(self, attempt: Attempt) -> int:
        act = attempt.target.act
        if not isinstance(act, WaitAct):
            return attempt.began + int((attempt.target.timeout_seconds or self._step_seconds) * 1e6)
        return 0 if act.seconds is None else attempt.began + int(act.seconds * 1e6)

    async def hold(self, attempt: Attempt, ask: Ask, tickets: Sequence[TicketRow]) -> None:
        """The verdict asks: on disk before anybody is shown that it waits."""
        assert attempt.verdict is not None
        fact = facts.StepHeld(
            at=attempt.began,
            step=attempt.id,
            proposal=attempt.target.proposal,
            verdict=attempt.verdict,
            attempt=attempt.number,
            ask=ask,
            input=attempt.data,
        )
        await self._committing.surely(attempt, fact, Level.SYNCED, tickets=tickets)

    async def succeeded(self, attempt: Attempt, acted: Acted) -> Told:
        """The outcome meets its contract, goes on record, and then the program hears of it."""
        target, now = attempt.target, self._clock.now()
        try:
            output, value = self._outcome(attempt, acted.result)
        except StepFailed as error:
            raise await self.fail(attempt, error) from None
        fact: facts.StepDone | facts.StepSucceeded
        if attempt.started:
            fact = facts.StepSucceeded(
                at=now,
                step=attempt.id,
                took=now - attempt.began,
                spent=spent(attempt, now - attempt.began),
                prices=priced_by(attempt),
                child_head=acted.head,
                partial=acted.partial,
                adopted=acted.adopted,
                input=told_of(target.proposal.effect, acted.records, self._clock.chance),
                output=output,
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
                spent=spent(attempt, now - attempt.began),
                prices=priced_by(attempt),
                input=attempt.data,
                output=output,
            )
        await self._settle(attempt, fact, acted.records)
        return Told(value, attempt.seat.run.steps[attempt.id].order, now, acted.partial is True)

    async def shown(self, attempt: Attempt) -> Told:
        """The act is not performed: what it would have been is on record, and the program goes on with an example."""
        assert attempt.verdict is not None
        target, now = attempt.target, self._clock.now()
        example = _example(target.output)
        if target.output is not None and example is not None:
            if (fault := breach(target.output, example, ErrorType.OUTPUT_CONTRACT)) is not None:
                raise await self.fail(attempt, fault)
        else:
            example = {"dry_run": True, "target": target.proposal.target, "would": attempt.verdict.reason}
        tree, run = attempt.seat.leg.tree, attempt.seat.run
        output, value = self._values.encode(tree, run, example, f"output of step {attempt.id}")
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

    def _outcome(self, attempt: Attempt, result: object) -> tuple[bytes, object]:
        """The result as JSON, under its contract, redacted."""
        tree, run, contract = attempt.seat.leg.tree, attempt.seat.run, attempt.target.output
        output, value = self._values.encode(tree, run, result, f"output of step {attempt.id}")
        if contract is not None:
            if (fault := breach(contract, value, ErrorType.OUTPUT_CONTRACT)) is not None:
                raise fault
            if contract.redacts:
                output, value = self._values.known(tree, run, contract.redact(value))
        return output, value

    async def will_retry(self, attempt: Attempt, error: StepFailed | Retryable, delay_seconds: float) -> None:
        """This attempt failed and another will follow; the attempt stands for the next one then."""
        if not attempt.started:
            await self.start(attempt)
        now = self._clock.now()
        due = now + int(delay_seconds * 1e6)
        cost = spent(attempt, now - attempt.began, error)
        prices = priced_by(attempt) if cost else None
        fact = facts.StepWillRetry(
            at=now, step=attempt.id, type=error.type, due=due, spent=cost, prices=prices, output=error_bytes(error)
        )
        await self._committing.surely(attempt, fact, Level.WRITTEN)
        attempt.started = attempt.performed = False
        attempt.nothing_happened &= error.type in DID_NOT_ACT
        attempt.charge, attempt.reported = None, {}
        attempt.number += 1
        attempt.value = self._values.decode(attempt.seat.leg.tree, attempt.acted)

    async def fail(
        self, attempt: Attempt, error: StepFailed | Retryable, tickets: Sequence[TicketRow] = (), released: bool = False
    ) -> StepFailed:
        """Record the failure; the error as the program will see it, now and in every replay.

        `released`: its intent is on record, and it is certain that nothing of it began, so it costs nothing.
        """
        now = self._clock.now()
        known = attempt.known
        cost = {} if released else spent(attempt, now - attempt.began, error)
        fact = facts.StepFailed(
            at=now,
            step=attempt.id,
            type=error.type,
            attempt=attempt.number,
            took=max(0, now - attempt.began) if attempt.began else 0,
            proposal=None if known else attempt.target.proposal,
            verdict=attempt.verdict,
            spent=cost,
            prices=priced_by(attempt) if cost else None,
            input=None if known else attempt.data,
            output=error_bytes(error),
        )
        if tickets:
            await self._committing.surely(attempt, fact, Level.SYNCED, tickets=tickets)
        else:
            await self._settle(attempt, fact)
        return failure(attempt.seat.run.steps[attempt.id])

    async def _settle(
        self,
        attempt: Attempt,
        fact: facts.StepDone | facts.StepSucceeded | facts.StepFailed,
        records: Sequence[Record] = (),
    ) -> None:
        """Put the outcome on record at its level. A cancelled step's real outcome counts, then it is cancelled."""
        effectful = attempt.target.proposal.effect in EFFECTFUL
        if self._every_step or effectful or attempt.target.paid or attempt.charge is not None:
            try:
                level = Level.SYNCED if self._every_step else Level.WRITTEN
                await self._committing.outcome(attempt, fact, level, records)
            except LeaseLost:
                if effectful:
                    tree = attempt.seat.leg.tree
                    self._append_late(attempt, encode_known(self._values.decode(tree, fact.output)))
                raise
        else:
            self._recorder.keep(attempt.seat.leg.tree, attempt.seat.run, fact)
        if attempt.cancelled:
            raise asyncio.CancelledError

    async def caught_up(self, attempt: Attempt, owed: Commit) -> None:
        """Wait for what its tree owes, before an act without an intent; an intent is committed after it, or with it.

        A step that is given up meanwhile is cancelled.
        """
        await self._committing.committed(attempt, owed)
        if attempt.cancelled:
            if attempt.given_up:
                self.cancelled(attempt)
            raise asyncio.CancelledError

    def cancelled(self, attempt: Attempt) -> None:
        known = attempt.known
        fact = facts.StepCancelled(
            at=self._clock.now(),
            step=attempt.id,
            proposal=None if known else attempt.target.proposal,
            input=None if known else attempt.data,
        )
        self._recorder.keep(attempt.seat.leg.tree, attempt.seat.run, fact)

    async def in_doubt(self, attempt: Attempt, why: str, said: StepFailed | Retryable | None) -> None:
        """Nobody can tell whether it acted: on disk before anybody is shown. `said`: by the act, or by its lookup."""
        output = None if said is None else error_bytes(said)
        fact = facts.StepInDoubt(at=self._clock.now(), step=attempt.id, reason=why, output=output)
        await self._committing.surely(attempt, fact, Level.SYNCED)

    def late(self, attempt: Attempt, result: object, error: StepFailed | Retryable | None) -> None:
        """What an act gave after it was given up: on record, and never adopted."""
        try:
            output = (
                encode(RESOLVED.cleaned(result), f"late output of step {attempt.id}")[0]
                if error is None
                else error_bytes(error)
            )
        except StepFailed as fault:
            output = error_bytes(fault)
        if attempt.known:
            self._append_late(attempt, output)

    def _append_late(self, attempt: Attempt, output: bytes) -> None:
        """Whoever drives the run now may want to know; so no lease is asked for."""
        fact = facts.LateOutcome(at=self._clock.now(), step=attempt.id, output=output)
        self._recorder.append(attempt.seat.leg.tree, attempt.seat.run, fact)


def _example(contract: Contract | None) -> object:
    """The first of the contract's examples."""
    examples = contract.schema.get("examples") if contract is not None else None
    return examples[0] if isinstance(examples, list) and examples else None


def failure(step: Step) -> StepFailed:
    """The recorded error of a failed step."""
    error: Any = decode(step.output or b"{}")
    made = StepFailed(
        step.error_type or ErrorType.RAISED,
        error.get("message", ""),
        error.get("details"),
        error.get("step") or step.id,
    )
    made.order, made.at = step.order, step.at
    return made


def breach(contract: Contract, value: object, type: ErrorType) -> StepFailed | None:
    """The contract's complaint, with JSON pointers."""
    problems = contract.problems(value)
    if not problems:
        return None
    said = "; ".join(f"{problem.pointer or '/'}: {problem.message}" for problem in problems[:5])
    details = {"contract": contract.name, "problems": [{"pointer": p.pointer, "message": p.message} for p in problems]}
    return StepFailed(type, f"does not meet contract {contract.name}: {said}", details)


def error_bytes(error: StepFailed | Retryable) -> bytes:
    """The error as it is recorded: `{type, message, details, step}`, without secrets."""
    error = RESOLVED.softened(error)
    details = error.details if isinstance(error, StepFailed) else {}
    step = error.step if isinstance(error, StepFailed) else None
    document = {"type": error.type.value, "message": error.message, "details": details, "step": step}
    try:
        return encode(document, "error")[0]
    except StepFailed:
        return encode_known({"type": error.type.value, "message": ascii(error.message), "details": {}, "step": step})
