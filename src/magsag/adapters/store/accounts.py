"""Budgets inside one transaction: what is taken from them and given back, decided write by write.

Whoever holds the transaction says how a budget, a cap and a reservation are read, and puts the changed ones back.
"""

from collections.abc import Callable, Iterable

from magsag.domain.budget import Balance, Budget, BudgetRow, Shortfall
from magsag.domain.ids import RunId, StepId
from magsag.policy.budget import Account, shortfall
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
        self._accounts: dict[str, Account] = {}
        self._caps: dict[tuple[str, str], int | None] = {}
        self._held: dict[Place, int | None] = {}
        self._changed: dict[str, Account] = {}

    def pay(self, item: Write) -> Shortfall | None:
        """Settle and reserve; why the reservations do not fit, and then nothing has changed."""
        taken = [(self._standing(one.budget), one) for one in item.reserves]
        short = shortfall(taken)
        if short is not None:
            return short
        for back in item.settles:
            self._settle((item.run, back.step, back.budget), back.spent)
        for account, one in taken:
            account.reserved += one.amount
            self._changed[account.id] = account
            self._held[item.run, one.step, account.id] = one.amount
        return None

    def balances(self, item: Write) -> tuple[Balance, ...]:
        """Of the budgets that a write took from."""
        found = (self._accounts[one.budget.id] for one in item.reserves)
        return tuple(Balance(one.id, one.unit, one.cap, one.reserved + one.spent) for one in found)

    def rows(self) -> list[BudgetRow]:
        """Those that were changed, as they stand now."""
        return [
            BudgetRow(one.id, one.scope, one.unit, one.run, one.cap, one.reserved, one.spent)
            for one in self._changed.values()
        ]

    def reservations(self) -> list[tuple[Place, int | None]]:
        """Those that were looked at; None for one that is gone."""
        return list(self._held.items())

    def _settle(self, place: Place, spent: int) -> None:
        """What nobody holds back was settled before, in this ledger or another."""
        held = self._held[place] if place in self._held else self._read_held(place)
        if held is None:
            return
        self._held[place] = None
        account = self._account(place[2])
        if account is not None:
            account.reserved -= held
            account.spent += spent
            self._changed[account.id] = account

    def _standing(self, budget: Budget) -> Account:
        """The budget with the cap in force."""
        account = self._account(budget.id)
        cap = self._shared_cap(budget.scope, budget.unit) if budget.cap is None else budget.cap
        cap = NO_CAP if cap is None else cap
        if account is None:
            account = Account(budget.id, budget.scope, budget.unit, budget.run, cap, 0, 0)
            self._accounts[budget.id] = account
        account.cap = cap
        return account

    def _account(self, id: str) -> Account | None:
        account = self._accounts.get(id)
        if account is None and (row := self._row(id)) is not None:
            account = Account(row.id, row.scope, row.unit, row.run, row.cap, row.reserved, row.spent)
            self._accounts[id] = account
        return account

    def _shared_cap(self, scope: str, unit: str) -> int | None:
        """Asked for once: nobody sets another while the transaction lasts."""
        if (scope, unit) not in self._caps:
            self._caps[scope, unit] = self._cap(scope, unit)
        return self._caps[scope, unit]


def in_force(caps: Iterable[tuple[str, str, int | None]], scope: str, unit: str) -> int | None:
    """The newest cap of a scope and unit; they come in the order in which they were set."""
    found = [cap for at, counted, cap in caps if (at, counted) == (scope, unit)]
    return found[-1] if found else None
