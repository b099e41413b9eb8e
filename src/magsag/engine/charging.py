"""What the facts of a step say of its cost: what was held back, and what became of it. Pure.

A reservation begins with the intent and ends with the next fact of its step that ends the attempt. One that does not
say what was spent is charged at its worst case, and says so (`assumed`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from magsag.domain import facts
from magsag.domain.budget import BudgetScope, Settle
from magsag.domain.facts import Fact
from magsag.domain.ids import RunId, StepId
from magsag.engine.run import Run, Step
from magsag.policy.budget import settled, worst_of

ENDING: Final = (
    facts.StepSucceeded,
    facts.StepFailed,
    facts.StepWillRetry,
    facts.StepInDoubt,
    facts.StepCancelled,
)
"""facts after which nobody of this attempt is acting"""


def charged(run: Run, fact: Fact) -> Fact:
    """The fact, with the cost of the attempt that it ends; other facts as they are."""
    step = _holding(run, fact)
    if step is None or step.reserved is None or not isinstance(fact, ENDING) or fact.spent is not None:
        return fact
    changes: dict[str, Any] = {"spent": worst_of(step.reserved), "assumed": True}
    return replace(fact, **changes)


def settles(run: Run, fact: Fact) -> list[Settle]:
    """What goes back to budgets with a fact that was `charged`."""
    step = _holding(run, fact)
    if step is None or step.reserved is None or not isinstance(fact, ENDING):
        return []
    return _settle(step, step.reserved, fact.spent or {})


def lost(step: Step) -> list[Settle]:
    """An attempt began of which nothing came back: it stays charged at its worst case."""
    return [] if step.reserved is None else _settle(step, step.reserved, worst_of(step.reserved))


@dataclass(slots=True)
class Charges:
    """What the facts of runs say of the budgets of runs, by budget."""

    spent: Counter[str] = field(default_factory=Counter)
    held: dict[tuple[RunId, StepId, str], int] = field(default_factory=dict)
    """by run, step and budget, what steps that have begun hold back"""

    def add(self, run: RunId, recorded: Iterable[Fact]) -> None:
        """The facts of a run, in their order. What a fork took over was charged elsewhere."""
        under_way: dict[StepId, Mapping[str, int]] = {}
        for fact in recorded:
            if isinstance(fact, facts.StepStarted) and fact.reserved is not None:
                self._charge(under_way.pop(fact.step, {}), fact.lost or {})
                under_way[fact.step] = {id: held for id, held in fact.reserved.items() if _is_of(run, id)}
            elif isinstance(fact, ENDING):
                self._charge(under_way.pop(fact.step, {}), fact.spent or {})
        for step, reserved in under_way.items():
            self.held.update({(run, step, id): held for id, held in reserved.items()})

    def _charge(self, reserved: Mapping[str, int], spent: Mapping[str, int]) -> None:
        self.spent.update(settled(spent, reserved))


def _is_of(run: RunId, budget: str) -> bool:
    """Whether it is a budget of this run, or of one above it."""
    scope, _, rest = budget.partition("/")
    owner = rest.rpartition("/")[0]
    return scope == BudgetScope.RUN and (run == owner or run.startswith(f"{owner}."))


def _settle(step: Step, reserved: Mapping[str, int], spent: Mapping[str, int]) -> list[Settle]:
    return [Settle(step.id, id, amount) for id, amount in settled(spent, reserved).items()]


def _holding(run: Run, fact: Fact) -> Step | None:
    """The step of the fact, while it holds something back."""
    if not isinstance(fact, ENDING):
        return None
    step = run.steps.get(fact.step)
    return step if step is not None and step.reserved is not None else None
