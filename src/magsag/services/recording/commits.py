"""What waits for a commit, and what it is told: commits, outcomes that must not fall, intents that take from budgets.

An intent with reservations is a write of its own, believed after its commit: one that a budget refuses leaves nothing,
and what was proposed beside it stands. What falls with a ticket that somebody decided meanwhile loses its tree: so of
what an intent leans on, or what would be begun for nothing, nothing shares a commit with it.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from magsag.domain.budget import Balance, Settle, Shortfall
from magsag.domain.errors import Broken, LeaseLost
from magsag.domain.facts import Fact, StepStarted
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.domain.sealed import Sealed
from magsag.engine.evolve import evolve
from magsag.engine.run import Run
from magsag.ports.ledger import Declined, Record, Write, Written
from magsag.services.recording.driven import Tree

Answers = Sequence[Written | Declined] | Broken


class Taken:
    """The trees of which a commit writes something that may fall, or that must not stand when the tree is lost."""

    def __init__(self) -> None:
        self._trees: dict[Tree, bool] = {}
        """whether it may fall"""

    def add(self, tree: Tree, may_fall: bool, begins: bool) -> None:
        """It is written, whatever there is beside it."""
        if may_fall or begins:
            self._trees[tree] = may_fall or self._trees.get(tree, False)

    def take(self, tree: Tree, may_fall: bool) -> bool:
        """An intent is written, unless it and what there is may not share a commit."""
        if tree in self._trees and (may_fall or self._trees[tree]):
            return False
        self.add(tree, may_fall, begins=True)
        return True


class Commit(asyncio.Future[None]):
    """A commit does not end because nobody waits for it any more; a shield would cost a turn of the loop each time."""

    rescued = False
    """an outcome that is on record, though the tree was lost with the rest of the commit"""

    def cancel(self, msg: object = None) -> bool:
        """A cancelled task hears of its cancellation after the commit."""
        return False

    def join(self, writes: list[Write], taken: "Taken") -> bool:
        """Add what it wants written by itself; False when that is for the next commit."""
        return True

    def answered(self, answers: Answers) -> None:
        """Hear what became of these writes."""


class Outcome(NamedTuple):
    """How an act ended, and who is to be told that it is on record."""

    facts: Sequence[Sealed]
    records: Sequence[Record]
    settles: Sequence[Settle]
    done: Commit


@frozen
class Proposed:
    """An intent that is not believed yet."""

    tree: Tree
    run: Run
    fact: StepStarted
    write: Write
    heard: Callable[[RunId, Fact], None] | None
    """is told when it is believed"""


class Intent(Commit):
    """The commit of an intent that takes from budgets."""

    short: Shortfall | None = None
    """why it was refused"""
    balances: tuple[Balance, ...] = ()
    """of the budgets that it took from"""
    _at: int | None = None

    def about(self, proposed: Proposed) -> "Intent":
        """Say what it is about."""
        self._proposed = proposed
        return self

    def join(self, writes: list[Write], taken: "Taken") -> bool:
        """Nothing of a lost tree is written; beside what may fall, or when it may itself, it waits."""
        tree, write = self._proposed.tree, self._proposed.write
        if tree.lost is None:
            if not taken.take(tree, bool(write.tickets or write.leans)):
                return False
            self._at = len(writes)
            writes.append(write)
        return True

    def answered(self, answers: Answers) -> None:
        """Believe it, or note why not."""
        tree, run = self._proposed.tree, self._proposed.run
        if isinstance(answers, Broken):
            tree.lose(answers)
        elif self._at is not None and tree.lost is None:
            self._believe(answers[self._at], tree, run)

    def _believe(self, answer: Written | Declined, tree: Tree, run: Run) -> None:
        match answer:
            case Written(seq, head, balances):
                self.balances = balances
                evolve(run, self._proposed.fact)
                tree.heads[run.id] = head
                if seq - 1 == tree.seqs.get(run.id, 0):
                    tree.seqs[run.id] = seq
                if self._proposed.heard is not None:
                    self._proposed.heard(run.id, self._proposed.fact)
            case Declined("budget", short):
                self.short = short
            case Declined(why):
                tree.lose(lost_by(tree, why))


def lost_by(tree: Tree, why: str) -> LeaseLost:
    """Why a tree is read again after its write was declined."""
    if why == "approval":
        return LeaseLost(f"run {tree.root}: an approval was decided meanwhile; the run is read again")
    return LeaseLost(f"run {tree.root}: another process drives it now ({why})")
