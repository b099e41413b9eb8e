"""The first code of a process of an act: it holds what follows, and ends it with everything that it has started.

Loads the standard library alone, so that it costs little. The process itself stays outside the confines and only
watches; a fork of it enters them, and becomes a program or runs code of the catalog.
"""

import json
import os
import select
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from magsag.adapters.sandbox import kernel


def main(told: int) -> None:
    """`told` is an open file with what `launch` has made, as JSON."""
    with os.fdopen(told, "rb") as file:
        config = json.loads(file.read())
    life, answer = config["life"], config["answer"]
    watched = os.getpid()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    kernel.prctl(kernel.CHILD_SUBREAPER, 1)
    kernel.prctl(kernel.PDEATHSIG, signal.SIGTERM)
    pid = os.fork()
    if pid == 0:
        for end in (life, woken, wake):
            os.close(end)
        _enter(config, watched, answer)
    os.close(0)
    code = _watch(pid, life, woken)
    _report(answer, ended=code)


def _watch(pid: int, life: int, woken: int) -> int:
    """Wait for the act to end, or for whoever started it to be gone; leave nothing of it behind."""
    poll = select.poll()
    poll.register(life, select.POLLIN)
    poll.register(woken, select.POLLIN)
    while True:
        ready = {number for number, _ in poll.poll()}
        if life in ready or signal.SIGTERM in os.read(woken, 4096):
            _end_all(pid)
            return -signal.SIGKILL
        while (ended := _reaped()) is not None:
            if ended[0] == pid:
                _end_all(pid)
                return os.waitstatus_to_exitcode(ended[1])


def _reaped() -> tuple[int, int] | None:
    try:
        found = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return found if found[0] else None


def _end_all(pid: int) -> None:
    """Kill the act's group and all that descends from it: an orphan of an orphan comes back here."""
    while True:
        with suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
        for number in descendants(os.getpid()):
            with suppress(OSError):
                os.kill(number, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def descendants(of: int) -> Iterator[int]:
    """Children, their children, and so on, by what /proc says now."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:
                    parents[int(name)] = int(stat.read().rpartition(b")")[2].split()[1])
            except (OSError, ValueError):
                continue
    known = {of}
    while more := {child for child, parent in parents.items() if parent in known} - known:
        known |= more
        yield from more


def _enter(config: Mapping[str, Any], watched: int, answer: int) -> NoReturn:
    """In the fork: the confines, then the act. What fails before it is told, and nothing acts."""
    code, acts = 127, False
    try:
        os.setpgid(0, 0)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        _confine(config, watched)
        if config["argv"] is None:
            from magsag.adapters.sandbox.serve import serve

            _report(answer, began=True)
            acts = True
            code = serve(answer)
        else:
            os.set_inheritable(answer, False)
            _report(answer, began=True)
            os.execvp(config["argv"][0], config["argv"])
    except BaseException as error:
        if acts:
            raise
        _report(answer, cannot=_why(error))
    finally:
        os._exit(code)


def _why(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "it has too little memory to start (`resources: {memory: ...}`)"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _confine(config: Mapping[str, Any], watched: int) -> None:
    kernel.prctl(kernel.PDEATHSIG, signal.SIGKILL)
    if os.getppid() != watched:
        raise OSError("whoever started it is gone")
    kernel.limit(config["resources"])
    os.chdir(config["folder"])
    if config["sandbox"]:
        kernel.drop_rights()
        if (rules := config["files"]) is not None:
            kernel.confine_files(rules["read"], rules["write"], config["network"])
        if kernel.has_filter():
            kernel.confine_calls(config["network"])


def _report(answer: int, **said: object) -> None:
    """A line to whoever started it; it may be gone."""
    with suppress(OSError):
        os.write(answer, b"\n" + json.dumps(said).encode() + b"\n")
