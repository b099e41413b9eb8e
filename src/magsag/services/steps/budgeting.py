"""What an attempt takes from budgets before it starts, and what it has cost once it has acted.

Who has no budget pays nothing for them: caps that people set are looked up at most once a second.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from magsag.domain.budget import Balance, Bound, BudgetScope, Unit
from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType, Retryable, StepFailed
from magsag.domain.ids import RunId
from magsag.domain.large import MARK_BYTES
from magsag.domain.manifests import Agent, Flow
from magsag.domain.manifests.budget import smallest
from magsag.domain.price import Asking
from magsag.domain.values import encode_known
from magsag.domain.verdicts import START
from magsag.policy.budget import WARN_AT, asked, binding, reserves, show, worst_case
from magsag.policy.pricing import asking_of
from magsag.ports.budgets import Budgets
from magsag.services.steps.attempt import Attempt
from magsag.services.steps.holding import Charge
from magsag.services.steps.target import ChildAct, ModelAct, QuestionAct, WaitAct

_log = logging.getLogger("magsag.budget")
_FRESH: Final = 1_000_000
"""microseconds for which caps that were read are believed"""
_NOTHING_HAPPENED: Final = frozenset({ErrorType.RATE_LIMIT, ErrorType.UNAVAILABLE})
_FREE: Final[Mapping[str, int]] = {Unit.USD.value: 0, Unit.TOKENS.value: 0}


class Budgeting:
    """Says what attempts cost, for all runs of this process."""

    def __init__(self, budgets: Budgets, step_seconds: float) -> None:
        self._budgets = budgets
        self._step_seconds = step_seconds
        self._caps: tuple[tuple[str, str], ...] = ()
        self._read_at: int | None = None

    def charge(self, attempt: Attempt) -> Charge | None:
        """What it must hold back before it starts; None when nothing limits it. Raises StepFailed."""
        seat, target = attempt.seat, attempt.target
        if isinstance(target.act, ChildAct | WaitAct | QuestionAct) or attempt.id == START:
            return None
        caps = self._in_force(attempt.began)
        if not seat.bounds and not caps:
            return None
        worst = worst_case(declared(attempt), target.timeout_seconds or self._step_seconds)
        if seat.binding is None or not seat.binding.is_of(caps, attempt.began):
            seat.binding = binding(seat.bounds, caps, attempt.began)
        budgets = asked(seat.binding.budgets, worst, target.proposal.target)
        return Charge(tuple(reserves(attempt.id, budgets, worst))) if budgets else None

    def _in_force(self, now: int) -> tuple[tuple[str, str], ...]:
        if self._read_at is None or not 0 <= now - self._read_at < _FRESH:
            newest = self._budgets.newest_caps()
            self._caps = tuple((cap.scope, cap.unit) for cap in newest if cap.cap is not None)
            self._read_at = now
        return self._caps


def declared(attempt: Attempt) -> Mapping[str, int]:
    """The most money and tokens that the act says it may cost; units of which it says nothing are missing."""
    cost, act = attempt.target.cost, attempt.target.act
    if isinstance(act, ModelAct):
        return _of_model(act, attempt)
    if cost is None:
        return _FREE if attempt.target.proposal.effect is Effect.PURE else {}
    return cost


def _of_model(act: ModelAct, attempt: Attempt) -> Mapping[str, int]:
    """A token is at least a byte of the request; the answer has as many as `max_tokens` allows, without it no end."""
    request, asked = attempt.value, attempt.acted
    limit = request.get("max_tokens") if isinstance(request, Mapping) else None
    asking = asking_of(request)
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0 or asking is Asking.OPEN:
        return {}
    length = len(encode_known(request) if MARK_BYTES in asked else asked)
    found = {Unit.TOKENS.value: length + limit}
    most = act.price.at_most(asking, length, limit) if act.price is not None else None
    return found if most is None else {**found, Unit.USD.value: most}


def count_tokens(attempt: Attempt, act: ModelAct, input: int, output: int) -> None:
    """Note what a model's answer took."""
    attempt.reported[Unit.TOKENS.value] = input + output
    if act.price is not None and (cost := act.price.cost(asking_of(attempt.value), input, output)) is not None:
        attempt.reported[Unit.USD.value] = cost


def priced_by(attempt: Attempt) -> str | None:
    """The version of the prices that a charge is counted by."""
    act = attempt.target.act
    return act.price.version if isinstance(act, ModelAct) and act.price is not None else None


