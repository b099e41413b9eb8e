"""The verdict on an attempt: the built-in refusals, the policy in force, the child's objectives. Records nothing."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from magsag.domain.breaking import BreakerState
from magsag.domain.effects import EFFECTFUL, Effect
from magsag.domain.facts import Count, Decision, Proposal, Verdict
from magsag.domain.ids import StepId
from magsag.domain.verdicts import BUILT_IN
from magsag.engine.run import Run
from magsag.policy.delegation import no_child
from magsag.policy.judge import judge
from magsag.policy.modes import under
from magsag.policy.question import of_program
from magsag.policy.record import Record, Traits
from magsag.policy.slo import stricter
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store
from magsag.services.gate.objectives import Objectives
from magsag.services.steps.attempt import Attempt, Switches, caller_of
from magsag.services.steps.beginnings import started_of
from magsag.services.steps.moment import moment
from magsag.services.steps.seat import Seat
from magsag.services.steps.tally import Tally
from magsag.services.steps.target import ChildAct, QuestionAct, WaitAct

Moved = Callable[[Seat, StepId, str, BreakerState, str], None]
APPROVALS_OFF: Final = "approvals are switched off: an ask is a deny"


class Judging:
    """Judges attempts for all runs of this process."""

    def __init__(self, switches: Switches, store: Store, clock: Clock, moved: Moved) -> None:
        """`moved` puts on record which breaker an attempt has changed."""
        self._moved = moved
        self._switches = switches
        self._objectives = Objectives(store, clock)

    def verdict(self, attempt: Attempt, now: int) -> Verdict:
        """What the gate says of this attempt at this time, in its mode; with approvals off an ask is a deny."""
        target = attempt.target
        judged, approvals = self._verdict(attempt, now), self._switches.approvals
        if isinstance(target.act, ChildAct) and judged.decision is not Decision.DENY:
            moved = partial(self._moved, attempt.seat, attempt.id)
            caller = caller_of(attempt.seat.run.id, attempt.id, attempt.number)
            objectives = self._objectives.of_delegation(target.act.entry, judged.policy, moved, caller)
            judged = stricter(judged, objectives)
        verdict = concluded(judged, attempt.seat.mode, target.proposal, target.found.traits, approvals)
        if attempt.seat.tally is not None and verdict.decision is not Decision.DENY:
            attempt.seat.tally.reserve(attempt.id, target.proposal.target)
        return verdict

    def _verdict(self, attempt: Attempt, now: int) -> Verdict:
        seat, target = attempt.seat, attempt.target
        needs_ledger = target.proposal.effect in EFFECTFUL or isinstance(target.act, WaitAct | QuestionAct)
        if needs_ledger and not self._switches.durable:
            reason = "durable is switched off: runs live in memory, and only pure and read steps start"
            return Verdict(Decision.DENY, "durable-off", BUILT_IN, reason, seat.targets.policies.hash)
        if isinstance(target.act, ChildAct) and (refused := self._beyond(attempt)) is not None:
            return refused
        found = target.found
        if found.fixed is not None:
            return found.fixed
        if not found.counts:
            return judge(record_about(attempt, now), found, seat.targets.policies.hash)
        tally = seat.tally = seat.tally or Tally(seat.run, seat.going)
        counts = tally.counts(found.counts, attempt.id)
        verdict = judge(record_about(attempt, now, counts), found, seat.targets.policies.hash)
        return replace(verdict, counts=counts)

    def _beyond(self, attempt: Attempt) -> Verdict | None:
        """The limits of delegation: depth, number, and no way back to an ancestor."""
        seat, target, limits = attempt.seat, attempt.target, self._switches
        children = seat.leg.tree.children
        if seat.run.id not in children:
            children[seat.run.id] = _begun(seat.run)
        if attempt.number == 1 and attempt.verdict is None:
            children[seat.run.id] += 1
        begun = children[seat.run.id]
        refused = no_child(seat.lineage, target.proposal.target, begun, limits.depth, limits.children)
        if refused is None:
            return None
        return Verdict(Decision.DENY, refused.rule, BUILT_IN, refused.reason, seat.targets.policies.hash)


def concluded(verdict: Verdict, mode: str, proposal: Proposal, traits: Traits, approvals: bool) -> Verdict:
    """What becomes of the policies' verdict in this mode; with `approvals` off an ask is a deny."""
    asked = of_program(verdict, proposal)
    judged = asked if approvals else _without_approvals(asked)
    in_mode = under(mode, judged, proposal.effect, traits.capabilities)
    return in_mode if approvals else _without_approvals(in_mode)


def _without_approvals(verdict: Verdict) -> Verdict:
    if verdict.decision is not Decision.ASK:
        return verdict
    return replace(verdict, decision=Decision.DENY, reason=f"rule {verdict.rule} asks, and {APPROVALS_OFF}")


def record_about(attempt: Attempt, now: int, counts: Sequence[Count] = ()) -> Record:
    """What is judged of this attempt."""
    seat, target = attempt.seat, attempt.target
    return record_of(seat.run, target.proposal, attempt.value, now, counts, target.found.traits)


def record_of(
    run: Run,
    proposal: Proposal,
    value: object,
    now: int,
    counts: Sequence[Count],
    traits: Traits,
) -> Record:
    """The record of one judgement; the same from a run under way and from its ledger."""
    started = started_of(run)
    about = {
        "id": run.id,
        "program": started.program,
        "parent": started.parent or "",
        "requester": started.requester,
        "actor": started.actor,
        "count": {one.ref: one.number for one in counts},
        "after": {one.ref: one.after for one in counts},
    }
    return Record(
        started.program,
        proposal.target,
        proposal.effect,
        value,
        about,
        started.environment,
        started.mode,
        moment(now),
        traits,
    )


def _begun(run: Run) -> int:
    """How many child runs earlier legs have begun."""
    proposals = [step.proposal for step in run.steps.values() if step.started_at]
    return sum(proposal is not None and proposal.effect is Effect.DELEGATE for proposal in proposals)
