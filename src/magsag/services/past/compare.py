"""Compares two recorded runs: where they part, step by step and run by run. Decides nothing about either."""

from collections.abc import Iterator
from typing import Any, Final

from magsag.domain.facts import RunStatus, StepStatus
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.engine.run import Run, Step
from magsag.ports.ledger import RunRow, Store
from magsag.services.insight.tree import child_of
from magsag.services.past.difference import What, at, difference, error_parts
from magsag.services.recording.known import unknown_run
from magsag.services.recording.large import plain
from magsag.services.steps.beginnings import read_run, started_of

_GOOD: Final = frozenset({RunStatus.SUCCEEDED, RunStatus.PARTIAL})


@frozen
class Parting:
    """One place at which two runs are not the same."""

    step: str | None
    """the way to the step, through child runs: `advise#1/lookup#1`; None: the run as a whole"""
    what: What
    first: str
    second: str
    """what each has there, shortened"""
    pointer: str | None = None


@frozen
class _Side:
    """One of the two, with the way to its values."""

    store: Store
    row: RunRow
    run: Run

    def value(self, data: bytes | None) -> Any:
        return plain(self.store, self.row.root, data)

    def child(self, step: Step) -> "_Side | None":
        """The run that a step started."""
        found = child_of(self.run.id, step, lambda id: read_run(self.store, id))
        row = self.store.row(found.id) if found is not None else None
        return _Side(self.store, row, found) if found is not None and row is not None else None


class Compare:
    """Compares runs of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def partings(self, first: RunId, second: RunId) -> list[Parting]:
        """All places, in the order of the first run's steps; empty for equal runs. Raises Invalid."""
        return list(_runs(self._side(first), self._side(second), ""))

    def _side(self, id: RunId) -> _Side:
        row, run = self._store.row(id), read_run(self._store, id)
        if row is None or run is None:
            raise unknown_run(id)
        return _Side(self._store, row, run)


def _runs(one: _Side, other: _Side, path: str) -> Iterator[Parting]:
    own = path.removesuffix("/") or None
    before, now = started_of(one.run), started_of(other.run)
    if before.program != now.program:
        yield Parting(own, What.PROGRAM, before.program, now.program)
    if not path:
        yield from _values(own, What.INPUT, one.value(before.input), other.value(now.input))
    for id in dict.fromkeys([*one.run.steps, *other.run.steps]):
        yield from _steps(one, other, one.run.steps.get(id), other.run.steps.get(id), f"{path}{id}")
    if path:
        return  # how a child run ended stands in the step that started it
    if one.run.status is not other.run.status:
        yield Parting(own, What.STATUS, one.run.status, other.run.status)
    elif one.run.ended is not None and other.run.ended is not None:
        ends = one.value(one.run.ended.output), other.value(other.run.ended.output)
        yield from _outputs(own, ends, one.run.status not in _GOOD)


def _steps(one: _Side, other: _Side, old: Step | None, new: Step | None, path: str) -> Iterator[Parting]:
    if old is None or new is None:
        yield Parting(path, What.LESS if new is None else What.MORE, _is(old), _is(new))
        return
    before, now = old.proposal, new.proposal
    if before is not None and now is not None and (before.call, before.target) != (now.call, now.target):
        yield Parting(path, What.TARGET, f"{before.call} {before.target}", f"{now.call} {now.target}")
    yield from _values(path, What.INPUT, one.value(old.input), other.value(new.input))
    below, beside = one.child(old), other.child(new)
    if below is not None and beside is not None:
        yield from _runs(below, beside, f"{path}/")
    if old.status is not new.status:
        yield Parting(path, What.STATUS, old.status, new.status)
    else:
        ends = one.value(old.output), other.value(new.output)
        yield from _outputs(path, ends, old.status is StepStatus.FAILED)


def _outputs(step: str | None, ends: tuple[Any, Any], are_errors: bool) -> Iterator[Parting]:
    before, now = ends
    if are_errors:
        before, now = error_parts(before), error_parts(now)
    yield from _values(step, What.OUTPUT, before, now)


def _values(step: str | None, what: What, before: Any, now: Any) -> Iterator[Parting]:
    if (pointer := difference(before, now)) is not None:
        yield Parting(step, what, at(before, pointer), at(now, pointer), pointer)


def _is(step: Step | None) -> str:
    if step is None:
        return "nothing"
    return f"{step.proposal.target} {step.status}" if step.proposal else str(step.status)
