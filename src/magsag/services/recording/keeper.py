"""Keeps the leases of this process alive, from a thread of its own, and names a loop that is blocked.

A C call that holds the interpreter lock, or catalog code that blocks the loop, must not cost the lease. A loop that
stays blocked beyond the timeout of what it is doing can save nothing any more: the process ends itself.
"""

import asyncio
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from typing import Final

from magsag.domain.errors import StoreBroken
from magsag.ports.ledger import Leases

BLOCKED_SECONDS: Final = 1.0
_TICK_SECONDS: Final = 0.25
_log = logging.getLogger("magsag.keeper")


class Keeper:
    """Runs while at least one tree is driven."""

    def __init__(
        self,
        leases: Leases,
        owner: str,
        lease_seconds: float,
        act_seconds: float,
        limits: Sequence[float] = (),
        patient: str = "",
    ) -> None:
        """`limits`: the timeouts of the acts under way, as far as they declare one; others may take `act_seconds`.

        Code below the folder `patient` waits for others under a patience of its own: the store, for a write lock.
        """
        self._leases = leases
        self._owner = owner
        self._lease_seconds = lease_seconds
        self._act_seconds = act_seconds
        self._users = 0
        self._beat = 0.0
        self._watched = 0
        self._limits = limits
        self._patient = patient
        self._timer: asyncio.TimerHandle | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> None:
        if self._users == 0:
            self._watched = threading.get_ident()
            self._pulse(asyncio.get_running_loop())
        self._users += 1
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="magsag-keeper", daemon=True)
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

    def _watch(self) -> None:
        over, renewed, named, last = self._over, time.monotonic(), False, time.monotonic()
        while not over.wait(_TICK_SECONDS):
            now = time.monotonic()
            stood_still, last = now - last > BLOCKED_SECONDS, now
            if self._users == 0:
                continue
            if now - renewed > self._lease_seconds / 3:
                renewed = now
                self._renew()
            if stood_still or (now - self._beat > BLOCKED_SECONDS / 2 and self._waits_for_others()):
                self._beat = (
                    now  # the whole process was stopped, or the store waits for a lock: no code blocks the loop
                )
            blocked = now - self._beat
            if blocked > min([self._act_seconds, *self._limits]) + BLOCKED_SECONDS:
                self._end(blocked)
            if blocked > BLOCKED_SECONDS and not named:
                _log.warning("the event loop is blocked; use ctx.call for blocking code\n%s", self._stack())
            named = blocked > BLOCKED_SECONDS

    def _renew(self) -> None:
        try:
            self._leases.renew(self._owner, self._lease_seconds)
        except StoreBroken as error:
            _log.warning("leases cannot be renewed: %s", error)

    def _end(self, blocked: float) -> None:
        """Nothing of this process can go on: end it, so that another may resume its runs."""
        sys.stderr.write(
            f"magsag: the event loop was blocked for {blocked:.0f} s, longer than what it does may take; this process "
            f"ends itself. Its runs can be resumed.\n{self._stack()}"
        )
        sys.stderr.flush()
        os._exit(1)

    def _waits_for_others(self) -> bool:
        """Whether the loop's thread is in the store at this moment."""
        frame = sys._current_frames().get(self._watched)
        while frame is not None and self._patient:
            if frame.f_code.co_filename.startswith(self._patient):
                return True
            frame = frame.f_back
        return False

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._watched)
        return "".join(traceback.format_stack(frame)[-8:]) if frame is not None else ""
