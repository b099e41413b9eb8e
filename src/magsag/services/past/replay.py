"""Replays a recorded run offline: its program runs again, and every step is answered from the record.

No model, tool, clock, chance or network: there is nothing here that could act, and nothing that writes. Each run of
the tree is replayed by itself. Same facts, or the first difference, is the answer. How a step is answered:
`services.past.reading`; in which order: `services.past.course`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from magsag.catalog.bundle import Bundle
from magsag.domain.errors import Invalid, Stopped
from magsag.domain.facts import ParkedOn, RunScored, RunStatus
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId
from magsag.engine.run import Run, wake
from magsag.policy.rules import Policies
from magsag.ports.ledger import Lease, RunQuery, Store
from magsag.services.past.course import Course
from magsag.services.past.difference import Difference, What, difference, error_parts
from magsag.services.past.reading import NoModels, Reading, RecordedClock
from magsag.services.programs.programs import Programs
from magsag.services.recording.driven import Tree
from magsag.services.recording.known import known_row
from magsag.services.recording.large import Values
from magsag.services.recording.notebook import Notebook
from magsag.services.steps.beginnings import read_run, started_of
from magsag.services.steps.seat import Ended, Leg, Seat

_LOOK_SECONDS: Final = 0.05
"""a replay that only waits is looked at this often; two looks without a move end it"""
_GOOD: Final = frozenset({RunStatus.SUCCEEDED, RunStatus.PARTIAL})


@frozen
class Replayed:
    """What a replay found."""

    run: RunId
    runs: int
    """how many runs were replayed, the one asked for and those below it"""
    steps: int
    """how many steps were answered from the record"""
    difference: Difference | None


class Replay:
    """Replays runs of a store."""

    def __init__(self, store: Store, pinned: Callable[[str], Bundle], load: Callable[[Path], Bundle]) -> None:
        """`pinned` finds a bundle by its hash, `load` reads one from a folder."""
        self._store = store
        self._pinned = pinned
        self._load = load

    async def replay(self, run: RunId, catalog: str | None = None) -> Replayed:
        """Replay a run and all below it, on its pinned bundle or on a catalog's code.

        Raises Invalid for an unknown run and an erased one, and for a folder that is no catalog or lacks the program.
        """
        today = self._load(_catalog_root(catalog)) if catalog is not None else None
        row = known_row(self._store, run)
        rows = self._store.rows(RunQuery(root=row.root, roots_only=False, limit=None))
        below = [one.run for one in rows if one.run.startswith(f"{run}.")]
        runs = steps = 0
        for id in (run, *below):
            found = read_run(self._store, id)
            assert found is not None
            if found.erased_by is not None:
                raise Invalid(f"run {id}: payloads of it were erased, so it cannot be replayed")
            course, difference = await self._one(row.root, found, today)
            runs, steps = runs + 1, steps + len(course.asked & course.recorded.keys())
            if difference is not None:
                return Replayed(run, runs, steps, difference)
        return Replayed(run, runs, steps, None)

    async def _one(self, root: RunId, run: Run, today: Bundle | None) -> tuple[Course, Difference | None]:
        started = started_of(run)
        bundle = today if today is not None else self._pinned(started.bundle)
        course = Course.of(run, _replica(run))
        replica = course.run
        replica.started = replace(started, program=_program(bundle, started.program))
        clock = RecordedClock(run.at)
        notebook = Notebook(self._store, clock)
        values = Values(notebook, self._store, clock)
        gate = Reading(course, notebook, values, self._store, clock)
        programs = Programs(gate, notebook, values, self._store, clock, Policies((), ""), NoModels())
        leg = Leg(Tree(root, Lease(root, "", 0), {run.id: replica}))
        wake(replica)
        seat = programs.seat(leg, replica, bundle)
        ended = await _conduct(programs, seat, course)
        scored = [fact for _, fact in notebook.facts if isinstance(fact, RunScored)]
        return course, _Finding(run, course, seat, values).first(ended, run.scores, scored)


def _catalog_root(folder: str) -> Path:
    """A catalog's folder, or the `catalog` of a project's."""
    given = Path(folder).absolute()
    inner = given / "catalog"
    root = inner if inner.is_dir() and not (given / "agents").is_dir() else given
    if not root.is_dir():
        raise Invalid(f"{folder}: there is no such folder; name a catalog, or a project that has one")
    return root


def _replica(run: Run) -> Run:
    """A copy that may grow: the same steps, without scores and end, which the replay gives again."""
    return replace(run, ended=None, steps=dict(run.steps), scores=[], cancel_by=None, signals={})


def _program(bundle: Bundle, ref: str) -> str:
    """The exact reference in this bundle; of another catalog the newest version."""
    try:
        return bundle.find(ref).ref
    except Invalid:
        return bundle.find(ref.partition("@")[0]).ref


async def _conduct(programs: Programs, seat: Seat, course: Course) -> Ended | None:
    """Let the program run until it ends, is dropped (None), or can only wait (None)."""
    task = asyncio.ensure_future(programs.conduct(seat))
    seen = -1
    while not task.done():
        await asyncio.wait({task}, timeout=_LOOK_SECONDS)
        if course.is_still and course.moves == seen:
            break
        seen = course.moves
    if not task.done():
        seat.leg.stopping = True
        task.cancel()
        await asyncio.wait({task})
        return None
    error = task.exception()
    if error is None:
        return task.result()
    if not isinstance(error, Stopped):
        raise error
    return None


@frozen
class _Finding:
    """Says what the first difference is, once a replay has come as far as it can."""

    run: Run
    course: Course
    seat: Seat
    values: Values

    def first(self, ended: Ended | None, scores: list[RunScored], scored: list[RunScored]) -> Difference | None:
        course = self.course
        if course.first is not None and not self._was_known(course.first):
            return course.first
        if course.is_open:
            return None
        if ended is None and not self.seat.reasons and course.beyond is not None:
            step, said = course.beyond
            return self._beyond(step, said)
        if (missing := course.missing()) is not None:
            target = missing.proposal.target if missing.proposal else str(missing.status)
            return self._made(missing.id, What.LESS, f"the record has this step ({target}), now it is not asked for")
        if (wrong := self._score(scores, scored)) is not None:
            return wrong
        return self._parked(ended) if self.run.ended is None else self._end(ended)

    def _was_known(self, found: Difference) -> bool:
        """A run that parked on its divergence diverges again: that is its record."""
        at = found.step
        return any(reason.on is ParkedOn.DIVERGENCE and reason.step == at for reason in self.run.reasons)

    def _beyond(self, step: StepId, said: str) -> Difference:
        missing = self.course.missing()
        if missing is not None and step not in self.course.recorded:
            said += f"; it has {missing.id} where nothing was asked for"
        return self._made(step, What.MORE, said)

    def _score(self, scores: list[RunScored], scored: list[RunScored]) -> Difference | None:
        before = {(one.evaluation, one.on): one for one in scores}
        now = {(one.evaluation, one.on): one for one in scored}
        for key in dict.fromkeys([*before, *now]):
            old, new = before.get(key), now.get(key)
            name = f"evaluation {key[0]} of its {key[1]}"
            if old is None or new is None:
                has = "has no scores on record" if old is None else "gives no scores now"
                return self._made(None, What.SCORE, f"{name} {has}")
            if old.scores != new.scores:
                return self._made(None, What.SCORE, f"{name} gives other scores")
        return None

    def _parked(self, ended: Ended | None) -> Difference | None:
        if ended is not None:
            return self._made(None, What.END, f"the record has it parked, now it ends: {ended.status}")
        before = {(reason.on, reason.step) for reason in self.run.reasons}
        now = {(reason.on, reason.step) for reason in self.seat.reasons}
        for on, step in sorted(before ^ now):
            which = "the record has it waiting" if (on, step) in before else "now it waits"
            return self._made(step, What.END, f"{which} for {on} here")
        return None

    def _end(self, ended: Ended | None) -> Difference | None:
        recorded = self.run.ended
        assert recorded is not None
        if ended is None:
            waits = ", ".join(f"{reason.on} at step {reason.step}" for reason in self.seat.reasons) or "nothing it has"
            return self._made(None, What.END, f"the record ends {recorded.status}, now it waits for {waits}")
        before, now = self._value(recorded.output), self._value(ended.output)
        if recorded.status is not ended.status:
            said = f"the record ends {recorded.status}, now it ends {ended.status}"
            why = f": {error_parts(now).get('message')}" if ended.status not in _GOOD else ""
            return self._made(None, What.END, said + why)
        if recorded.output is None:
            return None
        if recorded.status not in _GOOD:
            before, now = error_parts(before), error_parts(now)
        if (pointer := difference(before, now)) is not None:
            return self._made(None, What.OUTPUT, f"its {recorded.status} output differs at {pointer}", pointer)
        return None

    def _value(self, data: bytes | None) -> Any:
        return self.values.decode(self.seat.leg.tree, data)

    def _made(self, step: StepId | None, what: What, said: str, pointer: str | None = None) -> Difference:
        return Difference(self.run.id, step, what, said, pointer)
