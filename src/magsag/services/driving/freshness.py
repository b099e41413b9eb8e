"""Policies of today in a process that lives for days: notices that the catalog was changed, and reads it again.

Bundles are frozen with their runs, policies are not: those in force judge. A leg keeps the ones that it began with.
"""

from collections.abc import Callable, Hashable
from typing import Final

from magsag.ports.clock import Clock

LOOK_MICROS: Final = 1_000_000
"""how often files are looked at, at most"""


class Freshness:
    """Called often, looks now and then."""

    def __init__(self, stamp: Callable[[], Hashable], reload: Callable[[], None], clock: Clock) -> None:
        """`stamp` differs once the files do; `reload` puts into force what they say now."""
        self._stamp = stamp
        self._reload = reload
        self._clock = clock
        self._looked = clock.now()
        self._in_force = self._last = stamp()

    def __call__(self) -> None:
        """Reload what was changed and has been left alone since the last look: nobody reads a file half written."""
        now = self._clock.now()
        if 0 <= now - self._looked < LOOK_MICROS:
            return
        self._looked, before, self._last = now, self._last, self._stamp()
        if self._last == before and self._last != self._in_force:
            self._in_force = self._last
            self._reload()
