"""Whether the budgets of runs are what their facts say; a part of `data check`.

Those that runs share count what was vacuumed too, so facts alone cannot tell them.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from magsag.domain.budget import BudgetRow
from magsag.domain.errors import Broken
from magsag.domain.facts import Fact
from magsag.domain.ids import RunId
from magsag.domain.sealed import Fault, Stored
from magsag.engine.chain import unseal
from magsag.engine.charging import Charges


def charging(facts: Iterable[Stored]) -> Iterator[Fact]:
    """Those that say something of budgets; what cannot be read is a fault of its own."""
    for stored in facts:
        if b'"spent"' in stored.body or b'"reserved"' in stored.body:
            with suppress(Broken, LookupError, TypeError, ValueError):
                yield unseal(stored)


def check_budgets(
    rows: Iterable[tuple[Any, ...]], held: Iterable[tuple[Any, ...]], charges: Charges
) -> Iterator[Fault]:
    """Faults of the budgets that go with a run, and of what is held back; `charges` is what all facts say."""
    reserved = _reserved(charges)
    for row in rows:
        budget = BudgetRow(*row)
        if budget.run is None:
            continue
        said = (charges.spent[budget.id], reserved.get(budget.id, 0))
        if (budget.spent, budget.reserved) != said:
            what = f"it has {budget.spent} spent and {budget.reserved} held back, its facts say {said[0]} and {said[1]}"
            yield Fault(f"budget {budget.id}", f"{what}: it was changed", budget.run)
    for run, step, id, amount in held:
        place = (RunId(run), step, id)
        if id.startswith("run/") and charges.held.get(place) != amount:
            yield Fault(f"run {run}", f"step {step} holds back {amount} of {id}, its facts do not say so", RunId(run))


def _reserved(charges: Charges) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for (_, _, id), amount in charges.held.items():
        found[id] = found.get(id, 0) + amount
    return found
