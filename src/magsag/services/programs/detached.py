"""Detached child runs: trees of their own, which any process may drive, and which their parent waits for.

The parent's step parks on `child` when nothing else goes on in its leg. Child and parent are bound by three commits:
the child comes into being with the step that asks for it, its end wakes the parent in the same commit, and whoever
gives the step up asks the child to cancel before that is on record. So a crash between two of them loses nothing.
"""

import asyncio
from typing import Final

from magsag.domain import facts
from magsag.domain.effects import Level
from magsag.domain.errors import Stopped
from magsag.domain.facts import ENDS, ParkedOn, ParkReason, RunStatus, StepStatus
from magsag.domain.ids import RunId, child_run_id
from magsag.domain.large import MARK_BYTES
from magsag.domain.values import encode_known
from magsag.domain.verdicts import DETACH
from magsag.engine.chain import seal, unseal
from magsag.engine.evolve import evolve
from magsag.engine.run import Run, Step
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store, Write
from magsag.services.programs.below import error_below, started_below
from magsag.services.recording.driven import Tree
from magsag.services.recording.large import plain, set_apart
from magsag.services.recording.recorder import Recorder
from magsag.services.steps.attempt import ChildEnd, ChildPlace
from magsag.services.steps.beginnings import new_run
from magsag.services.steps.target import ChildAct

_ENDED: Final = "ended"
"""what a strand that waits for a child run listens for"""


class DetachedRuns:
    """The way to child runs that are trees of their own."""

    def __init__(self, recorder: Recorder, store: Store, clock: Clock) -> None:
        self._recorder = recorder
        self._store = store
        self._clock = clock

    async def run(self, place: ChildPlace, input: bytes) -> ChildEnd:
        """Begin the child run of a step, or wait for it. Raises Stopped when the parent parks on it."""
        leg, child = place.seat.leg, _child(place)
        try:
            known = self._read(child)
            if known is None:
                await self._begin(place, child, input)
                known = self._read(child)
            assert known is not None
            while (ended := known[0].ended) is None:
                leg.tree.seqs[child] = known[0].count
                if not await leg.strands.rest(child, _ENDED, None):
                    self._park(place, child)
                known = self._read(child) or known
        except asyncio.CancelledError:
            if place.seat.given_up(place.branch):
                self.give_up(place)
            raise
        if ended.status not in (RunStatus.SUCCEEDED, RunStatus.PARTIAL):
            return ChildEnd(None, error_below(place, ended), known[1])
        output = encode_known(plain(self._store, child, ended.output))
        return ChildEnd(output, None, known[1], ended.status is RunStatus.PARTIAL)

    def give_up(self, place: ChildPlace) -> None:
        """Ask the child run of a step to cancel."""
        self._cancel(place.seat.leg.tree, _child(place), f"run {place.seat.run.id}")

    def abandon(self, tree: Tree, run: Run) -> None:
        """A run ends: what it still waits for is cancelled."""
        for step in run.steps.values():
            if waits_for_detached(step):
                self._cancel(tree, child_run_id(run.id, step.id, max(1, step.attempt)), f"run {run.id}")

    def wake_above(self, run: Run) -> list[Write]:
        """What wakes the parent of a detached run that ends, for the commit of its end."""
        started = run.started
        if started is None or started.lineage is None or started.parent is None:
            return []
        row = self._store.row(started.parent)
        return [] if row is None else [Write(row.root, row.root, [], wake=self._clock.now())]

    async def _begin(self, place: ChildPlace, child: RunId, input: bytes) -> None:
        """On disk with the step or not at all, by the lease of its parent, before anybody can drive it."""
        tree, run = place.seat.leg.tree, place.seat.run
        if MARK_BYTES in input:
            await self._recorder.record(tree, run, [], Level.WRITTEN)
            input = encode_known(plain(self._store, tree.root, input))
        data, blobs = set_apart(input, self._clock)
        fact = started_below(place, self._clock, data, place.seat.lineage)
        first = [seal(fact, self._clock.chance(16))]
        write = Write(child, child, first, create=new_run(fact, child), blobs=blobs, under=tree.lease)
        await self._recorder.record(tree, run, [], Level.SYNCED, beside=[write])

    def _park(self, place: ChildPlace, child: RunId) -> None:
        limited = place.target.timeout_seconds is not None
        due = place.seat.run.steps[place.step].act_by if limited else None
        said = f"the detached run {child} has not ended"
        place.seat.reasons.append(ParkReason(ParkedOn.CHILD, place.step, said, due, None, child))
        raise Stopped(said)

    def _cancel(self, tree: Tree, child: RunId, by: str) -> None:
        """Whoever lost the lease has no say any more; the child's driver hears of it, or whoever takes it next."""
        row = self._store.row(child)
        if row is None or row.status in ENDS or tree.lost is not None:
            return
        fact = facts.CancelRequested(at=self._clock.now(), by=by)
        asked = [seal(fact, self._clock.chance(16))]
        self._store.write([Write(child, child, asked, wake=fact.at, under=tree.lease)], Level.WRITTEN)

    def _read(self, child: RunId) -> tuple[Run, str] | None:
        """The run as its facts made it, and its chain at its end."""
        run, head = Run(child), ""
        for stored in self._store.read(child):
            fact = unseal(stored)
            evolve(run, fact)
            if isinstance(fact, facts.RunEnded):
                head = stored.head.hex()
        return (run, head) if run.started is not None else None


def waits_for_detached(step: Step) -> bool:
    """Whether the outcome of a step is still to come from a tree of its own."""
    return step.status is StepStatus.STARTED and step.proposal is not None and step.proposal.call == DETACH


def is_detached(place: ChildPlace) -> bool:
    """Whether the child run of a step is a tree of its own."""
    return isinstance(place.target.act, ChildAct) and place.target.act.detached


def _child(place: ChildPlace) -> RunId:
    return child_run_id(place.seat.run.id, place.step, place.attempt)
