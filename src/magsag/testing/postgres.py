"""A private Postgres server for tests, proofs and measurements: its own folder, a socket in it, no network.

    with private_cluster() as cluster:
        store = PostgresStore(cluster.dsn("one"), folder)

It syncs as a real one does, so that it may be killed. It ends with the block, and with the process that started it.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_INSTALLED: Final = Path("/usr/lib/postgresql")
"""where Debian keeps the programs, by version; they are not on PATH there"""
_SETTINGS: Final = (
    "listen_addresses=",
    "fsync=on",
    "max_connections=200",
    "shared_buffers=32MB",
    "dynamic_shared_memory_type=mmap",  # in its folder, so that a killed server leaves nothing behind
)
_PATIENCE_SECONDS: Final = 30.0
_ROOM: Final = 1 << 30


def programs() -> Path | None:
    """The folder of `initdb` and `postgres`, of the newest version that is here; None when there is none."""
    versions = sorted(_INSTALLED.glob("*/bin/initdb"), key=lambda path: float(path.parents[1].name), reverse=True)
    on_path = shutil.which("initdb")
    found = versions[0] if versions else Path(on_path) if on_path else None
    return None if found is None else found.parent


class Cluster:
    """One server; `private_cluster` makes it."""

    def __init__(self, folder: Path, bin: Path) -> None:
        self.folder = folder
        self._bin = bin
        self._process: subprocess.Popen[bytes] | None = None

    def dsn(self, schema: str) -> str:
        """Where a ledger of that name is; each has a schema of its own."""
        return f"postgresql://magsag@/postgres?host={self.folder}&schema={schema}"

    def plain_dsn(self) -> str:
        """The same server for a client that knows nothing of ledgers."""
        return f"postgresql://magsag@/postgres?host={self.folder}"

    @property
    def pid(self) -> int:
        """The server's first process, whatever was put before its command."""
        return int((self._data / "postmaster.pid").read_text(encoding="ascii").split()[0])

    def start(self, prefix: Sequence[str] = (), settings: Sequence[str] = ()) -> None:
        """Start and wait until it answers; `prefix` goes before the command, e.g. a tracer."""
        options = [part for setting in (*_SETTINGS, *settings) for part in ("-c", setting)]
        command = [*_bound(), *prefix, str(self._bin / "postgres"), "-D", str(self._data), "-k", str(self.folder)]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=_user(), cwd="/"
            )
        self._wait()

    def stop(self) -> None:
        """Cut the connections, sync, end."""
        self._end(signal.SIGINT)

    def discard(self) -> None:
        """End at once: nobody will read these files again."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        """End as a power cut would, but for the disk: no goodbye to anybody."""
        self._end(signal.SIGKILL)
        # The other processes notice that the first is gone, and the folder stays locked until they have.
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while _is_alive_in(self._data) and time.monotonic() < deadline:
            time.sleep(0.02)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def log(self) -> str:
        """What the server said."""
        return (self.folder / "server.log").read_text(encoding="utf-8", errors="replace")

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def initialise(self) -> None:
        """Make the data folder."""
        command = [str(self._bin / "initdb"), "-D", str(self._data), "-U", "magsag", "-A", "trust", "-E", "UTF8"]
        command += ["--no-sync", "--locale=C"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, user=_user(), cwd="/")
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed: {done.stderr}")

    def _wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        command = [str(self._bin / "pg_isready"), "-q", "-h", str(self.folder)]
        while subprocess.run(command, check=False).returncode != 0:
            if time.monotonic() > deadline or (self._process is not None and self._process.poll() is not None):
                raise RuntimeError(f"the server did not start: {self.log()[-2000:]}")
            time.sleep(0.02)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, how)
            self._process.wait(_PATIENCE_SECONDS)
        self._process = None


@contextmanager
def private_cluster(in_memory: bool = True) -> Iterator[Cluster]:
    """A server that runs while the block does. Raises RuntimeError where Postgres is not installed.

    `in_memory`: its files are in the memory of the machine where that has room; whoever measures wants a disk.
    """
    bin = programs()
    if bin is None:
        raise RuntimeError("no initdb here; Debian: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=_memory() if in_memory else None))
    cluster = Cluster(folder, bin)
    try:
        if (user := _user()) is not None:
            shutil.chown(folder, user)
        folder.chmod(0o755)
        cluster.initialise()
        cluster.start()
        yield cluster
    finally:
        cluster.discard()
        shutil.rmtree(folder, ignore_errors=True)


def _memory() -> Path | None:
    shared = Path("/dev/shm")
    has_room = shared.is_dir() and shutil.disk_usage(shared).free > _ROOM
    return shared if has_room else None


def _user() -> str | None:
    """Postgres refuses to be root."""
    if os.geteuid() != 0:
        return None
    import pwd

    return "postgres" if "postgres" in {entry.pw_name for entry in pwd.getpwall()} else "nobody"


def _bound() -> list[str]:
    """Linux: the server is told to end when whoever started it is gone, however that went."""
    return ["setpriv", "--pdeathsig", "INT"] if sys.platform == "linux" and shutil.which("setpriv") else []


def _is_alive_in(data: Path) -> bool:
    """Whether a process still works in this data folder."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").resolve() == data.resolve():
                return True
    return False
