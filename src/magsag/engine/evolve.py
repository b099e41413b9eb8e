"""What a run is after each fact. `evolve` decides nothing, changes one step in place, and accepts what history holds.

Everything that affects the state of a run lives in this file and in `engine.table`.
"""

from collections.abc import Mapping

from magsag.domain import facts
from magsag.domain.breaking import BreakerMoved
from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType
from magsag.domain.facts import RunStatus, StepStatus
from magsag.domain.ids import StepId
from magsag.engine.run import Run, Signal, Step, Waited
from magsag.engine.table import STEP_MOVES, Illegal, move


def evolve(run: Run, fact: facts.Fact) -> None:
    """Let the fact be true of the run. Raises Illegal for what the table does not allow."""
    run.count += 1
    run.at = fact.at
    match fact:
        case facts.StepDone():
            _done(_step(run, fact.step), fact, run.order)
        case facts.StepHeld() | facts.StepStarted():
            _proposed(_step(run, fact.step), fact)
            _hold_back(run, fact)
        case facts.StepSucceeded() | facts.StepFailed() | facts.StepCancelled() | facts.StepSkipped():
            step = _step(run, fact.step)
            _ended(step, fact, run.order)
            _charge(run, step, fact)
            if isinstance(fact, facts.StepSucceeded):
                _take_signal(run, step)
        case facts.ApprovalDecided():
            run.aside += 1
            _answered(_step(run, fact.step), fact)
        case facts.StandingApproved():
            run.aside += 1
            run.standing[fact.standing] = fact
        case facts.StandingRevoked():
            run.aside += 1
            run.revoked.add(fact.standing)
        case facts.LateOutcome():
            run.aside += 1
            _changed(_step(run, fact.step), fact, run.order)
        case facts.StepWillRetry() | facts.StepInDoubt() | facts.StepResolved():
            step = _step(run, fact.step)
            _changed(step, fact, run.order)
            _charge(run, step, fact)
        case _:
            _whole(run, fact)


def _whole(run: Run, fact: facts.RunFact) -> None:
    """Facts about the run itself."""
    match fact:
        case facts.RunStarted():
            if run.started is not None:
                raise Illegal(f"run {run.id} has started twice")
            run.started = fact
        case facts.RunEnded():
            if run.ended is not None:
                raise Illegal(f"run {run.id} has ended twice")
            run.ended, run.status, run.parked = fact, fact.status, None
        case facts.RunParked():
            _park(run, fact)
        case facts.RunScored():
            run.scores.append(fact)
        case _:
            run.aside += 1
            _beside(run, fact)


def _beside(
    run: Run,
    fact: facts.CancelRequested
    | facts.SignalReceived
    | facts.SecretUsed
    | facts.DecisionRefused
    | facts.PayloadErased
    | BreakerMoved,
) -> None:
    """Facts that have no place in the order that programs see."""
    match fact:
        case facts.CancelRequested():
            run.cancel_by = run.cancel_by or fact.by
        case facts.SignalReceived():
            run.signals.setdefault(fact.event, []).append(Signal(fact.at, fact.input))
        case facts.SecretUsed():
            run.secrets[fact.reference] = (*run.secrets.get(fact.reference, ()), fact)
        case facts.DecisionRefused():
            run.refused.append(fact)
        case facts.PayloadErased():
            run.erased_by = fact.by
        case BreakerMoved():
            run.breakers.append(fact)


def _park(run: Run, fact: facts.RunParked) -> None:
    run.parked, run.status = fact, RunStatus.PARKED
    for reason in fact.reasons:
        if reason.waits is not None and reason.run is None:
            run.waited[reason.step] = Waited(reason.waits, reason.due or fact.due)


def _take_signal(run: Run, step: Step) -> None:
    """One signal satisfies one wait, the oldest first. A fork may hold the wait without its signal."""
    event = step.proposal.event if step.proposal is not None else None
    if event is not None and run.signals.get(event):
        del run.signals[event][0]


def _step(run: Run, id: StepId) -> Step:
    step = run.steps.get(id)
    if step is None:
        step = run.steps[id] = Step(id)
    return step


