"""Locks on files, which the kernel drops when their process dies. They are tried, never waited for without an end:

a process that was stopped keeps what it holds.
"""

import os
import sys
import time
from typing import Final

_FIRST_PAUSE_SECONDS: Final = 0.0005
_LONGEST_PAUSE_SECONDS: Final = 0.002

if sys.platform == "win32":
    import msvcrt

    def try_lock(descriptor: int, at: int = 0) -> bool:
        """Whether it is ours now. `at` is the byte that stands for the file, where locked bytes cannot be read."""
        os.lseek(descriptor, at, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def unlock(descriptor: int, at: int = 0) -> None:
        """Give it back."""
        os.lseek(descriptor, at, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def try_lock(descriptor: int, at: int = 0) -> bool:
        """Whether it is ours now. `at` is the byte that stands for the file, where locked bytes cannot be read."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(descriptor: int, at: int = 0) -> None:
        """Give it back."""
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def lock_within(descriptor: int, seconds: float, at: int = 0) -> bool:
    """Whether it became ours in that time. Raises OSError."""
    if try_lock(descriptor, at):
        return True
    end, pause = time.monotonic() + seconds, _FIRST_PAUSE_SECONDS
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        if try_lock(descriptor, at):
            return True
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
    return False
