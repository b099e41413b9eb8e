"""Group commit: what all runs of a process propose in one turn of the loop becomes one transaction.

A kept fact is believed at once and written soon; a recorded fact is believed at once and awaited until it is
written or synced. When a commit fails or a lease is lost, the whole tree is dropped from memory: nothing of it
may go on, the next leg reads it again.

A ticket that somebody changed drops all that was proposed with it for the run, but for the outcomes of acts that had
begun before: what happened has happened.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final

from magsag.domain.budget import Settle
from magsag.domain.effects import Level
from magsag.domain.errors import Broken, Invalid, StoreBroken
from magsag.domain.facts import Fact, StepFailed, StepStarted, StepStatus, StepSucceeded
from magsag.domain.ids import RunId, StepId
from magsag.engine.chain import seal
from magsag.engine.charging import charged, settles
from magsag.engine.evolve import evolve
from magsag.engine.run import Run
from magsag.ports.clock import Clock
from magsag.ports.ledger import Change, Declined, Ledger, NewRun, Record, Sealed, TicketRow, Write, Written
from magsag.ports.standing_approvals import Leaning
from magsag.services.recording.commits import Commit, Intent, Outcome, Proposed, Taken, lost_by
from magsag.services.recording.driven import Tree

KEPT_SECONDS: Final = 0.05
"""how long a kept fact may stay in memory alone while the loop is not busy committing"""
KEPT_FACTS: Final = 512
SLOW_SECONDS: Final = 0.002
"""commits slower than this go to a thread of their own, so that the loop stays responsive"""


@dataclass(slots=True)
class _Pending:
    tree: Tree
    facts: list[Sealed] = field(default_factory=list)
    create: NewRun | None = None
    change: Change | None = None
    release: bool = False
    blobs: dict[str, bytes] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    tickets: list[TicketRow] = field(default_factory=list)
    leans: list[Leaning] = field(default_factory=list)
    settles: list[Settle] = field(default_factory=list)
    beside: list[Write] = field(default_factory=list)
    """to other trees, in the same commit"""
    begun: set[StepId] = field(default_factory=set)
    """steps that the facts begin"""
    outcomes: list[Outcome] = field(default_factory=list)
    """those of the facts that say how an act ended which had begun before"""


class Recorder:
    """The one way of this process to the ledger for facts of driven runs. Belongs to one event loop at a time."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._pending: dict[RunId, _Pending] = {}
        self._waiting: list[Commit] = []
        self._level = Level.KEPT
        self._soon = False
        self._later: asyncio.TimerHandle | None = None
        self._count = 0
        self._pace = 0.0
        self._thread: ThreadPoolExecutor | None = None
        self._in_flight: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.heard: Callable[[RunId, Fact], None] | None = None
        """told of every fact as soon as it is believed, for people who watch; it may not be written yet"""

    def enter(self) -> None:
        """A leg begins in the running loop. What an earlier loop was to do and did not is forgotten."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._soon, self._later, self._in_flight = loop, False, None, None
            self._waiting.clear()

    def keep(
        self, tree: Tree, run: Run, fact: Fact, create: NewRun | None = None, change: Change | None = None
    ) -> None:
        """Believe a fact now; it is written with the next commit, at the latest in KEPT_SECONDS."""
        self._propose(tree, run, fact)
        if create is not None:
            self._pending[run.id].create = create
        if change is not None:
            self._pending[run.id].change = change
        if self._count >= KEPT_FACTS:
            self._flush_soon()
        elif self._later is None and not self._soon:
            self._later = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._lapse)

    async def record(
        self,
        tree: Tree,
        run: Run,
        facts: Sequence[Fact],
        level: Level,
        *,
        create: NewRun | None = None,
        change: Change | None = None,
        release: bool = False,
        beside: Sequence[Write] = (),
    ) -> None:
        """Believe facts and wait until they have reached the level, with all that was kept before.

        Raises StoreBroken or LeaseLost (the tree is lost then), Invalid when `create` names a run that exists.
        """
        await self.propose(tree, run, facts, level, create=create, change=change, release=release, beside=beside)
        if tree.lost is not None:
            raise tree.lost

    def propose(
        self,
        tree: Tree,
        run: Run,
        facts: Sequence[Fact],
        level: Level,
        *,
        create: NewRun | None = None,
        change: Change | None = None,
        release: bool = False,
        records: Sequence[Record] = (),
        tickets: Sequence[TicketRow] = (),
        leans: Sequence[Leaning] = (),
        beside: Sequence[Write] = (),
    ) -> Commit:
        """The same without waiting; when the future ends, either they have reached the level or the tree is lost.

        `beside` are writes to other trees, in the same commit; nobody is told when one of them is declined.
        """
        begun_before = bool(facts) and not tickets and all(self._is_outcome(run, fact) for fact in facts)
        for fact in facts:
            self._propose(tree, run, fact)
        pending = self._pending.get(run.id)
        if pending is None:
            pending = self._pending[run.id] = _Pending(tree)
        done = Commit(loop=asyncio.get_running_loop())
        if begun_before:
            ended = {fact.step for fact in facts if isinstance(fact, StepSucceeded | StepFailed)}
            back = [one for one in pending.settles if one.step in ended]
            pending.outcomes.append(Outcome(pending.facts[-len(facts) :], records, back, done))
        pending.create = create or pending.create
        pending.change = change or pending.change
        pending.release = release or pending.release
        if records or tickets or leans or beside:
            pending.records.extend(records)
            pending.tickets.extend(tickets)
            pending.leans.extend(leans)
            pending.beside.extend(beside)
        self._await(done, level)
        return done

    def intend(
        self, tree: Tree, run: Run, fact: StepStarted, level: Level, write: "Callable[[Sealed], Write]"
    ) -> Intent:
        """Propose an intent that takes from budgets, as a write of its own that is believed after its commit."""
        if tree.lost is not None:
            raise tree.lost
        proposed = Proposed(tree, run, fact, write(seal(fact, self._clock.chance(16))), self.heard)
        done = Intent(loop=asyncio.get_running_loop()).about(proposed)
        self._await(done, level)
        return done

    def append(self, tree: Tree, run: Run, fact: Fact) -> None:
        """Write a fact at once, whoever drives the run now; it is lost when the store is broken."""
        write = Write(run.id, tree.root, [seal(fact, self._clock.chance(16))])
        self._commit([write], Level.WRITTEN)

    def add_blob(self, tree: Tree, run: Run, id: str, data: bytes) -> None:
        """A large value goes with the run's next commit."""
        self._pending.setdefault(run.id, _Pending(tree)).blobs[id] = data

    async def settle(self) -> None:
        """Wait until everything proposed so far is written; errors show in the trees."""
        while self._pending or self._in_flight is not None:
            done = Commit(loop=asyncio.get_running_loop())
            self._await(done, Level.WRITTEN)
            await asyncio.wait([done])

    def close(self) -> None:
        """Let the writing thread go."""
        if self._thread is not None:
            self._thread.shutdown()

    def _await(self, done: Commit, level: Level) -> None:
        """The next commit has at least this level, and ends it."""
        self._level = max(self._level, level)
        self._waiting.append(done)
        self._flush_soon()

    def _propose(self, tree: Tree, run: Run, fact: Fact) -> None:
        if tree.lost is not None:
            raise tree.lost
        pending = self._pending.get(run.id)
        if pending is not None and pending.tree is not tree and pending.tree.lost is None:
            raise RunExists(f"run {run.id} is being created by this process already")
        back: list[Settle] = []
        if run.holding:
            fact = charged(run, fact)
            back = settles(run, fact)
        sealed = seal(fact, self._clock.chance(16))
        evolve(run, fact)
        if self.heard is not None:
            self.heard(run.id, fact)
        if pending is None or pending.tree is not tree:
            pending = self._pending[run.id] = _Pending(tree)
        pending.facts.append(sealed)
        pending.settles += back
        if isinstance(fact, StepStarted):
            pending.begun.add(fact.step)
        self._count += 1

    def _is_outcome(self, run: Run, fact: Fact) -> bool:
        """Whether it says how an act ended whose intent is on record already."""
        if not isinstance(fact, StepSucceeded | StepFailed) or (step := run.steps.get(fact.step)) is None:
            return False
        pending = self._pending.get(run.id)
        return step.status is StepStatus.STARTED and (pending is None or fact.step not in pending.begun)

    def _lapse(self) -> None:
        self._later = None
        self._level = max(self._level, Level.WRITTEN)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._soon and self._in_flight is None:
            self._soon = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Commit all that is proposed, here or, when commits are slow, in the writing thread."""
        self._soon = False
        if self._later is not None:
            self._later.cancel()
            self._later = None
        # Whoever gives a lease back is written last: nothing of its tree is taken after that. Of a lost tree nothing
        # is: a fact before it may have fallen, and the next leg reads what stands.
        kept = {run: item for run, item in self._pending.items() if item.tree.lost is None}
        pending, self._pending = dict(sorted(kept.items(), key=_gives_back)), {}
        level, self._count = max(self._level, Level.WRITTEN), 0
        now = self._clock.now()
        writes = [_write(run, item, now) for run, item in pending.items()]
        writes += [write for item in pending.values() for write in item.beside]
        taken = Taken()
        for item in pending.values():
            taken.add(item.tree, bool(item.tickets or item.leans), bool(item.begun))
        waiting: list[Commit] = []
        later: list[Commit] = []
        for done in self._waiting:
            (waiting if done.join(writes, taken) else later).append(done)
        self._waiting, self._level = later, level if later else Level.KEPT
        if self._pace > SLOW_SECONDS:
            self._flush_in_thread(pending, writes, level, waiting)
        else:
            self._settled(pending, self._commit_all(pending, writes, level), waiting)
            if later:
                self._flush_soon()

    def _flush_in_thread(
        self,
        pending: dict[RunId, _Pending],
        writes: list[Write],
        level: Level,
        waiting: list[Commit],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="magsag-writer")
        self._in_flight = loop.create_future()

        def finished(answer: asyncio.Future[list[Written | Declined] | Broken]) -> None:
            in_flight, self._in_flight = self._in_flight, None
            if in_flight is not None:
                in_flight.set_result(None)
            self._settled(pending, answer.result(), waiting)
            if self._waiting or self._pending:
                self._flush_soon()

        loop.run_in_executor(self._thread, self._commit_all, pending, writes, level).add_done_callback(finished)

    def _commit_all(
        self, pending: dict[RunId, _Pending], writes: list[Write], level: Level
    ) -> list[Written | Declined] | Broken:
        """Commit; outcomes that fell with somebody else's ticket are committed by themselves."""
        answers = self._commit(writes, level)
        if isinstance(answers, Broken):
            return answers
        fallen = [
            (write, item.outcomes, item.blobs)
            for write, item, answer in zip(writes, pending.values(), answers, strict=False)
            if item.outcomes and item.tree.lost is None and answer == Declined("approval")
        ]
        if fallen:
            again = self._commit([_rescue(*one) for one in fallen], level)
            for (_, outcomes, _), answer in zip(fallen, [] if isinstance(again, Broken) else again, strict=False):
                for outcome in outcomes:
                    outcome.done.rescued = isinstance(answer, Written)
        return answers

    def _commit(self, writes: list[Write], level: Level) -> list[Written | Declined] | Broken:
        began = self._clock.now()
        try:
            return self._ledger.write(writes, level) if writes else []
        except Broken as error:
            return error
        except Exception as error:
            # A bug of the store must not leave those who wait for this commit waiting for ever.
            return StoreBroken(f"the store failed in a way it should not: {type(error).__name__}: {error}")
        finally:
            self._pace += 0.2 * ((self._clock.now() - began) / 1e6 - self._pace)

    def _settled(
        self,
        pending: dict[RunId, _Pending],
        answers: list[Written | Declined] | Broken,
        waiting: list[Commit],
    ) -> None:
        if isinstance(answers, Broken):
            for item in pending.values():
                item.tree.lose(answers)
        else:
            for (run, item), answer in zip(pending.items(), answers, strict=False):
                _believe(run, item, answer)
        for done in waiting:
            done.answered(answers)
        for done in waiting:
            if not done.done():
                done.set_result(None)


