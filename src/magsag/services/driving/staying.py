"""Stays with a run while it waits for time, signals, approvals or child runs, and drives it again whenever it is due.

Others may drive it meanwhile: it is looked at in the ledger, and whoever comes first has it.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from magsag.domain.facts import ParkedOn, RunStatus
from magsag.domain.ids import RunId
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Runs

LOOK_SECONDS: Final = 0.25
"""how often a parked run is looked at"""
_PASSING: Final = frozenset({ParkedOn.TIME, ParkedOn.EVENT, ParkedOn.APPROVAL, ParkedOn.CHILD})
"""what others can end without driving the run"""


class Staying:
    """Stays with runs of a store."""

    def __init__(self, store: Store, runs: Runs, clock: Clock) -> None:
        self._store = store
        self._runs = runs
        self._clock = clock

    async def until_ended(
        self, run: RunId, stopped: Callable[[], bool], told: Callable[[RunResult], None]
    ) -> RunResult:
        """Drive a run to its end, or until only somebody at the run itself can help; `told` hears of each new park.

        It comes back soon after `stopped` says so. Raises what `Runs.resume` raises.
        """
        result = await self._runs.resume(run)
        heard: RunResult | None = None
        while result.status is RunStatus.PARKED and any(one.on in _PASSING for one in result.reasons) and not stopped():
            if result != heard:
                told(result)
                heard = result
            below = [one.run for one in result.reasons if one.on is ParkedOn.CHILD and one.run is not None]
            if any(self._wants_a_leg(one) for one in (run, *below)):
                result = await self._runs.resume(run)
            else:
                await asyncio.sleep(LOOK_SECONDS)
        return result

    def _wants_a_leg(self, run: RunId) -> bool:
        """Whether it is due, or is driven by somebody else, or has ended."""
        own = self._store.row(run)
        row = self._store.row(own.root) if own is not None else None
        return row is None or row.status is not RunStatus.PARKED or (row.due or 0) <= self._clock.now()
