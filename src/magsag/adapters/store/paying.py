"""What the budgets of one SQLite transaction are read by, and how the changed ones are put back.

One statement reads all budgets that the writes name, and one each what a step that settles holds back.
"""

import sqlite3
from collections.abc import Mapping, Sequence

from pydantic_core import to_json

from magsag.adapters.store.accounts import Accounts, Place
from magsag.adapters.store.budgeting import budget_values
from magsag.domain.budget import Balance, BudgetRow, Shortfall
from magsag.domain.ids import RunId, StepId
from magsag.ports.ledger import Write


class Paying:
    """The budgets of one transaction."""

    def __init__(self, connection: sqlite3.Connection, sql: Mapping[str, str], writes: Sequence[Write]) -> None:
        self._connection = connection
        self._sql = sql
        self._rows = self._read(writes)
        self._held: dict[tuple[RunId, StepId], dict[str, int]] = {}
        self._accounts = Accounts(self._rows.get, self._cap, self._held_back)

    def pay(self, item: Write) -> Shortfall | None:
        """Settle and reserve; why the reservations do not fit, and then nothing has changed."""
        return self._accounts.pay(item)

    def balances(self, item: Write) -> tuple[Balance, ...]:
        """Of the budgets that a write took from."""
        return self._accounts.balances(item)

    def flush(self) -> None:
        """Put what has changed into the transaction."""
        held = self._accounts.reservations()
        gone = [place for place, amount in held if amount is None]
        kept = [(*place, amount) for place, amount in held if amount is not None]
        self._many("put_budget", [budget_values(row) for row in self._accounts.rows()])
        self._many("drop_reservation", gone)
        self._many("put_reservation", kept)

    def _read(self, writes: Sequence[Write]) -> dict[str, BudgetRow]:
        named: set[str] = set()
        for item in writes:
            for one in item.reserves:
                named.add(one.budget.id)
            for back in item.settles:
                named.add(back.budget)
        rows = self._connection.execute(self._sql["budgets_named"], (to_json(sorted(named)),))
        return {row[0]: BudgetRow(*row) for row in rows}

    def _cap(self, scope: str, unit: str) -> int | None:
        row = self._connection.execute(self._sql["cap_in_force"], (scope, unit)).fetchone()
        return None if row is None else row[0]

    def _held_back(self, place: Place) -> int | None:
        """As it was before this transaction."""
        run, step, budget = place
        held = self._held.get((run, step))
        if held is None:
            held = dict(self._connection.execute(self._sql["held_back"], (run, step)).fetchall())
            self._held[run, step] = held
        return held.get(budget)

    def _many(self, name: str, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            self._connection.executemany(self._sql[name], rows)