def _gives_back(item: tuple[RunId, _Pending]) -> bool:
    return item[1].release


def _write(run: RunId, item: _Pending, now: int) -> Write:
    tree = item.tree
    lease = None if item.create is not None and item.create.owner is not None else tree.lease
    return Write(
        run,
        tree.root,
        item.facts,
        lease,
        item.create,
        item.change,
        item.release,
        item.blobs,
        item.records,
        item.tickets,
        leans=[replace(leaning, at=now) for leaning in item.leans] if item.leans else (),
        settles=item.settles,
    )


def _rescue(write: Write, outcomes: Sequence[Outcome], blobs: dict[str, bytes]) -> Write:
    said = [fact for outcome in outcomes for fact in outcome.facts]
    records = [record for outcome in outcomes for record in outcome.records]
    back = [one for outcome in outcomes for one in outcome.settles]
    return Write(write.run, write.root, said, write.lease, blobs=blobs, records=records, settles=back)


def _believe(run: RunId, item: _Pending, answer: Written | Declined) -> None:
    tree = item.tree
    match answer:
        case Written(seq, head):
            tree.heads[run] = head
            if seq - len(item.facts) == tree.seqs.get(run, 0):
                tree.seqs[run] = seq
        case Declined("exists"):
            tree.lose(RunExists(f"run {run} exists already"))
        case Declined(why):
            tree.lose(lost_by(tree, why))


class RunExists(Broken, Invalid):
    """A run of that id was created meanwhile."""
