"""Caps that people set, in SQLite."""

from magsag.adapters.store.budgeting import BudgetingPart, cap_values
from magsag.adapters.store.part import Part
from magsag.domain.budget import Cap
from magsag.domain.closure import Closure, Course
from magsag.domain.effects import Level
from magsag.domain.errors import LedgerClosed


class CappingPart(BudgetingPart, Part):
    """`ports.budgets.Budgets`."""

    def set_cap(self, cap: Cap) -> bool:
        sql = self._database.sql
        with self._database.writing(Level.SYNCED) as connection:
            if (row := connection.execute(sql["standing"]).fetchone()) is not None:
                raise LedgerClosed(Closure(Course(row[0]), row[1], row[2]).why())
            (last,) = connection.execute(sql["last_cap"]).fetchone()
            if last != cap.n - 1:
                return False
            connection.execute(sql["put_cap"], cap_values(cap))
            return True
