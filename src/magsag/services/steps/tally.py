"""What the run has done on a reference so far: the numbers that conditions ask for by `run.count` and `run.after`.

A step counts from the moment that it is reserved, judged and let through, until it fails or is given up; a step
never counts for itself, so that a retry or a resumed step is judged as it was. Each step is looked at until it has
ended, and no more: asking costs what is open, however long the run is.

An intent that takes from budgets is believed after its commit only. Until then its step is going, and counts as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from magsag.domain.facts import Count, StepStatus
from magsag.domain.ids import StepId
from magsag.engine.run import Run
from magsag.policy.rules import Counted

_GONE = frozenset({StepStatus.FAILED, StepStatus.CANCELLED, StepStatus.SKIPPED})
_UNDECIDED = frozenset({StepStatus.NEW, StepStatus.HELD})


@dataclass(slots=True)
class _Target:
    """Steps on one exact reference."""

    open: set[StepId] = field(default_factory=set)
    succeeded: int = 0


class Tally:
    """The steps of one run, by what they act on."""

    def __init__(self, run: Run, going: Mapping[StepId, str] = MappingProxyType({})) -> None:
        """`going`: the steps whose intent waits for its commit, with their targets; it is read again each time."""
        self._run = run
        self._going = going
        self._targets: dict[str, _Target] = {}
        self._meant: dict[str, list[str]] = {}
        """reference of a rule -> the targets that it means, as far as they are known"""
        for step in run.steps.values():
            if step.proposal is not None:
                self.reserve(step.id, step.proposal.target)
        for id, target in going.items():
            self.reserve(id, target)

    def reserve(self, step: StepId, target: str) -> None:
        """The step may start: from now on it counts for others."""
        known = self._targets.get(target)
        if known is None:
            known = self._targets[target] = _Target()
            self._meant.clear()
        known.open.add(step)

    def counts(self, asked: tuple[Counted, ...], judged: StepId) -> tuple[Count, ...]:
        """What is to be told of each reference when this step is judged."""
        return tuple(self._count(one, judged) for one in asked)

    def _count(self, asked: Counted, judged: StepId) -> Count:
        meant = self._meant.get(asked.ref)
        if meant is None:
            meant = self._meant[asked.ref] = [one for one in self._targets if asked.pattern.matches(one)]
        started = succeeded = 0
        for name in meant:
            target = self._targets[name]
            started += self._started(target, judged)
            succeeded += target.succeeded
        return Count(asked.ref, started + succeeded, succeeded > 0)

    def _started(self, target: _Target, judged: StepId) -> int:
        """The steps that are under way; those that have ended are settled for good."""
        started = 0
        for id in list(target.open):
            step = self._run.steps.get(id)
            status = StepStatus.STARTED if step is None else step.status
            if status is StepStatus.SUCCEEDED or status in _GONE:
                target.open.discard(id)
                target.succeeded += status is StepStatus.SUCCEEDED
            elif id != judged and (status not in _UNDECIDED or id in self._going):
                started += 1
        return started
