"""Starts the process of an act and listens to it: what every adapter of `ports.sandbox` shares.

The process is watched from inside (`enter`); it ends when this end of a pipe, its life, is closed, by us or by our
death. Killing it from here (`ending`) is for the case that even that does not help.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field
from pathlib import Path
from typing import Any, Final

from magsag.adapters.sandbox.ending import Watched, drained, kept
from magsag.catalog.code import FrozenCode
from magsag.domain.frozen import frozen
from magsag.domain.manifests.isolation import Isolation
from magsag.ports.sandbox import Confines, Ended, NoAnswer

HANDED_ON: Final = ("PATH", "LANG", "LANGUAGE", "TZ", "TERM", "USER", "LOGNAME", "HOME")
"""variables that every act is handed, with those that begin with LC_"""
LONGEST_LINE: Final = 64 * 1024 * 1024
"""the longest answer that is read, in bytes"""
LONGEST_TAIL: Final = 64 * 1024
_PIECE: Final = 65536
_HOME: Final = str(Path(__file__).parents[3])
"""the folder that `magsag` is imported from"""
_ENTER: Final = (
    "import sys; sys.path.insert(0, sys.argv[2]); import magsag; del sys.path[0]; "
    "from magsag.adapters.sandbox.enter import main; main(int(sys.argv[1]))"
)
"""the product that starts it is the one that it runs, whatever else is installed"""


@frozen
class Held:
    """How one adapter holds a process."""

    folder: str
    """where it begins"""
    wrap: Sequence[str] = ()
    """what stands before the command"""
    files: Mapping[str, Sequence[str]] | None = None
    """paths to `read` and to `write`, where Landlock holds it to them"""
    variables: Mapping[str, str] = field(default_factory=dict)
    """what it sees in the place of ours"""


async def run_program(argv: Sequence[str], confines: Confines, held: Held, keep: int) -> Ended:
    """As `Sandbox.program`."""
    said: list[dict[str, Any]] = []
    with _Pipes() as pipes:
        process = await _started(argv, confines, held, pipes, asyncio.subprocess.DEVNULL)
        async with Watched(process, pipes.end, said, bool(held.wrap)) as watched:
            listening = pipes.lines(lambda line: _note(said, line), 4096)
            streams = kept(process.stdout, keep), kept(process.stderr, keep)
            stdout, stderr, _, _ = await watched.all(*streams, listening, process.wait())
    return Ended(_code(said, process.returncode, stderr), stdout, stderr, watched.is_gone)


async def run_code(
    code: FrozenCode, given: bytes, confines: Confines, held: Held, heard: Callable[[bytes], None]
) -> Ended:
    """As `Sandbox.code`."""
    said: list[dict[str, Any]] = []

    def hear(line: bytes) -> None:
        if line.startswith((b'{"began"', b'{"ended"', b'{"cannot"')):
            _note(said, line)
        else:
            heard(line)

    with _Pipes() as pipes:
        process = await _started(None, confines, held, pipes, asyncio.subprocess.PIPE)
        async with Watched(process, pipes.end, said, bool(held.wrap)) as watched:
            telling = _told(process.stdin, _request(code, given))
            streams = drained(process.stdout), _last(process.stderr)
            listening = pipes.lines(hear, LONGEST_LINE)
            _, _, stderr, _, _ = await watched.all(telling, *streams, listening, process.wait())
    return Ended(_code(said, process.returncode, stderr), stderr=stderr, is_gone=watched.is_gone)


def _note(said: list[dict[str, Any]], line: bytes) -> None:
    """What the watcher says; an act can write on its pipe, and then it may be anything."""
    with suppress(ValueError, RecursionError):
        if isinstance(one := json.loads(line), dict):
            said.append(one)


def _request(code: FrozenCode, given: bytes) -> bytes:
    files = {path: data.decode("latin-1") for path, data in code.files.items() if path.endswith(".py")}
    about = {"files": files, "root": code.root, "hash": code.hash, "path": code.path, "function": code.function}
    return json.dumps(about).encode()[:-1] + b", " + given[1:]


async def _started(
    argv: Sequence[str] | None, confines: Confines, held: Held, pipes: "_Pipes", stdin: int
) -> asyncio.subprocess.Process:
    config = {
        "argv": argv,
        "life": pipes.life,
        "answer": pipes.answer,
        "folder": held.folder,
        "sandbox": confines.isolation is Isolation.SANDBOX,
        "network": confines.network,
        "resources": confines.resources.model_dump(),
        "files": held.files,
    }
    flags = ["-I", "-S"] if argv is not None else ["-I"]
    told = _file_of(json.dumps(config).encode())
    command = [*held.wrap, sys.executable, *flags, "-c", _ENTER, str(told), _HOME]
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            pass_fds=(told, pipes.life, pipes.answer),
            env={**variables(confines), **held.variables},
        )
    finally:
        os.close(told)
        pipes.hand_over()
    return process


def _file_of(data: bytes) -> int:
    """An open file in memory: an argument could not be as long, and all could read it."""
    number = os.memfd_create("magsag")
    os.write(number, data)
    os.lseek(number, 0, os.SEEK_SET)
    return number


def variables(confines: Confines) -> dict[str, str]:
    """Of this process's variables those that an act is handed."""
    wanted = {*HANDED_ON, *confines.environment}
    return {name: value for name, value in os.environ.items() if name in wanted or name.startswith("LC_")}


