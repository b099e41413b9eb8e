"""The loop: drives one run tree for one leg, from taking the lease to giving it back.

It folds the ledger, lets the program run, and records how the leg ended: finished, parked or yielded. No
business words in here; what a step needs is decided at the gate.
"""

import asyncio
from contextlib import suppress
from typing import Final

from magsag.domain import facts
from magsag.domain.effects import Level
from magsag.domain.errors import ErrorType, Invalid, LeaseLost, LedgerClosed, StepFailed, Stopped, StoreBroken
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.engine.chain import unseal
from magsag.engine.closing import closing
from magsag.engine.evolve import evolve
from magsag.engine.run import Run, wake
from magsag.ports.clock import Clock
from magsag.ports.ledger import Change, Lease, Occupied, RunQuery, Store, Write
from magsag.ports.runner import Busy, Finished, Parked, Told, Yielded
from magsag.services.driving.lookout import WATCH_SECONDS, Driven, Lookout
from magsag.services.gate.outcomes import error_bytes
from magsag.services.programs.programs import Programs
from magsag.services.recording.driven import Tree
from magsag.services.recording.keeper import Keeper
from magsag.services.recording.known import known_row
from magsag.services.recording.recorder import Recorder
from magsag.services.steps.beginnings import parked, read_run, started_of
from magsag.services.steps.bundles import Bundles
from magsag.services.steps.seat import Ended, Leg, Seat

_OPEN: Final = frozenset({RunStatus.RUNNING, RunStatus.PARKED})


