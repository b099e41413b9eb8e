"""The machine's clock and chance."""

import os
import time
from typing import Final

_POOL_BYTES: Final = 4096


class SystemClock:
    """Time and chance of this machine."""

    def __init__(self) -> None:
        self._pool = b""
        self._used = 0

    def now(self) -> int:
        """Microseconds since 1970, UTC."""
        return time.time_ns() // 1000

    def chance(self, count: int) -> bytes:
        """`count` bytes from the operating system, drawn in bulk: a call per salt costs as much as using it."""
        if self._used + count > len(self._pool):
            self._pool, self._used = os.urandom(max(_POOL_BYTES, count)), 0
        start = self._used
        self._used += count
        return self._pool[start : self._used]
