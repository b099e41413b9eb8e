"""Budgets inside one transaction: what is taken from them and given back, decided write by write.

Whoever holds the transaction says how a budget, a cap and a reservation are read, and puts the changed ones back.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from magsag.domain.budget import Balance, Budget, BudgetRow, Shortfall
from magsag.domain.ids import RunId, StepId
from magsag.policy.budget import shortfall
from magsag.ports.ledger import Write

Place = tuple[RunId, StepId, str]
"""run, step and budget of a reservation"""
NO_CAP = -1


class Accounts:
    """The budgets that the writes of one transaction touch."""

    def __init__(
        self,
        row: Callable[[str], BudgetRow | None],
        cap: Callable[[str, str], int | None],
        held: Callable[[Place], int | None],
    ) -> None:
        """`cap` is the one in force of a scope and unit; `held` the amount of a reservation."""
        self._row = row
        self._cap = cap
        self._read_held = held
        self._rows: dict[str, BudgetRow] = {}
        self._caps: dict[tuple[str, str], int | None] = {}
        self._held: dict[Place, int | None] = {}
        self._changed: dict[str, None] = {}

    def pay(self, item: Write) -> Shortfall | None:
        """Settle and reserve; why the reservations do not fit, and then nothing has changed."""
        if item.reserves:
            short = shortfall(item.reserves, {one.budget.id: self._standing(one.budget) for one in item.reserves})
            if short is not None:
                return short
        for one in item.settles:
            self._settle((item.run, one.step, one.budget), one.spent)
        for taken in item.reserves:
            row = self._standing(taken.budget)
            self._put(row, row.reserved + taken.amount, row.spent)
            self._held[item.run, taken.step, taken.budget.id] = taken.amount
        return None

    def balances(self, item: Write) -> tuple[Balance, ...]:
        """Of the budgets that a write took from."""
        rows = (self._rows[one.budget.id] for one in item.reserves)
        return tuple(Balance(row.id, row.unit, row.cap, row.reserved + row.spent) for row in rows)

    def rows(self) -> list[BudgetRow]:
        """Those that were changed, as they stand now."""
        return [self._rows[id] for id in self._changed]

    def reservations(self) -> list[tuple[Place, int | None]]:
        """Those that were looked at; None for one that is gone."""
        return list(self._held.items())

    def _settle(self, place: Place, spent: int) -> None:
        """What nobody holds back was settled before, in this ledger or another."""
        held = self._held[place] if place in self._held else self._read_held(place)
        if held is None:
            return
        row = self._rows.get(place[2]) or self._row(place[2])
        self._held[place] = None
        if row is not None:
            self._put(row, row.reserved - held, row.spent + spent)

    def _standing(self, budget: Budget) -> BudgetRow:
        """The budget with the cap in force."""
        row = self._rows.get(budget.id) or self._row(budget.id)
        cap = self._shared_cap(budget.scope, budget.unit) if budget.cap is None else budget.cap
        cap = NO_CAP if cap is None else cap
        if row is None:
            row = BudgetRow(budget.id, budget.scope, budget.unit, budget.run, cap, 0, 0)
        elif row.cap != cap:
            row = replace(row, cap=cap)
        self._rows[budget.id] = row
        return row

    def _shared_cap(self, scope: str, unit: str) -> int | None:
        """Asked for once: nobody sets another while the transaction lasts."""
        if (scope, unit) not in self._caps:
            self._caps[scope, unit] = self._cap(scope, unit)
        return self._caps[scope, unit]

    def _put(self, row: BudgetRow, reserved: int, spent: int) -> None:
        self._rows[row.id] = BudgetRow(row.id, row.scope, row.unit, row.run, row.cap, reserved, spent)
        self._changed[row.id] = None


def in_force(caps: Iterable[tuple[str, str, int | None]], scope: str, unit: str) -> int | None:
    """The newest cap of a scope and unit; they come in the order in which they were set."""
    found = [cap for at, counted, cap in caps if (at, counted) == (scope, unit)]
    return found[-1] if found else None
