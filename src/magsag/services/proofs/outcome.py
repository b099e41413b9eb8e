"""What a run left behind, in its ledger and outside, and how that differs from what a clean run left."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from magsag.domain import facts
from magsag.domain.effects import Effect
from magsag.domain.facts import ENDS, RunStatus, StepStatus
from magsag.domain.ids import RunId
from magsag.engine.chain import unseal
from magsag.ports.ledger import RunQuery, Store
from magsag.services.past.difference import at, difference, error_parts
from magsag.services.recording.large import plain

_ONCE: Final = frozenset({Effect.UNREPEATABLE, Effect.RECONCILABLE})
_ENDED_WELL: Final = frozenset({RunStatus.SUCCEEDED, RunStatus.PARTIAL})
_RESOLVED: Final = frozenset({StepStatus.SUCCEEDED, StepStatus.FAILED})


@dataclass(slots=True)
class Outcome:
    """One finished trial."""

    status: str = ""
    output: Any = None
    """the result, or the error without what moves"""
    outcomes: Counter[str] = field(default_factory=Counter)
    """`RUN STEP` -> how many outcomes it has"""
    effects: dict[str, tuple[str, Effect]] = field(default_factory=dict)
    """idempotency key -> `RUN STEP` and the kind of what acts under it"""
    spent: Counter[str] = field(default_factory=Counter)
    """unit -> what is on record as spent"""
    assumed: Counter[str] = field(default_factory=Counter)
    """unit -> the part of it that stands for acts of which nobody knows"""
    dearest: Counter[str] = field(default_factory=Counter)
    """unit -> the most that one step spent"""
    faults: list[str] = field(default_factory=list)
    """what `data check` finds"""
    calls: Mapping[str, int] = field(default_factory=dict)
    """idempotency key -> calls that the sink heard"""
    reads: int = 0
    """models that were asked"""


def outcome_of(store: Store, root: RunId, calls: Mapping[str, int], reads: int) -> Outcome:
    """Read a trial's ledger; it holds nothing but the run `root` and those below it."""
    left = Outcome(calls=calls, reads=reads, faults=[f"{fault.where}: {fault.what}" for fault in store.check()])
    for row in store.rows(RunQuery(roots_only=False, limit=None)):
        for stored in store.read(row.run):
            _note(left, store, root, row.run, unseal(stored))
    return left


def differences(clean: Outcome, left: Outcome, kills: int) -> list[str]:
    """What is not as it was in the clean run, the weightiest first."""
    found = [*_effects(clean, left, kills), *_results(clean, left)]
    found += [f"{step} has {count} outcomes" for step, count in left.outcomes.items() if count > 1]
    return [*found, *_cost(clean, left), *(f"data check: {fault}" for fault in left.faults)]


def _note(left: Outcome, store: Store, root: RunId, run: RunId, fact: facts.Fact) -> None:
    match fact:
        case facts.RunEnded() if run == root:
            value: Any = plain(store, root, fact.output)
            left.status = fact.status.value
            left.output = value if fact.status in _ENDED_WELL else error_parts(value)
        case facts.StepStarted():
            if fact.proposal.effect not in (Effect.DELEGATE, Effect.WAIT):
                left.effects[fact.key] = f"{run} {fact.step}", fact.proposal.effect
        case facts.StepDone() | facts.StepSucceeded():
            left.outcomes[f"{run} {fact.step}"] += 1
            for unit, amount in (fact.spent or {}).items():
                left.spent[unit] += amount
                left.dearest[unit] = max(left.dearest[unit], amount)
        case facts.StepInDoubt():
            left.spent.update(fact.spent or {})
            left.assumed.update(fact.spent or {})
        case facts.StepFailed() | facts.StepCancelled() | facts.StepSkipped():
            left.outcomes[f"{run} {fact.step}"] += 1
        case facts.StepResolved() if fact.how in _RESOLVED:
            left.outcomes[f"{run} {fact.step}"] += 1
        case _:
            pass


def _effects(clean: Outcome, left: Outcome, kills: int) -> Iterator[str]:
    """The effects outside: all of them, each once. Under one key an idempotent act may be called again."""
    for key in dict.fromkeys([*clean.calls, *left.calls]):
        before, now = clean.calls.get(key, 0), left.calls.get(key, 0)
        step, effect = clean.effects.get(key) or left.effects.get(key) or (f"key {key}", Effect.UNREPEATABLE)
        most = before + kills if effect is Effect.IDEMPOTENT else before
        if now > most or (now < before and (effect in _ONCE or not now)):
            yield f"{step} ({effect}) acted {now} times, {before} in the clean run"


def _results(clean: Outcome, left: Outcome) -> Iterator[str]:
    if left.status != clean.status:
        yield f"the run ended {left.status or 'nowhere'}, not {clean.status}"
    elif (where := difference(clean.output, left.output)) is not None:
        yield f"its output differs at {where}: {at(clean.output, where)}, now {at(left.output, where)}"


def _cost(clean: Outcome, left: Outcome) -> Iterator[str]:
    """At least the clean run's; at most that, the dearest step for each model that was asked again, what is assumed."""
    again = max(0, left.reads - clean.reads)
    for unit in dict.fromkeys([*clean.spent, *left.spent]):
        before, now = clean.spent[unit], left.spent[unit]
        if not before <= now <= before + again * clean.dearest[unit] + left.assumed[unit]:
            yield f"{now} {unit} are on record as spent, {before} in the clean run"


def is_ended(status: str) -> bool:
    """Whether a run of this status has ended."""
    return status in {end.value for end in ENDS}
