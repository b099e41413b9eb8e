"""What an ended run shows (`domain.measures`), folded from the facts of the run and of the child runs of its tree.

A person is waited for from an ask, or from a doubt, until the step moves on. Such times are taken out of the run's
time once, however many steps waited side by side. Of a fork only what it did itself counts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from magsag.domain import facts
from magsag.domain.effects import Effect
from magsag.domain.facts import Decision, RunStatus
from magsag.domain.ids import RunId, StepId, child_run_id
from magsag.domain.measures import Measure, Shown
from magsag.domain.settings import Mode
from magsag.domain.verdicts import DETACH, START

_MOVES = (
    facts.StepStarted,
    facts.StepFailed,
    facts.StepCancelled,
    facts.StepResolved,
    facts.StepSucceeded,
    facts.StepDone,
)
"""what ends a wait for a person"""


class _Wait(NamedTuple):
    begin: int
    end: int
    is_approval: bool


Read = Callable[[RunId], Sequence[facts.Fact]]
"""the facts of a run, in order; none of a run that is not there"""


def measured(run: RunId, read: Read) -> Measure | None:
    """What the run shows; None for one that has not ended."""
    own = read(run)
    started = next((fact for fact in own if isinstance(fact, facts.RunStarted)), None)
    ended = next((fact for fact in own if isinstance(fact, facts.RunEnded)), None)
    if started is None or ended is None:
        return None
    begin = started.at if started.forked_at is None else started.forked_at
    waits: list[_Wait] = []
    nano_usd = 0
    for recorded in (own, *_below(run, own, read)):
        mine = [fact for fact in recorded if fact.at >= begin]
        waits += _waits(mine, ended.at)
        nano_usd += sum(_cost(fact) for fact in mine)
    took = max(0, ended.at - begin - _together(waits, begin, ended.at))
    asked = tuple(sorted(wait.end - wait.begin for wait in waits if wait.is_approval))
    return Measure(run, _shown(started, ended, own), ended.at, took, nano_usd, asked)


def _shown(started: facts.RunStarted, ended: facts.RunEnded, own: Iterable[facts.Fact]) -> Shown:
    if started.mode == Mode.DRY_RUN:
        return Shown.DRY
    if not _has_begun(started, own):
        return Shown.REFUSED
    return Shown.GOOD if ended.status is RunStatus.SUCCEEDED else Shown.BAD


def _has_begun(started: facts.RunStarted, own: Iterable[facts.Fact]) -> bool:
    """Whether the program was let through by its own objectives and limits."""
    is_told = started.verdict is not None and started.verdict.decision is not Decision.ALLOW
    if not (is_told or started.limited):
        return True
    return any(isinstance(fact, facts.StepSucceeded | facts.StepDone) and fact.step == START for fact in own)


def _below(run: RunId, own: Iterable[facts.Fact], read: Read) -> Iterator[Sequence[facts.Fact]]:
    """The facts of the child runs of every attempt, but for those whose tree is their own."""
    for fact in own:
        if isinstance(fact, facts.StepStarted) and _stays(fact.proposal):
            child = child_run_id(run, fact.step, fact.attempt)
            if recorded := read(child):
                yield recorded
                yield from _below(child, recorded, read)


def _waits(recorded: Iterable[facts.Fact], end: int) -> Iterator[_Wait]:
    """One for each stretch in which a step was held or in doubt; what is still open ends with the run."""
    since: dict[StepId, tuple[int, bool]] = {}
    for fact in recorded:
        if isinstance(fact, facts.StepHeld | facts.StepInDoubt):
            since.setdefault(fact.step, (fact.at, isinstance(fact, facts.StepHeld)))
        elif isinstance(fact, _MOVES) and fact.step in since:
            begin, is_approval = since.pop(fact.step)
            yield _Wait(begin, max(begin, fact.at), is_approval)
    for begin, is_approval in since.values():
        yield _Wait(begin, max(begin, end), is_approval)


def _together(waits: Iterable[_Wait], begin: int, end: int) -> int:
    """How much of the time between begin and end is in one of the waits at least."""
    covered, reached = 0, begin
    for wait in sorted(waits):
        start, stop = max(wait.begin, reached), min(wait.end, end)
        if stop > start:
            covered += stop - start
            reached = stop
    return covered


def _stays(proposal: facts.Proposal) -> bool:
    return proposal.effect is Effect.DELEGATE and proposal.call != DETACH


def _cost(fact: facts.Fact) -> int:
    """What the fact says of money, that of an attempt of which nothing came back included."""
    charged: list[Mapping[str, int] | None] = [getattr(fact, "spent", None), getattr(fact, "lost", None)]
    return sum(spent.get("usd", 0) for spent in charged if spent)
