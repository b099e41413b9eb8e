"""Ends acts that declare no timeout and never come back: one timer for all of them.

A timer per act would cost as much as judging it, for a limit that is hardly ever reached; so acts are looked at
once in a while, and one that overstayed is cancelled within LOOK_SECONDS of its time.
"""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final

from magsag.domain.errors import ErrorType, StepFailed

LOOK_SECONDS: Final = 0.5


@dataclass(slots=True, eq=False)
class _Watched:
    task: "asyncio.Task[Any]"
    since: float
    overdue: bool = False


class Overseer:
    """Watches the acts of one event loop."""

    def __init__(self, limit_seconds: float) -> None:
        self._limit = limit_seconds
        self._acts: set[_Watched] = set()
        self._looking: asyncio.AbstractEventLoop | None = None

    async def watched(self, act: Coroutine[Any, Any, Any], name: str) -> Any:
        """Await the act. Raises StepFailed(timeout) when it overstays."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        watched = _Watched(task, loop.time())
        self._acts.add(watched)
        if self._looking is not loop:
            self._looking = loop
            loop.call_later(LOOK_SECONDS, self._look)
        try:
            return await act
        except asyncio.CancelledError:
            if watched.overdue and task.uncancel() == 0:
                raise StepFailed(ErrorType.TIMEOUT, f"{name} did not end within {self._limit:g} s") from None
            raise
        finally:
            self._acts.discard(watched)

    def _look(self) -> None:
        if not self._acts:
            self._looking = None
            return
        loop = asyncio.get_running_loop()
        loop.call_later(LOOK_SECONDS, self._look)
        latest = loop.time() - self._limit
        for watched in self._acts:
            if watched.since < latest and not watched.overdue:
                watched.overdue = True
                watched.task.cancel()
