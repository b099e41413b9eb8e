"""Caps that people set, in Postgres."""

from magsag.adapters.store.budgeting import BudgetingPart, cap_values
from magsag.adapters.store.postgres.part import Part
from magsag.domain.budget import Cap


class CappingPart(BudgetingPart, Part):
    """`ports.budgets.Budgets`."""

    def set_cap(self, cap: Cap) -> bool:
        self._require_open()
        return bool(self._database.change("put_cap", (*cap_values(cap), cap.n)))