def spent(attempt: Attempt, took: int, error: StepFailed | Retryable | None = None) -> dict[str, int] | None:
    """What an attempt that has acted is charged, by unit: what it reported, else what it declared. None: nothing.

    By `rate_limit` and `unavailable` an act says that nothing happened: then only what it reported is charged.

    One that was given up at its timeout may go on, and is heard no more: it is charged what it declares.

    Of one that another process began, nobody knows: the recorder charges it at its worst case.
    """
    if not attempt.performed:
        return None
    if attempt.charge is None and attempt.target.cost is None and not attempt.reported:
        return None
    worst = attempt.charge.worst if attempt.charge is not None else {}
    is_void = error is not None and error.type in _NOTHING_HAPPENED
    said = {**(dict.fromkeys(worst, 0) if is_void else declared(attempt)), **attempt.reported}
    if error is not None and error.type is ErrorType.TIMEOUT:
        said |= declared(attempt)
    found = {unit: amount for unit, amount in said.items() if amount or unit in worst}
    if Unit.CALLS in worst:
        found[Unit.CALLS.value] = worst[Unit.CALLS]
    if Unit.SECONDS in worst:
        found[Unit.SECONDS.value] = min(took, worst[Unit.SECONDS])
    if more := {unit: amount for unit, amount in found.items() if unit in worst and amount > worst[unit]}:
        _log.warning("%s", _underestimated(attempt, more, worst))
    return found or ({} if worst else None)


def _underestimated(attempt: Attempt, cost: Mapping[str, int], worst: Mapping[str, int]) -> str:
    """Its intent has held back too little: no cap is passed, so its budgets are charged less than the record says."""
    parts = ", ".join(f"{show(unit, amount)} instead of {show(unit, worst[unit])}" for unit, amount in cost.items())
    where = f"run {attempt.seat.run.id}, step {attempt.id}"
    return f"{attempt.target.proposal.target} took more than it could at most: {parts} ({where})"


def warn(attempt: Attempt, charge: Charge, balances: Sequence[Balance]) -> None:
    """Log each budget of which this reservation has passed the warn threshold."""
    assert attempt.seat.binding is not None
    parts = attempt.seat.binding.warn_at
    for one, balance in zip(charge.reserves, balances, strict=True):
        line = balance.cap * parts.get(one.budget.id, WARN_AT)
        if balance.cap >= 0 and balance.used - one.amount < line <= balance.used:
            what = "budget %s: %s of %s is taken (run %s, step %s)"
            taken, cap = show(balance.unit, balance.used), show(balance.unit, balance.cap)
            _log.warning(what, balance.budget, taken, cap, attempt.seat.run.id, attempt.id)


def report(attempt: Attempt, usd: float | str | None, tokens: int | None) -> None:
    """Add to what an act says it has cost. Raises StepFailed for more than it declares, and counts what it declares."""
    try:
        given = {Unit.USD.value: usd, Unit.TOKENS.value: tokens}
        said = {unit: smallest(unit, amount) for unit, amount in given.items() if amount is not None}
    except ValueError as error:
        raise StepFailed(ErrorType.INVALID_VALUE, f"ctx.spent: {error}") from None
    limit = declared(attempt)
    whole = {unit: attempt.reported.get(unit, 0) + amount for unit, amount in said.items()}
    attempt.reported.update({unit: min(amount, limit.get(unit, amount)) for unit, amount in whole.items()})
    for unit, amount in whole.items():
        if unit in limit and amount > limit[unit]:
            what = f"it has cost {show(unit, amount)}, and declares at most {show(unit, limit[unit])}"
            raise StepFailed(ErrorType.RAISED, f"{attempt.target.proposal.target}: {what}: raise its `cost`")


def bounds_of(manifest: Agent | Flow, run: RunId) -> tuple[Bound, ...]:
    """The budgets that a manifest sets for a run of it."""
    budget = manifest.budget if isinstance(manifest, Agent) else None
    if budget is None:
        return ()
    own = [Bound(BudgetScope.RUN, run, unit, cap, budget.warn_at) for unit, cap in budget.caps().items()]
    daily = budget.per_day.caps() if budget.per_day is not None else {}
    return (
        *own,
        *(Bound(BudgetScope.AGENT, manifest.slug, unit, cap, budget.warn_at) for unit, cap in daily.items()),
    )
