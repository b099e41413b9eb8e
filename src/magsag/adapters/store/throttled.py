"""Throttles in memory."""

import threading
import time

from magsag.ports.throttles import ThrottleRow


class MemoryThrottles:
    """`ports.throttles.Throttles`, in a dict."""

    _lock: threading.RLock
    _throttles: dict[str, ThrottleRow]

    def throttle(self, name: str) -> tuple[int, ThrottleRow | None]:
        with self._lock:
            return time.time_ns() // 1000, self._throttles.get(name)

    def put_throttle(self, row: ThrottleRow) -> bool:
        with self._lock:
            known = self._throttles.get(row.name)
            follows = row.version == (known.version + 1 if known is not None else 1)
            if follows:
                self._throttles[row.name] = row
            return follows

    def throttles(self) -> list[ThrottleRow]:
        with self._lock:
            return [self._throttles[name] for name in sorted(self._throttles)]
