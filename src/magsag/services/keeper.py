"""Keeps the leases of this process alive, from a thread of its own, and names a loop that is blocked.

A C call that holds the interpreter lock, or catalog code that blocks the loop, must not cost the lease.
"""

import asyncio
import logging
import os
import sys
import threading
import time
import traceback
from typing import Final

from magsag.domain.errors import StoreBroken
from magsag.ports.ledger import Leases

BLOCKED_SECONDS: Final = 1.0
_TICK_SECONDS: Final = 0.25
_log = logging.getLogger("magsag.keeper")


class Keeper:
    """Runs while at least one tree is driven."""

    def __init__(self, leases: Leases, owner: str, lease_seconds: float, act_seconds: float) -> None:
        self._leases = leases
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._act_seconds = act_seconds
        self._users = 0
        self._beat = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> None:
        self._users += 1
        if self._users == 1:
            self._pulse(asyncio.get_running_loop())
        if self._thread is None:
            watched = threading.get_ident()
            self._thread = threading.Thread(target=self._watch, args=(watched,), name="magsag-keeper", daemon=True)
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._users -= 1
        if self._users == 0 and self._timer is not None:
            self._timer.cancel()

    def close(self) -> None:
        """Let the thread go; a later leg starts another."""
        self._over.set()
        self._over, self._thread = threading.Event(), None

    def _pulse(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beat = time.monotonic()
        self._timer = loop.call_later(_TICK_SECONDS, self._pulse, loop)

    def _watch(self, watched: int) -> None:
        over, renewed, named = self._over, time.monotonic(), False
        while not over.wait(_TICK_SECONDS):
            now = time.monotonic()
            if self._users == 0:
                continue
            if now - renewed > self._lease_seconds / 3:
                renewed = now
                self._renew()
            blocked = now - self._beat
            if blocked > self._act_seconds + BLOCKED_SECONDS:
                self._end(watched)
            if blocked > BLOCKED_SECONDS and not named:
                _log.warning("the event loop is blocked; use ctx.call for blocking code\n%s", _stack(watched))
            named = blocked > BLOCKED_SECONDS

    def _renew(self) -> None:
        try:
            self._leases.renew(self._owner, self._lease_seconds)
        except StoreBroken as error:
            _log.warning("leases cannot be renewed: %s", error)

    def _end(self, watched: int) -> None:
        """Nothing of this process can go on: end it, so that another may resume its runs."""
        sys.stderr.write(
            f"magsag: the event loop was blocked for more than {self._act_seconds:g} s; this process ends itself. "
            f"Its runs can be resumed.\n{_stack(watched)}"
        )
        sys.stderr.flush()
        os._exit(1)


def _stack(ident: int) -> str:
    frame = sys._current_frames().get(ident)
    return "".join(traceback.format_stack(frame)[-8:]) if frame is not None else ""
