"""Hears that another process has written: SQLite counts the commits of other connections, at no cost to them."""

import time
from typing import Final

from magsag.adapters.store.part import Part

LOOK_SECONDS: Final = 0.02
"""how often the count is looked at; a look takes about ten microseconds"""


class WakingPart(Part):
    """`ports.ledger.Wakes`."""

    _heard: object = None
    """the count of the last look; None before the first"""

    def wait(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while True:
            counted, self._heard = self._heard, self._database.one("data_version")
            if counted != self._heard:
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(LOOK_SECONDS, left))
