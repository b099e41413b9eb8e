"""Caps that people set, in SQLite."""

from magsag.adapters.store.budgeting import BudgetingPart, cap_values
from magsag.adapters.store.part import Part
from magsag.domain.budget import Cap
from magsag.domain.effects import Level


class CappingPart(BudgetingPart, Part):
    """`ports.budgets.Budgets`."""

    def set_cap(self, cap: Cap) -> bool:
        sql = self._database.sql
        with self._database.writing(Level.SYNCED) as connection:
            self._require_open()
            (last,) = connection.execute(sql["last_cap"]).fetchone()
            if last != cap.n - 1:
                return False
            connection.execute(sql["put_cap"], cap_values(cap))
            return True
