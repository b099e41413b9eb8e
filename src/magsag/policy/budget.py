"""What binds an act, what it may cost at most, and what is said when it does not fit. Pure.

The worst case is what the act declares (`cost`), one call, and its whole timeout. What declares nothing and is not
`pure` has no bound in money and tokens: under a budget that counts them it does not start.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final

from magsag.domain.budget import (
    MOST,
    SET_BY_PEOPLE,
    SMALLEST,
    Amounts,
    Bound,
    Budget,
    BudgetRow,
    BudgetScope,
    Reserve,
    Shortfall,
    Unit,
)
from magsag.domain.errors import ErrorType, StepFailed
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId

_FIRST_DAY: Final = date(1970, 1, 1)
_DAY: Final = 86_400_000_000
"""in microseconds"""
_CALLS: Final = Unit.CALLS.value
_SECONDS: Final = Unit.SECONDS.value
_MICRO: Final = SMALLEST[Unit.SECONDS]
WARN_AT: Final = 0.8
"""the part of a cap from which on people are warned, unless a manifest says otherwise"""


def worst_case(declared: Amounts, seconds: float) -> dict[str, int]:
    """The most that one attempt may cost, by unit; units of which nothing is declared are missing, and those of
    which it is more than any cap can hold."""
    worst = {_CALLS: 1, _SECONDS: round(seconds * _MICRO), **declared}
    return {unit: amount for unit, amount in worst.items() if amount <= MOST}


@frozen
class Binding:
    """The budgets that bind a run on one day."""

    day: int
    """days since 1970"""
    caps: tuple[tuple[str, str], ...]
    """scope and unit of the limits that people have set"""
    budgets: tuple[Budget, ...]
    """each once"""
    warn_at: Mapping[str, float]
    """by budget, the part from which on people are warned"""

    def is_of(self, caps: tuple[tuple[str, str], ...], at: int) -> bool:
        """Whether it holds at this time, with these caps."""
        return self.day == at // _DAY and self.caps == caps


def binding(bounds: Sequence[Bound], caps: tuple[tuple[str, str], ...], at: int) -> Binding:
    """What binds whoever has these limits at that time."""
    day = day_of(at)
    found: dict[str, Budget] = {}
    warn_at: dict[str, float] = {}
    for bound in bounds:
        budget = budget_of(bound, at)
        found.setdefault(budget.id, budget)
        warn_at.setdefault(budget.id, bound.warn_at)
    for scope, unit in sorted(caps):
        name = f"{scope}/{unit}" if scope == BudgetScope.ORGANISATION else f"{scope}/{day}/{unit}"
        found[name], warn_at[name] = Budget(name, scope, unit, None), WARN_AT
    return Binding(at // _DAY, caps, tuple(found.values()), warn_at)


def asked(budgets: Sequence[Budget], worst: Amounts, what: str) -> list[Budget]:
    """Those that an attempt must be reserved in; the ones that it costs nothing in are left out.

    Raises StepFailed for an act without a bound.
    """
    for budget in budgets:
        if budget.unit not in worst:
            raise unbounded(budget, what)
    return [budget for budget in budgets if worst[budget.unit]]


def budget_of(bound: Bound, at: int) -> Budget:
    """The budget that a limit of a manifest is at that time."""
    run = RunId(bound.owner) if bound.scope == BudgetScope.RUN else None
    owner = bound.owner if run is not None else f"{bound.owner}/{day_of(at)}"
    return Budget(f"{bound.scope}/{owner}/{bound.unit}", bound.scope, bound.unit, bound.cap, run)


def reserves(step: StepId, budgets: Iterable[Budget], worst: Amounts) -> list[Reserve]:
    """What the step takes from each."""
    return [Reserve(step, budget, worst[budget.unit]) for budget in budgets]


@dataclass(slots=True, eq=False)
class Account:
    """A budget while a transaction takes from it and gives back."""

    id: str
    scope: str
    unit: str
    run: RunId | None
    cap: int
    """-1: without a limit"""
    reserved: int
    spent: int


def shortfall(wanted: Iterable[tuple[Account, Reserve]]) -> Shortfall | None:
    """The first budget, as it stands with its cap, that a reservation does not fit in."""
    for account, one in wanted:
        left = account.cap - account.reserved - account.spent
        if account.cap >= 0 and left < one.amount:
            return Shortfall(account.id, account.unit, account.cap, max(0, left), one.amount)
    return None


def exhausted(short: Shortfall, what: str) -> StepFailed:
    """The refusal, with the budget, its cap, what is left, and what was asked."""
    shown = {name: show(short.unit, amount) for name, amount in _numbers(short).items()}
    message = (
        f"{what} may cost {shown['asked']}, and budget {short.budget} has {shown['left']} of {shown['cap']} left; "
        f"raise the cap ({_where(short)}), or ask for less"
    )
    details = {
        "budget": short.budget,
        "unit": short.unit,
        **{name: plain(short.unit, amount) for name, amount in _numbers(short).items()},
    }
    return StepFailed(ErrorType.BUDGET_EXHAUSTED, message, details)


def _where(short: Shortfall) -> str:
    scope = short.budget.partition("/")[0]
    if scope in SET_BY_PEOPLE:
        return f"`magsag budget set {scope} {short.unit} CAP`"
    return "`budget:` in the agent's manifest"


def unbounded(budget: Budget, what: str) -> StepFailed:
    """The refusal of an act of which nobody can say what it costs at most."""
    if what.startswith("model:"):
        fix = "give `max_tokens` that a budget can hold, and ask for one answer in text"
        if budget.unit == Unit.USD:
            fix += "; give its alias a price in [prices]"
    else:
        fix = "declare its `cost` in its skill, `cost: {}` for one that costs nothing"
    message = f"{what} does not say what it may cost, and budget {budget.id} counts {budget.unit}: {fix}"
    return StepFailed(ErrorType.BUDGET_EXHAUSTED, message, {"budget": budget.id, "unit": budget.unit})


def is_warned(row: BudgetRow, warn_at: float = WARN_AT) -> bool:
    """Whether so much is used up that people should know."""
    return row.cap >= 0 and row.reserved + row.spent >= row.cap * warn_at


def settled(amounts: Amounts, reserved: Amounts) -> dict[str, int]:
    """By budget what stays charged, of what was spent by unit; never more than was held back."""
    return {id: min(held, amounts.get(unit_of(id), 0)) for id, held in reserved.items()}


def worst_of(reserved: Amounts) -> dict[str, int]:
    """By unit, what was held back by budget."""
    return {unit_of(id): held for id, held in reserved.items()}


def unit_of(budget: str) -> str:
    """The unit that a budget's id ends in."""
    return budget.rpartition("/")[2]