def _done(step: Step, fact: facts.StepDone, count: int) -> None:
    if facts.StepDone not in STEP_MOVES[step.status]:
        raise Illegal(f"StepDone cannot follow {step.status} (step {step.id})")
    step.status = StepStatus.SUCCEEDED
    step.proposal, step.verdict, step.attempt = fact.proposal, fact.verdict, fact.attempt
    step.input, step.output = fact.input, fact.output
    step.at, step.order = fact.at, count
    step.started_at = step.started_at or fact.at - fact.took
    if fact.spent is not None:
        _add(step, fact.spent, False)


def _hold_back(run: Run, fact: facts.StepHeld | facts.StepStarted) -> None:
    """A new attempt; the one before it may have been lost.

    It is believed after its commit, so it has no place in the order that programs see.
    """
    if isinstance(fact, facts.StepHeld) or fact.reserved is None:
        return
    run.aside += 1
    step = run.steps[fact.step]
    if fact.lost is not None:
        _add(step, fact.lost, True)
    run.holding += step.reserved is None
    step.reserved = fact.reserved


def _charge(
    run: Run,
    step: Step,
    fact: facts.StepSucceeded
    | facts.StepFailed
    | facts.StepCancelled
    | facts.StepSkipped
    | facts.StepWillRetry
    | facts.StepInDoubt
    | facts.StepResolved,
) -> None:
    """The attempt has ended: it holds nothing back any more."""
    if isinstance(fact, facts.StepSkipped | facts.StepResolved):
        return
    if step.reserved is not None:
        step.reserved, run.holding = None, run.holding - 1
    if fact.spent is not None:
        _add(step, fact.spent, bool(fact.assumed))


def _add(step: Step, spent: Mapping[str, int], assumed: bool) -> None:
    before = step.spent or {}
    step.spent = {unit: before.get(unit, 0) + spent.get(unit, 0) for unit in {**before, **spent}}
    step.assumed = step.assumed or assumed


def _proposed(step: Step, fact: facts.StepHeld | facts.StepStarted) -> None:
    step.status = move(step.status, fact, fact.proposal.effect)
    step.proposal, step.verdict, step.attempt, step.at = fact.proposal, fact.verdict, fact.attempt, fact.at
    if fact.input is not None:
        step.input = fact.input
    if isinstance(fact, facts.StepHeld):
        step.ask, step.answers = fact.ask, ()
    if isinstance(fact, facts.StepStarted):
        step.approval = fact.approval or step.approval
        step.standing = fact.standing or step.standing
        step.key, step.act_by = fact.key, fact.act_by
        step.started_at = step.started_at or fact.at


def _ended(
    step: Step,
    fact: facts.StepSucceeded | facts.StepFailed | facts.StepCancelled | facts.StepSkipped,
    count: int,
) -> None:
    step.status = move(step.status, fact, _effect(step))
    step.at, step.order = fact.at, count
    if isinstance(fact, facts.StepFailed | facts.StepCancelled) and fact.proposal is not None:
        step.proposal, step.input = fact.proposal, fact.input
    if isinstance(fact, facts.StepFailed):
        step.error_type, step.attempt = fact.type, max(step.attempt, fact.attempt)
        step.verdict = fact.verdict or step.verdict
    if isinstance(fact, facts.StepSucceeded | facts.StepFailed):
        step.output, step.child_head = fact.output, fact.child_head
        step.partial = isinstance(fact, facts.StepSucceeded) and fact.partial is True
        step.started_at = step.started_at or fact.at - fact.took


def _changed(
    step: Step, fact: facts.StepWillRetry | facts.StepInDoubt | facts.StepResolved | facts.LateOutcome, count: int
) -> None:
    step.status = move(step.status, fact, _effect(step))
    if isinstance(fact, facts.LateOutcome):
        step.late += (fact.output,)
        return
    step.at = fact.at
    if isinstance(fact, facts.StepWillRetry):
        step.due, step.output, step.error_type = fact.due, fact.output, fact.type
    if isinstance(fact, facts.StepInDoubt):
        step.output = fact.output
    if isinstance(fact, facts.StepResolved):
        step.output, step.order, step.due = fact.output, count, fact.at
        if fact.how is StepStatus.FAILED:
            step.error_type = ErrorType.RAISED


def _answered(step: Step, fact: facts.ApprovalDecided) -> None:
    """What people said of another ticket than the one that holds it changes nothing."""
    if step.ask is not None and step.ask.ticket == fact.ticket:
        step.answers += (fact,)


def _effect(step: Step) -> Effect | None:
    return step.proposal.effect if step.proposal else None
