"""Other engines on the same cases: each in an environment of its own, measured in turn with ours.

An environment is made on demand under `.peers/`, from the exact versions in `benchmarks/peers/NAME.txt`. A peer that
cannot be installed or started is left out, with a word on stderr; nothing of ours waits for it.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PROGRAMS = HERE / "peers"
ENVIRONMENTS = HERE.parent / ".peers"
NAMES = ("langgraph", "dbos")


class Unavailable(Exception):
    """A peer that cannot be measured here, and why."""


class Peer:
    """One peer's process, and what it says of itself."""

    def __init__(self, name: str, python: Path, folder: Path, url: str | None = None) -> None:
        """`url`: a Postgres database instead of a SQLite file. Raises Unavailable when its program does not come up."""
        self.name = name
        self._command = [str(python), str(PROGRAMS / f"{name}_peer.py")]
        self._folder = folder
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [*self._command, self.folder()],
            env={**os.environ, **({"BENCH_URL": url} if url else {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )
        greeting = self._read()
        self.version: str = greeting["version"]
        self.settings: str = greeting["settings"]
        self.cases: list[str] = [*greeting["cases"], "resume"]

    def measure(self, case: str) -> float:
        """One round of a case, in the unit of ours. Raises Unavailable when the peer breaks down."""
        if case == "resume":
            return self._resumed_after_ms()
        assert self._process.stdin is not None
        self._process.stdin.write(case + "\n")
        self._process.stdin.flush()
        return float(self._read())

    def folder(self) -> str:
        """A fresh one on the disk that ours is on."""
        return tempfile.mkdtemp(prefix=f"{self.name}-", dir=self._folder)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._said.seek(0)
            last = self._said.read().strip().splitlines()[-1:] or ["its process ended"]
            raise Unavailable(f"{self.name}: {last[0]}")
        return json.loads(line)

    def _resumed_after_ms(self) -> float:
        folder = self.folder()
        return killed_and_resumed_ms(
            Path(folder), [*self._command, folder, "start"], [*self._command, folder, "resume"], {}
        )


class Peers:
    """The peers of one benchmark run; none where nobody asked for them."""

    def __init__(self, names: Sequence[str], folder: Path, url: str | None = None) -> None:
        self._names = names
        self.folder = folder
        self._all: list[Peer] = []
        for name in names:
            try:
                self._all.append(Peer(name, environment(name), folder, url))
            except Unavailable as why:
                print(f"left out: {why}", file=sys.stderr, flush=True)

    def works(self, case: str) -> dict[str, Callable[[], float]]:
        """By peer's name, for those that have this case."""
        return {peer.name: lambda peer=peer: peer.measure(case) for peer in self._all if case in peer.cases}

    def on(self, url: str) -> "Peers":
        """The same peers on a Postgres database; the caller closes them."""
        return Peers(self._names, self.folder, url)

    def described(self) -> dict[str, dict[str, str]]:
        """Versions and settings by name."""
        return {peer.name: {"version": peer.version, "settings": peer.settings} for peer in self._all}

    def close(self) -> None:
        """End them all."""
        for peer in self._all:
            peer.close()


def environment(name: str) -> Path:
    """The peer's interpreter, installed where it is not. Raises Unavailable."""
    pinned = PROGRAMS / f"{name}.txt"
    place = ENVIRONMENTS / name
    python, stamp = place / "bin" / "python", place / "installed"
    wanted = hashlib.sha256(pinned.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    print(f"{name} is being installed into {place.relative_to(HERE.parent)} ...", file=sys.stderr, flush=True)
    shutil.rmtree(place, ignore_errors=True)
    try:
        venv.create(place, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(pinned)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"{name}: its environment cannot be made: {error}") from error
    if done.returncode:
        raise Unavailable(f"{name} cannot be installed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    subprocess.run([str(python), "-m", "compileall", "-q", str(place)], capture_output=True, check=False)
    stamp.write_text(wanted, encoding="utf-8")
    return python


def killed_and_resumed_ms(folder: Path, start: list[str], resume: list[str], how: dict[str, Any]) -> float:
    """Kill a run of eight stamps in its sixth; from starting the next process to that process's first step, in ms.

    `how` goes to both processes. Raises Unavailable when the run does not get that far.
    """
    killed = subprocess.Popen(start, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **how)
    began = time.monotonic()
    while not (folder / "waiting").exists():
        if killed.poll() is not None or time.monotonic() - began > 60:
            killed.kill()
            raise Unavailable("its run ended before it could be killed")
        time.sleep(0.01)
    time.sleep(0.2)
    killed.kill()
    killed.wait()
    before = (folder / "stamps").read_text(encoding="utf-8").count("\n")
    resumed_at = time.time()
    subprocess.run(resume, check=True, capture_output=True, timeout=60, **how)
    new = (folder / "stamps").read_text(encoding="utf-8").splitlines()[before]
    return (float(new.split()[1]) - resumed_at) * 1000
