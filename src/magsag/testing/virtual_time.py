"""Runs coroutines in a time that passes only while all of them wait: hours take microseconds, orders never vary.

For code that waits on timers and on other tasks alone. What waits on threads, sockets or processes is given up to
real time and spoils the point; but time stands still while the product does a thing of its own beside the loop.
"""

import asyncio
import selectors
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from magsag.services.steps.threads import ASIDE
from magsag.testing.clock import FrozenClock

T = TypeVar("T")


class VirtualTime:
    """One virtual time for any number of event loops, one after the other."""

    def __init__(self, at_most: float = 3600.0) -> None:
        self.passed = 0.0
        """seconds so far"""
        self.at_most = at_most
        """how many seconds one call of `run` may take"""
        self.clock = FrozenClock(passing=lambda: self.passed)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run until it is done, as `asyncio.run` does. Raises TimeoutError when it does not come to an end."""
        with asyncio.Runner(loop_factory=lambda: _Loop(self)) as runner:
            return runner.run(asyncio.wait_for(work, self.at_most))


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, time: VirtualTime) -> None:
        self._virtual = time
        super().__init__(_Selector(time))

    def time(self) -> float:
        return self._virtual.passed


class _Selector(selectors.BaseSelector):
    """Where a loop would sleep, time jumps."""

    def __init__(self, time: VirtualTime) -> None:
        self._virtual = time
        self._real = selectors.DefaultSelector()

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return self._real.select(None)
        if timeout and any(thread.name == ASIDE for thread in threading.enumerate()):
            return self._real.select(0.001)
        self._virtual.passed += timeout
        return self._real.select(0)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()
