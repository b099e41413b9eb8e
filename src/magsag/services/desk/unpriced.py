"""Agents that could never ask a model: a budget of theirs counts money, and nobody says what the model costs.

A catalog cannot tell by itself, since prices are settings; so no finding says it, but `doctor`.
"""

from collections.abc import Iterator, Sequence

from magsag.catalog.bundle import Bundle
from magsag.catalog.reach import models_reached
from magsag.domain.budget import Unit
from magsag.domain.manifests import Agent
from magsag.domain.price import Priced


def unpriced(bundle: Bundle, priced: Sequence[Priced]) -> Iterator[tuple[str, str]]:
    """Alias without a price, and an agent that names it, or something below it does, under a budget of money."""
    free = {one.alias for one in priced if one.price is None}
    for entry in bundle.entries():
        if free and isinstance(entry.manifest, Agent) and _counts_money(entry.manifest):
            yield from ((alias, entry.ref) for alias in models_reached(bundle, entry.ref) if alias in free)


def _counts_money(agent: Agent) -> bool:
    budget = agent.budget
    if budget is None:
        return False
    daily = budget.per_day.caps() if budget.per_day is not None else {}
    return Unit.USD.value in {**budget.caps(), **daily}
