"""Budgets of the store in memory."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from magsag.adapters.store.accounts import Accounts, Place, in_force
from magsag.domain.budget import Balance, BudgetRow, Cap, Reservation, Shortfall
from magsag.domain.ids import RunId
from magsag.policy.budget import day_in
from magsag.ports.budgets import BudgetPiece, KeptBudget, KeptCap, KeptReservation
from magsag.ports.ledger import Write


class MemoryBudgets:
    """`ports.budgets.Budgets`, in dicts; whoever calls holds the lock."""

    def __init__(self) -> None:
        self._rows: dict[str, BudgetRow] = {}
        self._held: dict[Place, int] = {}
        self._caps: list[Cap] = []

    def write(self, item: Write) -> Shortfall | None:
        """Settle and reserve; why the reservations do not fit, and then nothing has changed."""
        if not item.reserves and not item.settles:
            return None
        accounts = Accounts(self._rows.get, self._in_force, self._held.get)
        if (short := accounts.pay(item)) is not None:
            return short
        self._rows.update((row.id, row) for row in accounts.rows())
        for place, amount in accounts.reservations():
            if amount is None:
                self._held.pop(place, None)
            else:
                self._held[place] = amount
        return None

    def balances(self, item: Write) -> tuple[Balance, ...]:
        """Of the budgets that a write took from."""
        rows = (self._rows[one.budget.id] for one in item.reserves)
        return tuple(Balance(row.id, row.unit, row.cap, row.reserved + row.spent) for row in rows)

    def budgets(self, runs: Sequence[RunId]) -> list[BudgetRow]:
        """Those that runs share, and those of these runs."""
        found = [row for row in self._rows.values() if row.reserved or row.spent]
        return sorted((row for row in found if row.run is None or row.run in runs), key=lambda row: row.id)

    def reservations(self) -> list[Reservation]:
        return [Reservation(*place, amount) for place, amount in sorted(self._held.items())]

    def caps(self) -> list[Cap]:
        return list(self._caps)

    def newest_caps(self) -> list[Cap]:
        return sorted({(cap.scope, cap.unit): cap for cap in self._caps}.values(), key=lambda cap: cap.n)

    def set_cap(self, cap: Cap) -> bool:
        if cap.n != len(self._caps) + 1:
            return False
        self._caps.append(cap)
        return True

    def forget(self, runs: Iterable[RunId]) -> None:
        """Runs are removed."""
        gone = frozenset(runs)
        self._rows = {id: row for id, row in self._rows.items() if row.run not in gone}
        self._held = {place: amount for place, amount in self._held.items() if place[0] not in gone}

    def forget_days(self, first: str) -> None:
        """Budgets of days before this one, of which nothing is held back."""
        gone = {row.id for row in self._rows.values() if not row.reserved and (day := day_in(row)) and day < first}
        self._rows = {id: row for id, row in self._rows.items() if id not in gone}

    def clear(self) -> None:
        """Nothing is left."""
        self._rows.clear()
        self._held.clear()
        self._caps.clear()

    def pieces(self) -> Iterator[BudgetPiece]:
        """All of it."""
        yield from (KeptBudget(self._rows[id]) for id in sorted(self._rows))
        yield from map(KeptReservation, self.reservations())
        yield from map(KeptCap, self._caps)

    def put(self, piece: BudgetPiece) -> None:
        """A piece of another ledger."""
        match piece:
            case KeptBudget(row):
                self._rows[row.id] = replace(row)
            case KeptReservation(one):
                self._held[one.run, one.step, one.budget] = one.amount
            case KeptCap(cap):
                self._caps.append(cap)

    def _in_force(self, scope: str, unit: str) -> int | None:
        return in_force(((cap.scope, cap.unit, cap.cap) for cap in self._caps), scope, unit)
