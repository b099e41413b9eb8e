"""Sync functions in threads of their own, beside the loop."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any, Final

Late = Callable[[object, BaseException | None], None]
"""told what a sync function gave, or raised, after it was given up"""
_log = logging.getLogger("magsag.act")


ASIDE: Final = "magsag-aside"
"""the name of threads that do what the product itself would hold the loop up with"""


async def aside(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of our own beside the loop; nobody misses what it gives after it was given up."""
    return await in_thread(function, arguments, _dropped, ASIDE)


async def in_thread(
    function: Callable[..., Any], arguments: Sequence[Any], late: Late, name: str = "magsag-act"
) -> object:
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

    threading.Thread(target=work, name=name, daemon=True).start()
    return await done


def _dropped(result: object, error: BaseException | None) -> None:
    pass
