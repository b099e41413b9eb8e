"""What a run may still spend: every budget that binds it, and those of the runs below it, used already or not.

Whether somebody may spend is decided by the store, with the intent; this only reads.
"""

from collections.abc import Callable, Iterator

from magsag.catalog.bundle import Bundle
from magsag.domain.budget import SET_BY_PEOPLE, Bound, BudgetRow, BudgetScope
from magsag.domain.facts import ENDS
from magsag.domain.ids import RunId
from magsag.engine.run import Run
from magsag.policy.budget import budget_of
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store
from magsag.services.insight.tree import child_of
from magsag.services.people.budgets import BudgetBook, BudgetView, view_of
from magsag.services.steps.beginnings import read_run, started_of
from magsag.services.steps.budgeting import bounds_of


class Allowances:
    """Budgets by run."""

    def __init__(self, store: Store, bundle: Callable[[str], Bundle], book: BudgetBook, clock: Clock) -> None:
        """`bundle` finds one by its hash."""
        self._store = store
        self._bundle = bundle
        self._book = book
        self._clock = clock

    def of(self, run: RunId) -> list[BudgetView]:
        """By id. Of a run that has ended only what it and those below it had for themselves. Raises Invalid."""
        family = list(self._family(run))
        bounds = [bound for one in family for bound in self._own(one)]
        found: dict[str, BudgetView] = {}
        if family[0].status in ENDS:
            bounds = [bound for bound in bounds if bound.scope == BudgetScope.RUN]
        else:
            bounds += self._above(family[0])
            found = {one.id: one for one in self._book.show() if one.scope in SET_BY_PEOPLE}
        owners = [RunId(bound.owner) for bound in bounds if bound.scope == BudgetScope.RUN]
        rows = {row.id: row for row in self._store.budgets(owners)}
        now = self._clock.now()
        for bound in bounds:
            budget = budget_of(bound, now)
            unused = BudgetRow(budget.id, budget.scope, budget.unit, budget.run, bound.cap, 0, 0)
            found[budget.id] = view_of(rows.get(budget.id, unused))
        return [found[id] for id in sorted(found)]

    def _family(self, id: RunId) -> Iterator[Run]:
        """The run and all below it, the detached ones too."""
        run = read_run(self._store, id)
        started_of(run or Run(id))
        waiting = [run] if run is not None else []
        while waiting:
            yield (one := waiting.pop())
            below = (child_of(one.id, step, lambda child: read_run(self._store, child)) for step in one.steps.values())
            waiting.extend(child for child in below if child is not None)

    def _own(self, run: Run) -> tuple[Bound, ...]:
        """What its own manifest sets."""
        started = started_of(run)
        return bounds_of(self._bundle(started.bundle).find(started.program).manifest, run.id)

    def _above(self, run: Run) -> list[Bound]:
        """What binds it from above: a tree of its own was told with its beginning."""
        started = started_of(run)
        if started.lineage is not None or started.parent is None:
            return list(started.bounds or ())
        parent = read_run(self._store, started.parent)
        return [*self._own(parent), *self._above(parent)] if parent is not None else []
