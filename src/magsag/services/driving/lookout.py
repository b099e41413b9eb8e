"""Looks after the legs of a process: what others append, when the legs are wanted back, when their time is over.

All of it reaches a program in one way: its task is cancelled, or what it waits for is looked at again.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from magsag.domain import facts
from magsag.domain.errors import StoreBroken
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.engine.chain import unseal
from magsag.engine.evolve import evolve
from magsag.ports.clock import Clock
from magsag.ports.ledger import Ledger
from magsag.services.steps.beginnings import started_of
from magsag.services.steps.seat import Ended, Leg

WATCH_SECONDS: Final = 0.25
"""how often driven trees are compared with the ledger: a cancel request, a signal or a stop is seen within this time"""
_FROM_OTHERS: Final = frozenset({facts.CancelRequested.__name__, facts.SignalReceived.__name__})
"""kinds of facts that are appended to a run by whoever wants to, while it is driven"""


@frozen(eq=False)
class Driven:
    """A leg under way."""

    leg: Leg
    task: "asyncio.Task[Ended]"
    stop: asyncio.Event

    @property
    def root(self) -> RunId:
        """The run at the head of its tree."""
        return self.leg.tree.root

    @property
    def listening(self) -> set[RunId]:
        """The runs of its tree that others may have told something."""
        return {self.root} | self.leg.strands.listening

    def cancel(self) -> None:
        """Break the program off, wherever it is."""
        if not self.task.done():
            self.task.cancel()


class Lookout:
    """Watches while there is a leg."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._legs: dict[RunId, Driven] = {}
        self._timers: dict[RunId, asyncio.TimerHandle] = {}
        self._watching: asyncio.AbstractEventLoop | None = None
        """the loop that watches; one that has ended watches no more"""

    def begin(self, driven: Driven) -> None:
        """Look after this leg from now on."""
        self._legs[driven.root] = driven
        self._await_deadline(driven)
        self._watch()

    def end(self, driven: Driven) -> None:
        """It is over."""
        del self._legs[driven.root]
        if (timer := self._timers.pop(driven.root, None)) is not None:
            timer.cancel()

    def expire(self, leg: Leg) -> bool:
        """Whether the time of its tree is over: then it ends as if it were cancelled, and has failed."""
        deadline = started_of(leg.tree.runs[leg.tree.root]).deadline
        leg.expired = deadline is not None and deadline <= leg.time(self._clock.now())
        return leg.expired

    def _await_deadline(self, driven: Driven) -> None:
        deadline = started_of(driven.leg.tree.runs[driven.root]).deadline
        if deadline is not None:
            left = max(0, deadline - driven.leg.time(self._clock.now())) / 1e6
            loop = asyncio.get_running_loop()
            self._timers[driven.root] = loop.call_later(left, self._end_at_deadline, driven)

    def _end_at_deadline(self, driven: Driven) -> None:
        """The loop's clock says so; the one that counts may have been set back."""
        if self.expire(driven.leg):
            driven.cancel()
        else:
            self._await_deadline(driven)

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        if self._watching is not loop:
            self._watching = loop
            loop.call_later(WATCH_SECONDS, self._look)

    def _look(self) -> None:
        """Has somebody appended to what is driven, does the process want its legs back?"""
        self._watching = None
        if not self._legs:
            return
        self._listen()
        for driven in self._legs.values():
            if driven.stop.is_set() and not driven.leg.stopping:
                driven.leg.stopping = True
                driven.cancel()
        self._watch()

    def _listen(self) -> None:
        """A store that cannot be asked is asked again with the next look; nothing else ends the watch either.

        A detached child run that is driven here too is listened to twice: by its own leg, and where it is waited for.
        """
        heard: dict[RunId, list[Driven]] = {}
        for driven in self._legs.values():
            for run in driven.listening:
                heard.setdefault(run, []).append(driven)
        try:
            seqs = self._ledger.seqs(list(heard))
        except Exception as error:
            _deaf(self._legs.values(), error)
            return
        told = [(run, seq, driven) for run, seq in seqs.items() for driven in heard[run]]
        for run, seq, driven in told:
            if seq > driven.leg.tree.seqs.get(run, 0):
                try:
                    self._hear(run, driven)
                except Exception as error:
                    _deaf([driven], error)

    def _hear(self, run: RunId, driven: Driven) -> None:
        """Fold what others wrote: signals, and a cancel request, which reaches the whole tree."""
        tree, events = driven.leg.tree, []
        if run not in tree.runs:
            driven.leg.strands.stirred(run)
            return
        for stored in self._ledger.read(run, tree.seqs.get(run, 0)):
            tree.seqs[run] = stored.seq
            if stored.kind not in _FROM_OTHERS:
                continue
            fact = unseal(stored)
            evolve(tree.runs[run], fact)
            if isinstance(fact, facts.SignalReceived):
                events.append(fact.event)
            elif isinstance(fact, facts.CancelRequested) and run == tree.root:
                driven.leg.cancelled_by = fact.by
                driven.cancel()
        driven.leg.strands.signalled(run, events)


def _deaf(legs: Iterable[Driven], error: Exception) -> None:
    """What should not have been raised: a leg that cannot hear of a cancel request may not go on."""
    if isinstance(error, StoreBroken):
        return
    for driven in legs:
        said = f"run {driven.root}: what others wrote to it cannot be read: {type(error).__name__}: {error}"
        driven.leg.tree.lose(StoreBroken(said))
