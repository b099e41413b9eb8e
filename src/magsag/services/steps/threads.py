"""Sync functions in threads of their own, beside the loop."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any

Late = Callable[[object, BaseException | None], None]
"""told what a sync function gave, or raised, after it was given up"""
_log = logging.getLogger("magsag.act")


async def in_thread(function: Callable[..., Any], arguments: Sequence[Any], late: Late) -> object:
    """Call a sync function in a daemon thread: one that hangs cannot hold up the end of the process."""
    loop, context = asyncio.get_running_loop(), copy_context()
    done: asyncio.Future[object] = loop.create_future()

    def settle(result: object, error: BaseException | None) -> None:
        if done.cancelled():
            late(result, error)
        elif error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def work() -> None:
        result: object = None
        error: BaseException | None = None
        try:
            result = context.run(function, *arguments)
        except StopIteration as stop:
            error = RuntimeError(f"StopIteration: {stop.value!r}").with_traceback(stop.__traceback__)
        except BaseException as caught:
            error = caught
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            _log.debug("a sync function ended after its loop was closed; its result is dropped")

    threading.Thread(target=work, name="magsag-act", daemon=True).start()
    return await done