class Drive:
    """Legs (see ports.runner) for all runs of a process."""

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        programs: Programs,
        bundles: Bundles,
        clock: Clock,
        keeper: Keeper,
        lease_seconds: float,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._programs = programs
        self._bundles = bundles
        self._clock = clock
        self._keeper = keeper
        self._lease_seconds = lease_seconds
        self._begun: dict[RunId, tuple[Tree, Run]] = {}
        self._driving: set[RunId] = set()
        self._lookout = Lookout(store, clock)

    def begun(self, tree: Tree, run: Run) -> None:
        """A run that this process has just created: its first leg need not read it again."""
        self._begun[run.id] = tree, run

    def forget(self, run: RunId) -> None:
        """Somebody has appended to it meanwhile: its first leg has to read it after all."""
        self._begun.pop(run, None)

    def hand_over(self, run: RunId) -> None:
        """A run that this process has just created is for whoever takes it."""
        if (begun := self._begun.pop(run, None)) is not None:
            self._store.release(begun[0].lease)

    def due(self, limit: int) -> list[RunId]:
        """Runs that want a leg and have no live driver. Raises LedgerClosed for a ledger that was moved."""
        if (closure := self._store.closure()) is not None:
            raise LedgerClosed(closure.why())
        return self._store.due(self._clock.now(), limit)

    async def drive(self, run: RunId, stop: asyncio.Event) -> Told:
        """Drive one leg. Raises Broken when the store cannot be reached, Invalid for an unknown run.

        Of two legs of one run in this process the second is told Busy: a lease knows owners, not legs.
        """
        if run in self._driving:
            return Busy(WATCH_SECONDS)
        self._driving.add(run)
        try:
            found = self._begun.pop(run, None) or self._take(run)
            if isinstance(found, Occupied):
                return Busy(found.seconds)
            if isinstance(found, RunStatus):
                return Finished(found)
            tree, state = found
            with self._keeper:
                return await self._leg(*self._seated(tree, state), stop)
        finally:
            self._driving.discard(run)

    def _take(self, id: RunId) -> tuple[Tree, Run] | Occupied | RunStatus:
        """Take the lease and fold the ledger."""
        row = known_row(self._store, id)
        if row.root != id:
            raise Invalid(f"run {id} is a part of run {row.root}: drive that")
        if row.status not in _OPEN:
            return row.status
        lease = self._store.acquire(id, self._store.owner(), self._lease_seconds)
        if isinstance(lease, Occupied):
            return lease
        try:
            run = read_run(self._store, id)
            assert run is not None
            if run.status is RunStatus.PARKED:
                self._unpark(lease, run)
        except BaseException:
            self._give_back(lease)
            raise
        if run.ended is not None:
            self._store.release(lease)
            return run.ended.status
        return Tree(id, lease, {id: run}, seqs={id: run.count}), run

    def _unpark(self, lease: Lease, run: Run) -> None:
        """From here on whoever appends to it makes its next park due; what came before is read now."""
        change = Change(RunStatus.RUNNING, updated=self._clock.now())
        self._store.write([Write(run.id, run.id, [], lease, change=change)], Level.WRITTEN)
        for stored in self._store.read(run.id, run.count):
            evolve(run, unseal(stored))
        wake(run)

    def _seated(self, tree: Tree, run: Run) -> tuple[Leg, Seat]:
        """Raises StoreBroken, Invalid when the bundle of the run cannot be had; the lease is given back then."""
        leg = Leg(tree, resumed=run.count > 1, cancelled_by=run.cancel_by, began=self._clock.now())
        try:
            started = started_of(run)
            bundle = self._bundles.find_fit(started.bundle, run.id)
            self._bundles.require_enforceable(bundle, started.program)
            return leg, self._programs.seat(leg, run, bundle)
        except BaseException:
            self._give_back(tree.lease)
            raise

    async def _leg(self, leg: Leg, seat: Seat, stop: asyncio.Event) -> Told:
        """However a leg raises, its lease is given back: who is next need not wait until it ends."""
        try:
            return await self._conducted(leg, seat, stop)
        except BaseException as error:
            self._give_back(leg.tree.lease)
            if isinstance(error, LeaseLost):
                return Busy(self._lease_seconds)
            raise

    async def _conducted(self, leg: Leg, seat: Seat, stop: asyncio.Event) -> Told:
        """Raises LeaseLost, StoreBroken, and what a program should not have raised."""
        self._recorder.enter()
        self._lookout.expire(leg)
        task = asyncio.ensure_future(self._programs.conduct(seat))
        driven = Driven(leg, task, stop)
        leg.tree.when_lost = driven.cancel
        self._lookout.begin(driven)
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                leg.stopping = True
                driven.cancel()
        self._lookout.end(driven)
        return await self._told(seat, task)

    async def _told(self, seat: Seat, task: "asyncio.Task[Ended]") -> Told:
        """Commit how the leg ended, then say it. Raises LeaseLost, StoreBroken."""
        if seat.leg.tree.lost is None and not task.cancelled():
            error = task.exception()
            if error is None:
                return await self._finish(seat, task.result())
            if seat.reasons and isinstance(error, Stopped):
                return await self._park(seat)
            if not isinstance(error, Stopped):
                await self._recorder.settle()
                raise error
        return await self._given_back(seat)

    async def _given_back(self, seat: Seat) -> Told:
        """Neither an end nor a park: the tree is lost to us, or the process wants its legs back."""
        tree = seat.leg.tree
        await self._recorder.settle()
        if tree.lost is not None:
            raise tree.lost
        self._store.release(tree.lease)
        return Yielded()

    async def _finish(self, seat: Seat, ended: Ended) -> Told:
        """The end of a tree: child runs that still wait somewhere end with it."""
        tree, now = seat.leg.tree, self._clock.now()
        open_runs = self._open(seat.leg)
        for run in (seat.run, *open_runs):
            self._programs.detached.abandon(tree, run)
        for open_run in open_runs:
            output = error_bytes(StepFailed(ErrorType.RAISED, f"its tree ended: {ended.status}"))
            for left in closing(open_run, now):
                self._recorder.keep(tree, open_run, left)
            fact = facts.RunEnded(at=now, status=RunStatus.CANCELLED, output=output)
            self._recorder.keep(tree, open_run, fact, change=Change(RunStatus.CANCELLED, updated=now))
        fact = facts.RunEnded(at=now, status=ended.status, output=ended.output)
        change = Change(ended.status, updated=now)
        last, above = [*closing(seat.run, now), fact], self._programs.detached.wake_above(seat.run)
        await self._recorder.record(tree, seat.run, last, Level.SYNCED, change=change, release=True, beside=above)
        return Finished(ended.status)

    def _open(self, leg: Leg) -> list[Run]:
        """Descendants that have not ended, those of earlier legs included."""
        tree = leg.tree
        found = [run for run in tree.runs.values() if run.ended is None and run.id != tree.root]
        if leg.resumed:
            rows = self._store.rows(RunQuery(root=tree.root, roots_only=False, limit=None))
            elsewhere = [row.run for row in rows if row.status in _OPEN and row.run not in tree.runs]
            found += [run for id in elsewhere if (run := read_run(self._store, id)) is not None]
        return found

    async def _park(self, seat: Seat) -> Told:
        tree, run = seat.leg.tree, seat.run
        fact = parked(self._clock.now(), seat)
        change = Change(RunStatus.PARKED, fact.on, fact.due, fact.at)
        await self._recorder.record(tree, run, [fact], Level.SYNCED, change=change, release=True)
        below = (reason.run for reason in seat.reasons if reason.on is facts.ParkedOn.CHILD)
        return Parked(fact.due, seat.reasons[0].reason, tuple(dict.fromkeys(run for run in below if run is not None)))

    def _give_back(self, lease: Lease) -> None:
        with suppress(StoreBroken):
            self._store.release(lease)
