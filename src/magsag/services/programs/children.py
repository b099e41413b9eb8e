"""Child runs: begun, driven and ended in the leg of their parent, under its lease."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from magsag.catalog.bundle import Bundle
from magsag.domain import facts
from magsag.domain.effects import Level
from magsag.domain.errors import ErrorType, StepFailed, Stopped
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId, StepId, child_run_id
from magsag.engine.closing import closing
from magsag.engine.run import Run, wake
from magsag.ports.clock import Clock
from magsag.ports.ledger import Change, Ledger, Store
from magsag.services.gate.outcomes import error_bytes
from magsag.services.programs.below import error_below, started_below
from magsag.services.programs.detached import DetachedRuns, is_detached
from magsag.services.recording.recorder import Recorder
from magsag.services.steps.attempt import ChildEnd, ChildPlace
from magsag.services.steps.beginnings import deadline_ahead, new_run, parked, read_run
from magsag.services.steps.seat import Ended, Leg, Seat


class Conductor(Protocol):
    """Runs programs; `services.programs.programs`."""

    def seat(self, leg: Leg, run: Run, bundle: Bundle, above: ChildPlace | None = None) -> Seat:
        """Give a run its place in a leg."""

    async def conduct(self, seat: Seat) -> Ended:
        """Run its program to the end. Raises Stopped, CancelledError."""


class ChildRuns:
    """The gate's way to child runs."""

    def __init__(self, conductor: Conductor, recorder: Recorder, store: Store, clock: Clock) -> None:
        self._conductor = conductor
        self._recorder = recorder
        self._ledger: Ledger = store
        self.detached = DetachedRuns(recorder, store, clock)
        self._clock = clock
        self.clear: Callable[[Seat], Awaitable[None]] | None = None
        """clears up what a run of an earlier leg has left behind"""

    async def run(self, place: ChildPlace, input: bytes) -> ChildEnd:
        """Start or go on with the child run of a step, in this leg, or wait for a detached one."""
        if is_detached(place):
            return await self.detached.run(place, input)
        leg, parent = place.seat.leg, place.seat.run
        child = child_run_id(parent.id, place.step, place.attempt)
        run = leg.tree.runs.get(child) or self._read(leg, child) or self._begin(place, child, input)
        leg.tree.runs[child] = run
        if run.ended is None:
            await self._conduct_child(place, run)
        assert run.ended is not None
        head = leg.tree.heads.get(child, b"").hex()
        if run.ended.status in (RunStatus.SUCCEEDED, RunStatus.PARTIAL):
            return ChildEnd(run.ended.output, None, head, run.ended.status is RunStatus.PARTIAL)
        return ChildEnd(None, error_below(place, run.ended), head)

    async def give_up(self, place: ChildPlace, clear: Callable[[Seat], Awaitable[None]]) -> None:
        """End a child run of an earlier leg whose step was given up; what it left behind may park it instead."""
        if is_detached(place):
            self.detached.give_up(place)
            return
        leg = place.seat.leg
        child = child_run_id(place.seat.run.id, place.step, place.attempt)
        run = leg.tree.runs.get(child) or self._read(leg, child)
        if run is None or run.ended is not None:
            return
        leg.tree.runs[child] = run
        wake(run)
        seat = self._conductor.seat(leg, run, place.seat.targets.bundle, place)
        try:
            await clear(seat)
        except Stopped:
            await self._park_child(place, seat)
        else:
            await self._end_child(leg, run, _given_up())

    async def expire(self, place: ChildPlace) -> bool:
        """End the child run of a step whose time was over when the leg began; False when it has ended by itself.

        Raises Stopped for a doubt in it.
        """
        leg, child = place.seat.leg, child_run_id(place.seat.run.id, place.step, place.attempt)
        known = leg.tree.runs.get(child) or read_run(self._ledger, child)
        if known is not None and known.ended is not None:
            return False
        if is_detached(place):
            self.detached.give_up(place)
            return True
        assert self.clear is not None
        await self.give_up(place, self.clear)
        run = leg.tree.runs.get(child)
        if run is not None and run.ended is None:
            raise Stopped("its child run has no certain end")
        return True

    async def _conduct_child(self, place: ChildPlace, run: Run) -> None:
        leg = place.seat.leg
        if run.status is RunStatus.PARKED:
            wake(run)
            change = Change(RunStatus.RUNNING, updated=self._clock.now())
            self._recorder.propose(leg.tree, run, [], Level.WRITTEN, change=change)
        seat = self._conductor.seat(leg, run, place.seat.targets.bundle, place)
        try:
            ended = await self._conductor.conduct(seat)
        except Stopped:
            await self._park_child(place, seat)
            raise
        except asyncio.CancelledError:
            if place.seat.given_up(place.branch):
                await self._end_child(leg, run, _given_up())
            raise
        await self._end_child(leg, run, ended)
        if ended.status is RunStatus.CANCELLED or leg.expired:
            raise asyncio.CancelledError

    async def _end_child(self, leg: Leg, run: Run, ended: Ended) -> None:
        self.detached.abandon(leg.tree, run)
        now = self._clock.now()
        fact = facts.RunEnded(at=now, status=ended.status, output=ended.output)
        change = Change(ended.status, updated=now)
        await self._recorder.record(leg.tree, run, [*closing(run, now), fact], Level.WRITTEN, change=change)

    async def _park_child(self, place: ChildPlace, seat: Seat) -> None:
        """The child's reasons become the parent's, with the way to the step that waits."""
        if not seat.reasons or seat.leg.tree.lost is not None:
            return
        now = self._clock.now()
        fact = parked(now, seat)
        change = Change(RunStatus.PARKED, fact.on, fact.due, now)
        await self._recorder.record(seat.leg.tree, seat.run, [fact], Level.WRITTEN, change=change)
        deadline = deadline_ahead(seat)
        for reason in seat.reasons:
            due = min((one for one in (reason.due, deadline) if one is not None), default=None)
            step, run = StepId(f"{place.step}/{reason.step}"), reason.run or seat.run.id
            place.seat.reasons.append(replace(reason, step=step, due=due, run=run))

    def _begin(self, place: ChildPlace, child: RunId, input: bytes) -> Run:
        run, fact = Run(child), started_below(place, self._clock, input)
        row = new_run(fact, place.seat.leg.tree.root)
        self._recorder.keep(place.seat.leg.tree, run, fact, create=row)
        return run

    def _read(self, leg: Leg, child: RunId) -> Run | None:
        """A child that an earlier leg began."""
        if not leg.resumed:
            return None
        run = read_run(self._ledger, child)
        if run is not None:
            leg.tree.seqs[child] = run.count
        if run is not None and run.ended is not None:
            stored = self._ledger.read(child, run.count - 1)
            leg.tree.heads[child] = stored[-1].head
        return run


def _given_up() -> Ended:
    return Ended(RunStatus.CANCELLED, error_bytes(StepFailed(ErrorType.RAISED, "the delegating step was given up")))
