"""The event loop of a proof: its timers tell a clock that stands still how late it has become.

Only the timers of the program count, those of `ctx.sleep`, `ctx.wait_for`, `ctx.timeout` and of deadlines. What else
the process waits for depends on the machine, and a program must not see it.

Nobody waits before a lookup either: it is put off until nobody can still be acting, and whoever acted here was killed.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Final, TypeVarTuple, Unpack
from weakref import WeakSet

from magsag.adapters.proofs.clock import StandingClock

Ts = TypeVarTuple("Ts")
_OF_PROGRAMS: Final = frozenset({"Strands._wake", "Lookout._end_at_deadline"})
_SLEEP: Final = "_set_result_unless_cancelled"
"""what ends an `asyncio.sleep`"""
_LOOKUP: Final = "Lookups._asked"


class StandingLoop(asyncio.SelectorEventLoop):
    """A loop with a clock."""

    def __init__(self, clock: StandingClock) -> None:
        super().__init__()
        self._clock_of_program = clock
        self._lookups: WeakSet[asyncio.Task[object]] = WeakSet()

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As any loop; at the end of a timer of the program its time has come for the clock too, however late it is."""
        if getattr(callback, "__qualname__", "") not in _OF_PROGRAMS:
            return super().call_later(delay, callback, *args, context=context)
        clock = self._clock_of_program
        end = clock.now() + round(delay * 1e6)

        def at_its_end() -> None:
            clock.put_forward(end)
            callback(*args)

        return super().call_later(delay, at_its_end, context=context)

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As any loop, but nobody waits before a lookup."""
        if getattr(callback, "__qualname__", "") == _SLEEP and self._is_before_lookup():
            when = self.time()
        return super().call_at(when, callback, *args, context=context)

    def _is_before_lookup(self) -> bool:
        """Whether it is the first sleep of whoever asks a lookup."""
        task = asyncio.current_task(self)
        if task is None or task in self._lookups or getattr(task.get_coro(), "__qualname__", "") != _LOOKUP:
            return False
        self._lookups.add(task)
        return True
