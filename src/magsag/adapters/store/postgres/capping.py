"""Caps that people set, in Postgres."""

from magsag.adapters.store.budgeting import BudgetingPart, cap_values
from magsag.adapters.store.postgres.part import Part
from magsag.domain.budget import Cap
from magsag.domain.closure import Closure, Course
from magsag.domain.errors import LedgerClosed


class CappingPart(BudgetingPart, Part):
    """`ports.budgets.Budgets`."""

    def set_cap(self, cap: Cap) -> bool:
        if (row := self._database.one("standing")) is not None:
            raise LedgerClosed(Closure(Course(row[0]), row[1], row[2]).why())
        return bool(self._database.change("put_cap", (*cap_values(cap), cap.n)))
