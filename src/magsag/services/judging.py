"""The verdict on an attempt: the built-in refusals first, then the policy in force. Records nothing."""

from magsag.domain.effects import EFFECTFUL, Effect
from magsag.domain.facts import Decision, Verdict
from magsag.engine.run import Run
from magsag.policy.judge import BUILT_IN, Record, judge
from magsag.services.attempt import Attempt, Switches
from magsag.services.moment import moment
from magsag.services.targets import ChildAct


class Judging:
    """Judges attempts for all runs of this process."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches

    def verdict(self, attempt: Attempt, now: int) -> Verdict:
        """What the gate says of this attempt at this time; with approvals off an ask is a deny."""
        verdict = self._verdict(attempt, now)
        if verdict.decision is Decision.ASK and not self._switches.approvals:
            reason = f"rule {verdict.rule} asks, and approvals are switched off: an ask is a deny"
            return Verdict(Decision.DENY, verdict.rule, verdict.place, reason, verdict.policy)
        return verdict

    def _verdict(self, attempt: Attempt, now: int) -> Verdict:
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

    def _beyond(self, attempt: Attempt) -> Verdict | None:
        """The limits of delegation: depth, number, and no way back to an ancestor."""
        seat, target, limits = attempt.seat, attempt.target, self._switches
        children = seat.leg.tree.children
        if seat.run.id not in children:
            children[seat.run.id] = _begun(seat.run)
        if attempt.number == 1:
            children[seat.run.id] += 1
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


def _begun(run: Run) -> int:
    """How many child runs earlier legs have begun."""
    proposals = [step.proposal for step in run.steps.values() if step.started_at]
    return sum(proposal is not None and proposal.effect is Effect.DELEGATE for proposal in proposals)
