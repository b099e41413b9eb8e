"""Whether what an agent may reach can run under its budget: an act that counts money or tokens must say its most."""

from collections.abc import Iterator

from magsag.catalog.check.index import Index
from magsag.catalog.reach import all_steps, reached
from magsag.catalog.survey import Candidate
from magsag.domain.budget import Unit
from magsag.domain.effects import Effect
from magsag.domain.errors import Invalid
from magsag.domain.manifests import Agent, Flow, Skill
from magsag.domain.manifests.flow import FlowStep, is_request

_DECLARED = (Unit.USD, Unit.TOKENS)


def check_budget(candidate: Candidate, agent: Agent, index: Index) -> None:
    """One finding at the budget for each act below the agent that could never start."""
    if agent.budget is None:
        return
    daily = agent.budget.per_day.caps() if agent.budget.per_day is not None else {}
    counted = [unit.value for unit in _DECLARED if unit in agent.budget.caps() or unit in daily]
    if not counted:
        return
    for name in _unbounded(str(candidate.subject), index):
        what = f"{name} declares no `cost`, so it never starts under this budget, which counts {' and '.join(counted)}"
        candidate.notes.add(("budget",), what, "declare the most that it can cost; `cost: {}` for nothing", key=True)


def _unbounded(ref: str, index: Index) -> Iterator[str]:
    entries = [found for name in sorted(reached(index.bundle, ref)) if (found := _entry(name, index)) is not None]
    for name, manifest in entries:
        if isinstance(manifest, Flow):
            steps = (step for step in all_steps(manifest.steps) if step.cost is None)
            programs = (step for step in steps if is_request(step.uses) or _is_program(step))
            yield from (f"step {step.id} of {name}" for step in programs)
        elif isinstance(manifest, Agent):
            yield from (f"{use} of {name}" for use in manifest.uses if is_request(use))
        elif manifest.cost is None and manifest.effect != Effect.PURE and not is_request(name):
            yield name


def _is_program(step: FlowStep) -> bool:
    """One that can cost something: what is pure costs nothing by its kind."""
    return step.run is not None and step.effect != Effect.PURE


def _entry(name: str, index: Index) -> tuple[str, Agent | Flow | Skill] | None:
    """What a reference names, where it can be called; one that names nothing is a finding of its own."""
    if name.partition(":")[0] not in ("agent", "flow", "skill"):
        return None
    try:
        return name, index.bundle.find(name).manifest
    except Invalid:
        return None
