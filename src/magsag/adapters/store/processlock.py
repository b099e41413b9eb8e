"""A lock file by which other processes of this machine see whether this one lives: the kernel drops it at death.

An owner's name is `host:process:token`; its lock file is `token.lock`. `host` changes with each boot, so a name of
another machine, or of before a restart, is never judged by a file here: its leases end by the clock.
"""

import os
import sys
import threading
from hashlib import sha256
from pathlib import Path

from magsag.adapters.store.failures import no_access
from magsag.adapters.store.filelock import try_lock


class ProcessLock:
    """This store's own lock, taken when its name is first asked for, and the eyes for those of others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guard = threading.Lock()
        self._name: str | None = None
        self._descriptor = -1
        self._path: Path | None = None

    def name(self) -> str:
        """This owner's name; the first call takes the lock. Raises StoreBroken."""
        with self._guard:
            if self._name is None:
                try:
                    self._folder.mkdir(parents=True, exist_ok=True)
                    self._sweep()
                    self._name = self._take()
                except OSError as error:
                    raise no_access(self._folder, error) from error
            return self._name

    def is_dead(self, owner: str) -> bool:
        """Whether this owner ran on this machine since its start and is gone for certain."""
        host, _, rest = owner.partition(":")
        token = rest.rpartition(":")[2]
        if owner == self._name or host != _host() or not token:
            return False
        return _is_free(self._folder / f"{token}.lock")

    def close(self) -> None:
        """Give the name up; its leases may be taken at once."""
        with self._guard:
            if self._path is not None:
                os.close(self._descriptor)
                self._path.unlink(missing_ok=True)
                self._path, self._name = None, None

    def _take(self) -> str:
        while True:
            token = os.urandom(8).hex()
            path = self._folder / f"{token}.lock"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            if try_lock(descriptor) and _is_same(descriptor, path):
                break
            os.close(descriptor)  # somebody swept the file between the two calls
        self._descriptor, self._path = descriptor, path
        if hasattr(os, "register_at_fork"):
            # A child would hold the lock for its parent after the parent's death.
            os.register_at_fork(after_in_child=self._forget)
        return f"{_host()}:{os.getpid()}:{token}"

    def _forget(self) -> None:
        if self._path is not None:
            os.close(self._descriptor)
            self._path = None

    def _sweep(self) -> None:
        """Remove what dead processes left."""
        for path in self._folder.glob("*.lock"):
            _is_free(path)


def _is_free(path: Path) -> bool:
    """Whether nobody holds this lock file; then it is removed."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        if not try_lock(descriptor):
            return False
        if sys.platform != "win32":
            path.unlink(missing_ok=True)
        return True
    finally:
        os.close(descriptor)


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _host() -> str:
    """What stays the same as long as this system runs, and differs elsewhere."""
    try:
        identity = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        from uuid import getnode  # only where there is no boot id

        identity = f"{getnode():x}"
    return sha256(identity.encode()).hexdigest()[:12]
