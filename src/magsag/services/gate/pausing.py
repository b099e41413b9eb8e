"""What a step waits for between two starts: its next attempt, or leave by a rate or a concurrency.

A short wait stays in the process. A longer one parks the run once nothing else goes on in it, as a sleep does: no
process holds the tree meanwhile, and whoever is there when it is due goes on. How often a step has waited for leave is
on record with the park, since nothing else of such a step may be.
"""

import asyncio
from math import inf

from magsag.domain.errors import ErrorType, Stopped
from magsag.domain.facts import ParkedOn
from magsag.ports.clock import Clock
from magsag.services.gate.outcomes import Outcomes
from magsag.services.steps.attempt import Attempt
from magsag.services.steps.moment import spoken
from magsag.services.steps.strands import PATIENCE_SECONDS


class Pausing:
    """Waits for all runs of this process. Raises Stopped when the run parks, CancelledError when it is given up."""

    def __init__(self, outcomes: Outcomes, clock: Clock, durable: bool) -> None:
        """Runs that are not durable never park here: nobody could take them up."""
        self._outcomes = outcomes
        self._clock = clock
        self._patience = PATIENCE_SECONDS if durable else inf

    async def for_attempt(self, attempt: Attempt, due: int, after: ErrorType | None) -> None:
        """Until the next attempt is due."""
        why = f" after {after.value}" if after is not None else ""
        await self._until(attempt, due, f"{attempt.target.proposal.target} is tried again{why}", None)

    async def for_leave(self, attempt: Attempt, seconds: float) -> None:
        """So long, and then it asks again."""
        throttled = attempt.target.throttled
        assert throttled is not None
        due = self._clock.now() + int(seconds * 1e6)
        await self._until(attempt, due, f"{throttled.name} may be called again", attempt.waits)

    def left(self, attempt: Attempt) -> float | None:
        """Seconds of a wait for leave with which an earlier leg has parked; None when it is over."""
        waited = attempt.seat.run.waited.get(attempt.id)
        if waited is None or waited.times <= attempt.waits:
            return None
        attempt.waits = waited.times
        seconds = (waited.due - attempt.seat.leg.time(self._clock.now())) / 1e6
        return seconds if seconds > 0 else None

    async def _until(self, attempt: Attempt, due: int, what: str, waits: int | None) -> None:
        seat, loop = attempt.seat, asyncio.get_running_loop()
        try:
            if attempt.cancelled:
                raise asyncio.CancelledError
            end = loop.time() + (due - seat.leg.time(self._clock.now())) / 1e6
            while (left := end - loop.time()) > 0:
                if not await seat.leg.strands.pause(seat.run.id, left, self._patience):
                    reason = f"{what} at {spoken(due)}"
                    seat.park(ParkedOn.TIME, attempt.id, reason, due, waits=waits)
                    raise Stopped(reason)
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            if attempt.given_up:
                self._outcomes.cancelled(attempt)
            raise
