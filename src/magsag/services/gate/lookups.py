"""Finds out whether a reconcilable act happened: asks its lookup, once nobody of ours can still be acting.

That is when the act's time is over, or its own process has ended here. The clock may have been set between the intent
and now, so an act of an owner that may still live has its whole time by the clock that nobody sets, from when this
process first saw its intent.
What the lookup says is a claim about the outside. Anything but a clear yes or no is a doubt.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from magsag.domain.errors import ErrorType, Retryable, StepFailed
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId
from magsag.domain.values import encode
from magsag.engine.run import Step
from magsag.ports.clock import Clock
from magsag.ports.sandbox import Escaped
from magsag.services.gate.outcomes import breach
from magsag.services.steps.attempt import Attempt
from magsag.services.steps.target import ApartAct, FunctionAct


@frozen
class Happened:
    """It acted, and this is what it gave."""

    output: Any


@frozen
class NotHappened:
    """It did not act."""


@frozen
class CannotTell:
    """A person has to look."""

    why: str
    said: StepFailed | Retryable | None = None
    """in the words of the lookup, which may be about a person: they are no part of `why`"""


Answer = Happened | NotHappened | CannotTell


class Lookups:
    """Asks for all runs of this process."""

    def __init__(self, clock: Clock, look_up: Callable[[Attempt], Awaitable[Any]]) -> None:
        """`look_up` performs the lookup of an attempt's skill."""
        self._clock = clock
        self._look_up = look_up
        self._over: dict[tuple[RunId, StepId, int], float] = {}
        """when the time of an attempt that somebody else may be at is over, in seconds of the loop's clock"""

    async def ask(self, attempt: Attempt, step: Step, wrested: bool = False) -> Answer:
        """Whether what the step's intent says happened. `wrested`: by an owner that may still be acting."""
        if attempt.target.lookup is None:
            return CannotTell("the process ended between the intent and the outcome, and there is no lookup to ask")
        asked = asyncio.ensure_future(self._asked(attempt, step, wrested))
        while not asked.done():
            try:
                await asyncio.wait({asked})
            except asyncio.CancelledError:
                # Giving the step up does not break this off, since an effect may be under way; leaving the leg does.
                if not attempt.given_up:
                    asked.cancel()
                    raise
                attempt.cancelled = True
        return asked.result()

    async def _asked(self, attempt: Attempt, step: Step, wrested: bool) -> Answer:
        has_ended_here = attempt.performed and isinstance(attempt.target.act, ApartAct)
        if wrested or not has_ended_here:
            await self._time_over((attempt.seat.run.id, step.id, step.attempt), step, wrested)
        try:
            return _answer(attempt, await self._look_up(attempt))
        except (StepFailed, Retryable) as error:
            return CannotTell("its lookup could not tell", error)

    async def _time_over(self, place: tuple[RunId, StepId, int], step: Step, wrested: bool) -> None:
        """Never longer than the act's whole time, wherever the clock was set. A later leg goes on with the wait."""
        whole, now = (step.act_by - step.at) / 1e6, asyncio.get_running_loop().time()
        if wrested:
            self._over.setdefault(place, now + whole)
        left = min(whole, (step.act_by - self._clock.now()) / 1e6)
        await asyncio.sleep(max(0, self._over.get(place, now + left) - now))
        self._over.pop(place, None)


def is_abandoned(attempt: Attempt, error: StepFailed | Retryable) -> bool:
    """Whether it may still act: a sync function left behind in its thread, a process of which not all is known to be
    gone."""
    act = attempt.target.act
    if isinstance(error.__cause__, Escaped):
        return True
    return isinstance(error.__cause__, TimeoutError) and isinstance(act, FunctionAct) and not act.is_async


def _answer(attempt: Attempt, said: Any) -> Answer:
    what = f"what the lookup of step {attempt.id} says"
    value: Any = encode(said, what)[1]
    if value == {"found": False}:
        return NotHappened()
    if not isinstance(value, dict) or value.get("found") is not True or value.keys() != {"found", "output"}:
        return CannotTell("its lookup answered neither {found: true, output: ...} nor {found: false}")
    contract = attempt.target.output
    fault = breach(contract, value["output"], ErrorType.OUTPUT_CONTRACT) if contract is not None else None
    if fault is None:
        return Happened(value["output"])
    return CannotTell("what its lookup found does not meet its contract", fault)