class _Pipes:
    """The life of a process and the way of its answer."""

    def __init__(self) -> None:
        self.life, self._ours = os.pipe()
        self._heard, self.answer = os.pipe()

    def __enter__(self) -> "_Pipes":
        return self

    def __exit__(self, *_: object) -> None:
        self.hand_over()
        self.end()
        if self._heard >= 0:
            os.close(self._heard)

    def hand_over(self) -> None:
        """The other ends are the process's now."""
        for number in (self.life, self.answer):
            if number >= 0:
                os.close(number)
        self.life = self.answer = -1

    def end(self) -> None:
        """Let go of its life."""
        if self._ours >= 0:
            os.close(self._ours)
        self._ours = -1

    async def lines(self, heard: Callable[[bytes], None], longest: int) -> None:
        """Each line of the answer until there are no more. Raises NoAnswer for one that is too long."""
        reader = asyncio.StreamReader()
        stream = os.fdopen(self._heard, "rb", buffering=0)
        self._heard = -1
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), stream
        )
        rest = bytearray()
        try:
            while piece := await reader.read(_PIECE):
                rest += piece
                if b"\n" in piece:
                    *lines, last = bytes(rest).split(b"\n")
                    rest = bytearray(last)
                    for line in filter(None, lines):
                        heard(line)
                if len(rest) > longest:
                    raise NoAnswer(f"its answer is longer than {longest} bytes")
        finally:
            transport.close()


def _code(said: list[dict[str, Any]], code: int | None, stderr: bytes) -> int:
    """How the act ended, as its watcher says. Raises OSError when it never began."""
    for one in said:
        if "cannot" in one:
            raise OSError(str(one["cannot"]))
    for one in said:
        if isinstance(one.get("ended"), int):
            return int(one["ended"])
    if code == 0 or any("began" in one for one in said):
        return -signal.SIGKILL
    last = stderr.decode("utf-8", "replace").strip().splitlines()
    raise OSError(last[-1] if last else f"it ended with code {code} before it began")


async def _told(stream: asyncio.StreamWriter | None, data: bytes) -> None:
    assert stream is not None
    with suppress(BrokenPipeError, ConnectionResetError):
        stream.write(data)
        await stream.drain()
    stream.close()


async def _last(stream: asyncio.StreamReader | None) -> bytes:
    """Read to the end, keep the last bytes."""
    kept = b""
    while stream is not None and (piece := await stream.read(_PIECE)):
        kept = (kept + piece)[-LONGEST_TAIL:]
    return kept


@contextmanager
def private_folder() -> Iterator[str]:
    """A folder for the temporary files of one act."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="magsag-act-", ignore_cleanup_errors=True) as folder:
        yield folder
