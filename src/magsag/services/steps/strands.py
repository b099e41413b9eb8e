"""Whether a leg has anything left to do: how many strands of its programs are at work, and what the others wait for.

A strand is the trunk of the root program, a branch, or a step of a flow. While one works, waits are waited for here.
When all rest and nothing is over soon, the leg is over, and every wait parks: no task, thread or timer is left of it.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from magsag.domain.ids import RunId

SHORT_SECONDS: Final = 1.0
"""a wait that is over within this time is waited for, rather than parked on"""
PATIENCE_SECONDS: Final = 10.0
"""the same of a wait that no program asked for: between two attempts of a step, or for leave to start one"""


@dataclass(slots=True, eq=False)
class _Rest:
    run: RunId
    event: str | None
    until: float | None
    """by the loop's clock"""
    patience: float
    """within so many seconds it is waited for rather than parked on"""
    woken: "asyncio.Future[bool]"


class Strands:
    """The strands of one leg."""

    def __init__(self) -> None:
        self._working = 1
        self._resting: dict[_Rest, None] = {}
        self.is_over = False
        """nothing was left to do; what waits parks"""

    @property
    def listening(self) -> set[RunId]:
        """The runs in which a strand waits for a signal."""
        return {rest.run for rest in self._resting if rest.event is not None}

    def begin(self, count: int = 1) -> None:
        """So many strands are at work from now on."""
        self._working += count

    def end(self) -> None:
        """One has ended, or waits for others."""
        self._working -= 1
        self._settle()

    async def rest(self, run: RunId, event: str | None, seconds: float | None) -> bool:
        """Wait for a signal, or for so many seconds. True: look again; False: the leg is over, park."""
        return await self._rest(run, event, seconds, SHORT_SECONDS, self._wake)

    async def pause(self, run: RunId, seconds: float, patience: float) -> bool:
        """The same of a wait that no program asked for; it is waited for when it is over within `patience` seconds."""
        return await self._rest(run, None, seconds, patience, self._rouse)

    async def _rest(
        self,
        run: RunId,
        event: str | None,
        seconds: float | None,
        patience: float,
        over: "Callable[[_Rest, bool], None]",
    ) -> bool:
        if self.is_over:
            return False
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds if seconds is not None else None
        rest = _Rest(run, event, until, patience, loop.create_future())
        timer = loop.call_later(seconds, over, rest, True) if seconds is not None else None
        self._resting[rest] = None
        self.end()
        try:
            return await rest.woken
        finally:
            if timer is not None:
                timer.cancel()
            if rest in self._resting:
                del self._resting[rest]
                self.begin()

    def signalled(self, run: RunId, events: Iterable[str]) -> None:
        """Somebody has told this run something."""
        told = set(events)
        for rest in [rest for rest in self._resting if rest.run == run and rest.event in told]:
            self._wake(rest, True)

    def stirred(self, run: RunId) -> None:
        """Something is new in a run of another tree."""
        for rest in [rest for rest in self._resting if rest.run == run]:
            self._wake(rest, True)

    def _wake(self, rest: _Rest, again: bool) -> None:
        """Counted as working at once, so that nothing looks over between here and its next turn."""
        if not rest.woken.done():
            self._resting.pop(rest, None)
            self.begin()
            rest.woken.set_result(again)

    def _rouse(self, rest: _Rest, again: bool) -> None:
        """A pause is over. By another name: proofs let programs see only the waits that they asked for."""
        self._wake(rest, again)

    def _settle(self) -> None:
        """A turn later, so that all that rest are woken alike, in the order in which they began to."""
        if not self._working and self._resting:
            asyncio.get_running_loop().call_soon(self._park)

    def _park(self) -> None:
        """Is everything at rest, and nothing over soon? What is cancelled is about to work."""
        now = asyncio.get_running_loop().time()
        if self._working or any(rest.woken.done() or _is_soon_over(rest, now) for rest in self._resting):
            return
        self.is_over = bool(self._resting)
        for rest in list(self._resting):
            self._wake(rest, False)


def _is_soon_over(rest: _Rest, now: float) -> bool:
    return rest.until is not None and rest.until <= now + rest.patience
