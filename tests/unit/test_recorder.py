"""Group commit: what is believed at once, what is written when, and what a failed commit takes with it."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from magsag.adapters.clock import SystemClock
from magsag.adapters.store.memory import MemoryStore
from magsag.domain.approval import TicketState
from magsag.domain.effects import Level
from magsag.domain.errors import Invalid, LeaseLost, StoreBroken
from magsag.domain.facts import StepStarted
from magsag.domain.ids import RunId, StepId
from magsag.engine.chain import unseal
from magsag.engine.run import Run
from magsag.ports.ledger import Declined, Lease, Record, Sealed, Store, TicketRow, Write, Written
from magsag.services.recording.commits import Intent
from magsag.services.recording.driven import Tree
from magsag.services.recording.recorder import KEPT_FACTS, KEPT_SECONDS, Recorder
from magsag.services.steps.beginnings import new_run
from magsag.testing import VirtualTime
from magsag.testing.sample_runs import ticket
from tests.unit.examples import DONE, RUN_STARTED, STARTED, SUCCEEDED

R = RunId("r")


class Noting:
    """Passes everything on, notes each commit, and does as it is told before."""

    def __init__(self, store: Store, before: Callable[[int], None] = lambda number: None) -> None:
        self._store = store
        self._before = before
        self.commits: list[tuple[Level, list[str]]] = []

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        self._before(len(self.commits) + 1)
        self.commits.append((level, [fact.kind for write in writes for fact in write.facts]))
        return self._store.write(writes, level)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Desk:
    """A recorder over a noting store, and one tree that it drives."""

    def __init__(self, before: Callable[[int], None] = lambda number: None, virtual: bool = True) -> None:
        self.time = VirtualTime()
        self.store = Noting(cast(Store, MemoryStore()), before)
        self.recorder = Recorder(cast(Store, self.store), self.time.clock if virtual else SystemClock())
        self._virtual = virtual

    def run(self, work: Callable[["Desk", Tree, Run], Coroutine[Any, Any, Any]]) -> Any:
        async def begun() -> Any:
            self.recorder.enter()
            tree, run = await self.begin(R)
            return await work(self, tree, run)

        return self.time.run(begun()) if self._virtual else asyncio.run(begun())

    async def begin(self, id: RunId) -> tuple[Tree, Run]:
        owner = self.store.owner()
        tree, run = Tree(id, Lease(id, owner, 1)), Run(id)
        create = new_run(RUN_STARTED, id, owner, 60)
        await self.recorder.record(tree, run, [RUN_STARTED], Level.WRITTEN, create=create)
        return tree, run


def done(number: int) -> Any:
    return replace(DONE, step=StepId(f"look#{number}"))


def test_a_kept_fact_is_believed_at_once_and_written_soon() -> None:
    async def work(desk: Desk, tree: Tree, run: Run) -> None:
        desk.recorder.keep(tree, run, done(1))
        assert StepId("look#1") in run.steps
        assert len(desk.store.commits) == 1
        await asyncio.sleep(KEPT_SECONDS * 1.1)
        assert desk.store.commits[1] == (Level.WRITTEN, ["StepDone"])

    Desk().run(work)


def test_many_kept_facts_do_not_wait() -> None:
    async def work(desk: Desk, tree: Tree, run: Run) -> None:
        for number in range(KEPT_FACTS):
            desk.recorder.keep(tree, run, done(number))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(desk.store.commits) == 2

    Desk().run(work)


def test_what_is_proposed_in_one_turn_is_one_commit_at_the_highest_level() -> None:
    async def work(desk: Desk, tree: Tree, run: Run) -> None:
        other_tree, other = await desk.begin(RunId("other"))
        desk.recorder.keep(tree, run, done(1))
        await asyncio.gather(
            desk.recorder.record(tree, run, [STARTED], Level.SYNCED),
            desk.recorder.record(other_tree, other, [done(2)], Level.WRITTEN),
        )
        assert desk.store.commits[2:] == [(Level.SYNCED, ["StepDone", "StepStarted", "StepDone"])]

    Desk().run(work)


def test_a_failed_commit_loses_the_trees_in_it_and_no_other() -> None:
    def fail(number: int) -> None:
        if number == 3:
            raise StoreBroken("the disk is full")

    async def work(desk: Desk, tree: Tree, run: Run) -> None:
        other_tree, other = await desk.begin(RunId("other"))
        lost: list[str] = []
        tree.when_lost = lambda: lost.append("told")
        with pytest.raises(StoreBroken, match="the disk is full"):
            await desk.recorder.record(tree, run, [done(1)], Level.WRITTEN)
        with pytest.raises(StoreBroken):
            desk.recorder.keep(tree, run, done(2))
        assert lost == ["told"]
        await desk.recorder.record(other_tree, other, [done(1)], Level.WRITTEN)

    Desk(_on_third(fail)).run(work)


def _on_third(fail: Callable[[int], None]) -> Callable[[int], None]:
    calls = iter(range(1, 100))
    return lambda number: fail(next(calls))


def test_a_bug_of_the_store_does_not_leave_anybody_waiting() -> None:
    def fail(number: int) -> None:
        if number == 2:
            raise ZeroDivisionError("oops")

    async def work(desk: Desk, tree: Tree, run: Run) -> None:
        with pytest.raises(StoreBroken, match="in a way it should not: ZeroDivisionError: oops"):
            await desk.recorder.record(tree, run, [done(1)], Level.WRITTEN)

    Desk(fail).run(work)


def test_a_lost_lease_loses_the_tree() -> None:
    async def work(desk: Desk, tree: Tree, run: Run) -> None:
        desk.store.renew(desk.store.owner(), -1)
        desk.store.acquire(R, "another", 60)
        with pytest.raises(LeaseLost, match="another process drives it now"):
            await desk.recorder.record(tree, run, [done(1)], Level.WRITTEN)
        desk.recorder.append(tree, run, done(2))
        assert desk.store.commits[-1] == (Level.WRITTEN, ["StepDone"])

    Desk().run(work)


def test_of_a_lost_tree_nothing_more_is_written() -> None:
    async def work(desk: Desk, tree: Tree, run: Run) -> None:
        other, its_run = await desk.begin(RunId("other"))
        desk.recorder.keep(tree, run, done(1))
        desk.recorder.keep(other, its_run, done(2))
        tree.lose(LeaseLost("an earlier commit of it was declined"))
        await desk.recorder.settle()
        assert [len(desk.store.read(id)) for id in (R, RunId("other"))] == [1, 2]

    Desk().run(work)


def test_what_has_happened_does_not_fall_with_a_ticket_that_somebody_changed() -> None:
    async def work(desk: Desk, tree: Tree, run: Run) -> None:
        before, besides, held = (StepId(f"{name}#1") for name in ("before", "besides", "held"))
        await desk.recorder.record(tree, run, [replace(STARTED, step=before)], Level.SYNCED)
        desk.recorder.propose(tree, run, [replace(STARTED, step=besides)], Level.SYNCED)
        stale = ticket(run=R, version=2, state=TicketState.SPENT)
        desk.recorder.propose(tree, run, [replace(STARTED, step=held)], Level.SYNCED, tickets=[stale])
        desk.recorder.add_blob(tree, run, "large-1", b"large")
        happened = desk.recorder.propose(
            tree, run, [replace(SUCCEEDED, step=before)], Level.WRITTEN, records=[Record("local", "k", b"1", 1)]
        )
        fell = desk.recorder.propose(tree, run, [replace(SUCCEEDED, step=besides)], Level.WRITTEN)
        await asyncio.wait([happened, fell])
        assert isinstance(tree.lost, LeaseLost)
        assert (happened.rescued, fell.rescued) == (True, False)
        stored = [unseal(fact) for fact in desk.store.read(R)]
        assert [(type(fact).__name__, getattr(fact, "step", None)) for fact in stored[1:]] == [
            ("StepStarted", before),
            ("StepSucceeded", before),
        ]
        assert desk.store.blob(R, "large-1") == b"large"
        assert desk.store.record("local", "k") == b"1"

    Desk().run(work)


def test_no_outcome_is_on_record_without_its_intent() -> None:
    """The intent fell with a commit that was under way when the outcome was proposed."""
    stale = [ticket(run=R, version=2, state=TicketState.SPENT)]

    async def work(desk: Desk, tree: Tree, run: Run) -> None:
        await desk.recorder.record(tree, run, [done(1)], Level.WRITTEN)
        desk.recorder.keep(tree, run, STARTED)
        held = [replace(STARTED, step=StepId(f"held#{number}")) for number in range(2)]
        desk.recorder.propose(tree, run, [held[0]], Level.SYNCED, tickets=stale)
        await asyncio.sleep(0.005)
        assert tree.lost is None
        desk.recorder.propose(tree, run, [held[1]], Level.SYNCED, tickets=stale)
        outcome = desk.recorder.propose(tree, run, [SUCCEEDED], Level.WRITTEN)
        await desk.recorder.settle()
        assert (outcome.rescued, len(desk.store.read(R))) == (False, 2)
        desk.recorder.close()

    Desk(lambda number: time.sleep(0.02), virtual=False).run(work)


def intend(desk: Desk, tree: Tree, run: Run, step: str, tickets: Sequence[TicketRow] = ()) -> Intent:
    def write(sealed: Sealed) -> Write:
        return Write(run.id, tree.root, [sealed], tree.lease, tickets=tickets)

    return desk.recorder.intend(tree, run, replace(STARTED, step=StepId(step)), Level.SYNCED, write)


def begun(desk: Desk) -> list[str]:
    return [str(fact.step) for fact in map(unseal, desk.store.read(R)) if isinstance(fact, StepStarted)]


@pytest.mark.parametrize("is_slow", [False, True])
def test_an_intent_does_not_outlive_what_was_proposed_with_it(is_slow: bool) -> None:
    """Its large value, a fact that it follows from: they fell with a ticket that somebody decided meanwhile."""
    stale = [ticket(run=R, version=2, state=TicketState.SPENT)]

    async def work(desk: Desk, tree: Tree, run: Run) -> None:
        await desk.recorder.record(tree, run, [done(1)], Level.WRITTEN)
        desk.recorder.add_blob(tree, run, "large-1", b"large")
        desk.recorder.propose(tree, run, [replace(STARTED, step=StepId("held#1"))], Level.SYNCED, tickets=stale)
        intent = intend(desk, tree, run, "once#1")
        await asyncio.wait([intent])
        assert isinstance(tree.lost, LeaseLost)
        assert begun(desk) == []
        assert desk.store.check() == []
        desk.recorder.close()

    slow = Desk(lambda number: time.sleep(0.02), virtual=False)
    (slow if is_slow else Desk()).run(work)


@pytest.mark.parametrize("stale_first", [True, False])
def test_no_intent_shares_a_commit_with_one_that_may_fall_with_its_ticket(stale_first: bool) -> None:
    stale = [ticket(run=R, version=2, state=TicketState.SPENT)]

    async def work(desk: Desk, tree: Tree, run: Run) -> None:
        intents = [("held#1", stale), ("once#1", [])]
        other, its_run = await desk.begin(RunId("other"))
        made = [intend(desk, tree, run, *one) for one in (intents if stale_first else intents[::-1])]
        besides = intend(desk, other, its_run, "once#1")
        await asyncio.wait([*made, besides])
        assert isinstance(tree.lost, LeaseLost)
        assert begun(desk) == ([] if stale_first else ["once#1"])
        assert (other.lost, len(desk.store.read(RunId("other")))) == (None, 2)

    Desk().run(work)


def test_an_intent_that_may_fall_waits_for_those_that_would_be_begun_for_nothing() -> None:
    async def work(desk: Desk, tree: Tree, run: Run) -> None:
        await desk.recorder.record(tree, run, [done(1)], Level.WRITTEN)
        desk.recorder.propose(tree, run, [replace(STARTED, step=StepId("once#1"))], Level.SYNCED)
        held = [intend(desk, tree, run, f"held#{n}", [ticket(run=R, id=f"t{n}")]) for n in range(2)]
        await asyncio.wait(held)
        assert tree.lost is None
        assert [kinds for _, kinds in desk.store.commits[2:]] == [["StepStarted"]] * 3
        assert begun(desk) == ["once#1", "held#0", "held#1"]

    Desk().run(work)


def test_a_run_that_exists_is_not_created_again() -> None:
    async def work(desk: Desk, tree: Tree, run: Run) -> None:
        with pytest.raises(Invalid, match="run r exists already"):
            await desk.begin(R)

    Desk().run(work)


def test_slow_commits_leave_the_loop_free_and_keep_their_order() -> None:
    """Beyond some milliseconds a commit goes to a thread: what the loop does meanwhile is one commit more."""

    async def work(desk: Desk, tree: Tree, run: Run) -> None:
        for number in range(3):
            await desk.recorder.record(tree, run, [done(number)], Level.WRITTEN)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        ticking = asyncio.ensure_future(tick())
        records = [desk.recorder.record(tree, run, [done(number)], Level.WRITTEN) for number in range(10, 20)]
        await asyncio.gather(*records)
        desk.recorder.keep(tree, run, done(30))
        await desk.recorder.settle()
        ticking.cancel()
        assert ticks > 3
        assert desk.store.check() == []
        assert run.count == len(desk.store.read(R)) == 15
        desk.recorder.close()

    Desk(lambda number: time.sleep(0.02), virtual=False).run(work)


def test_a_slow_commit_that_fails_loses_the_tree() -> None:
    def slow(number: int) -> None:
        time.sleep(0.02)
        if number == 4:
            raise StoreBroken("gone")

    async def work(desk: Desk, tree: Tree, run: Run) -> None:
        for number in range(2):
            await desk.recorder.record(tree, run, [done(number)], Level.WRITTEN)
        with pytest.raises(StoreBroken, match="gone"):
            await desk.recorder.record(tree, run, [done(5)], Level.WRITTEN)
        await desk.recorder.settle()
        desk.recorder.close()

    Desk(slow, virtual=False).run(work)


def test_a_loop_that_is_gone_holds_nothing_up() -> None:
    desk = Desk(virtual=False)
    trees: list[tuple[Tree, Run]] = []

    async def first(desk: Desk, tree: Tree, run: Run) -> None:
        trees.append((tree, run))
        desk.recorder.keep(tree, run, done(1))

    async def second() -> None:
        desk.recorder.enter()
        await desk.recorder.record(*trees[0], [done(2)], Level.WRITTEN)

    desk.run(first)
    asyncio.run(asyncio.wait_for(second(), 5))
    assert len(desk.store.read(R)) == 3


def test_who_gives_the_lease_back_is_written_last() -> None:
    async def work(desk: Desk, tree: Tree, run: Run) -> None:
        child = Run(RunId("r.sub"))
        desk.recorder.keep(tree, run, done(1))
        desk.recorder.keep(tree, child, RUN_STARTED, create=new_run(RUN_STARTED, R))
        await desk.recorder.record(tree, run, [done(2)], Level.WRITTEN, release=True)
        assert tree.lost is None
        assert [len(desk.store.read(id)) for id in (R, child.id)] == [3, 1]

    Desk().run(work)
