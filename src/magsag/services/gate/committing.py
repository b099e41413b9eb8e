"""Waits until what was proposed is on record, and says which outcome need not be waited for yet.

An outcome under a budget may go with the next commit of its tree when nobody outside can have seen its act, and it
cost neither money nor tokens: what comes next of the program is an intent, and both are one commit. Until then it is
*owed*: nothing of its tree acts, and nobody is told anything, before it is on record. The rest is waited for at once.
"""

import asyncio
from collections.abc import Sequence

from magsag.domain import facts
from magsag.domain.budget import Unit
from magsag.domain.effects import EFFECTFUL, Level
from magsag.ports.ledger import Record, TicketRow
from magsag.ports.standing_approvals import Leaning
from magsag.services.recording.commits import Commit
from magsag.services.recording.recorder import Recorder
from magsag.services.steps.attempt import Attempt


class Committing:
    """Commits for all runs of this process."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def outcome(self, attempt: Attempt, fact: facts.StepFact, level: Level, records: Sequence[Record]) -> None:
        """On record at this level, or owed. Where outcomes are delivered one by one, none behind this one passes first.

        Raises StoreBroken, LeaseLost.
        """
        turnstile, order = attempt.scope.turnstile, attempt.seat.run.order + 1
        if turnstile is not None:
            turnstile.announce(order)
            try:
                await self.surely(attempt, fact, level, records)
            finally:
                turnstile.arrived(order)
        elif _may_be_owed(attempt, fact):
            tree = attempt.seat.leg.tree
            tree.owed = self._recorder.propose(tree, attempt.seat.run, [fact], level)
        else:
            await self.surely(attempt, fact, level, records)

    async def surely(
        self,
        attempt: Attempt,
        fact: facts.StepFact,
        level: Level,
        records: Sequence[Record] = (),
        tickets: Sequence[TicketRow] = (),
        leans: Sequence[Leaning] = (),
    ) -> None:
        """Wait for the commit, whatever happens to the task meanwhile. Raises StoreBroken, LeaseLost."""
        tree = attempt.seat.leg.tree
        run, recorder = attempt.seat.run, self._recorder
        written = recorder.propose(tree, run, [fact], level, records=records, tickets=tickets, leans=leans)
        await self.committed(attempt, written)

    async def committed(self, attempt: Attempt, written: Commit) -> None:
        """The same for what is proposed already."""
        tree = attempt.seat.leg.tree
        while not written.done():
            try:
                await written
            except asyncio.CancelledError:
                attempt.cancelled = True
        if tree.lost is not None and not written.rescued:
            raise tree.lost


def _may_be_owed(attempt: Attempt, fact: facts.StepFact) -> bool:
    """Whether losing it costs a repetition, and neither money nor a doubt."""
    if attempt.charge is None or attempt.cancelled or not isinstance(fact, facts.StepSucceeded):
        return False
    spent = fact.spent or {}
    is_paid = attempt.target.paid or spent.get(Unit.USD) or spent.get(Unit.TOKENS)
    return not is_paid and attempt.target.proposal.effect not in EFFECTFUL
