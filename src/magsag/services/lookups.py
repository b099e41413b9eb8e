"""Finds out whether a reconcilable act happened: asks its lookup, once nobody of ours can still be acting.

What the lookup says is a claim about the outside. Anything but a clear yes or no is a doubt.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from magsag.domain.errors import ErrorType, Retryable, StepFailed
from magsag.domain.values import encode
from magsag.ports.clock import Clock
from magsag.services.attempt import Attempt
from magsag.services.outcomes import breach
from magsag.services.targets import FunctionAct


@dataclass(frozen=True, slots=True)
class Happened:
    """It acted, and this is what it gave."""

    output: Any


@dataclass(frozen=True, slots=True)
class NotHappened:
    """It did not act."""


@dataclass(frozen=True, slots=True)
class CannotTell:
    """A person has to look."""

    why: str


Answer = Happened | NotHappened | CannotTell


class Lookups:
    """Asks for all runs of this process."""

    def __init__(self, clock: Clock, look_up: Callable[[Attempt], Awaitable[Any]]) -> None:
        """`look_up` performs the lookup of an attempt's skill."""
        self._clock = clock
        self._look_up = look_up

    async def ask(self, attempt: Attempt, act_by: int) -> Answer:
        """Whether it happened. `act_by` is when the last attempt's time was over."""
        if attempt.target.lookup is None:
            return CannotTell("the process ended between the intent and the outcome, and there is no lookup to ask")
        asked = asyncio.ensure_future(self._asked(attempt, act_by))
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

    async def _asked(self, attempt: Attempt, act_by: int) -> Answer:
        await asyncio.sleep(max(0, act_by - self._clock.now()) / 1e6)
        try:
            return _answer(attempt, await self._look_up(attempt))
        except (StepFailed, Retryable) as error:
            return CannotTell(f"its lookup could not tell: {error.message}")


def is_abandoned(attempt: Attempt, error: StepFailed | Retryable) -> bool:
    """Whether the attempt was a sync function that was left behind in its thread, where it may still act."""
    act = attempt.target.act
    return isinstance(error.__cause__, TimeoutError) and not (isinstance(act, FunctionAct) and act.is_async)


def _answer(attempt: Attempt, said: Any) -> Answer:
    what = f"what the lookup of step {attempt.id} says"
    value: Any = encode(said, what)[1]
    if value == {"found": False}:
        return NotHappened()
    if not isinstance(value, dict) or value.get("found") is not True or value.keys() != {"found", "output"}:
        return CannotTell("its lookup answered neither {found: true, output: ...} nor {found: false}")
    contract = attempt.target.output
    fault = breach(contract, value["output"], ErrorType.OUTPUT_CONTRACT) if contract is not None else None
    return Happened(value["output"]) if fault is None else CannotTell(f"what its lookup found {fault.message}")