def day_of(at: int) -> str:
    """The day of a time (microseconds since 1970), UTC."""
    return _day(at // _DAY)


@lru_cache(maxsize=16)
def _day(number: int) -> str:
    return (_FIRST_DAY + timedelta(number)).isoformat()


def day_in(row: BudgetRow) -> str | None:
    """The day that a budget is of; None for one that goes on."""
    return row.id.split("/")[-2] if row.scope in (BudgetScope.DAY, BudgetScope.AGENT) else None


def plain(unit: str, amount: int) -> int | float:
    """The amount as people write it."""
    value = Decimal(amount) / SMALLEST[unit]
    return int(value) if value == value.to_integral_value() else float(value)


def show(unit: str, amount: int) -> str:
    """The amount with its unit, e.g. `$0.05`, `2,000 tokens`."""
    value = Decimal(amount) / SMALLEST[unit]
    text = f"{value.normalize():,f}"
    if unit == Unit.USD:
        return f"${value:,.2f}" if value == round(value, 2) else f"${text}"
    return f"{text} s" if unit == Unit.SECONDS else f"{text} {unit if amount != 1 else unit.removesuffix('s')}"


def _numbers(short: Shortfall) -> dict[str, int]:
    return {"cap": short.cap, "left": short.left, "asked": short.asked}
