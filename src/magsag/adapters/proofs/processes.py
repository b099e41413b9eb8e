"""Processes made by forking one that has read the catalog: a fresh one costs milliseconds, and dies like any other.

The parent must have no threads of its own when it forks; a proof's has none.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from magsag.domain.errors import Broken, Invalid, MagsagError

Work = Callable[[], dict[str, Any]]
REFUSED: Final = 2
BROKEN: Final = 4
_SHOWN: Final = 2000
"""so much of what a process printed is told"""
_RESET: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def fork(work: Work, place: Path, limit_seconds: int, is_leader: bool = False) -> int:
    """Start a process that does the work and writes `place.json`; what it prints goes to `place.log`. Its id.

    A leader has a group of its own, so that it can be ended with all that it started.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    # Python drops what is raised in its hooks around a fork, an interrupt too: it has to come before or after.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _RESET)
    process = os.fork()
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if process == 0:
        _be_child(work, place, limit_seconds, is_leader)
    return process


def ended(process: int, place: Path) -> tuple[int, dict[str, Any], str]:
    """Wait for it: its exit code or the signal as a negative number, what it said, and the end of what it printed."""
    _, status = os.waitpid(process, 0)
    return told(os.waitstatus_to_exitcode(status), place)


def told(code: int, place: Path) -> tuple[int, dict[str, Any], str]:
    """What a process that has ended leaves."""
    said: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        said = json.loads(place.with_suffix(".json").read_text(encoding="utf-8"))
    printed = ""
    with suppress(OSError):
        printed = place.with_suffix(".log").read_text(encoding="utf-8", errors="replace")[-_SHOWN:].strip()
    if code == -signal.SIGALRM:
        printed = f"it did not end in time; {printed}"
    return code, said, printed


def each(works: Sequence[Work], folder: Path, at_once: int, limit_seconds: int) -> Iterator[tuple[int, int, Path]]:
    """Do the works, so many at once; index, exit code and place of each as it ends. Those under way end with us."""
    running: dict[int, int] = {}
    try:
        for index, work in enumerate(works):
            if len(running) >= at_once:
                yield _next(running, folder)
            running[fork(work, folder / f"work-{index}", limit_seconds, is_leader=True)] = index
        while running:
            yield _next(running, folder)
    finally:
        for process in running:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process, signal.SIGKILL)
        for process in running:
            with suppress(ChildProcessError):
                os.waitpid(process, 0)


def _next(running: dict[int, int], folder: Path) -> tuple[int, int, Path]:
    while True:
        process, status = os.wait()
        if process in running:
            index = running.pop(process)
            return index, os.waitstatus_to_exitcode(status), folder / f"work-{index}"


def refuse(place: Path, error: Invalid) -> NoReturn:
    """End this process at once: what it was asked to do cannot be done."""
    place.with_suffix(".json").write_text(json.dumps({"refused": str(error)}), encoding="utf-8")
    os._exit(REFUSED)


def _be_child(work: Work, place: Path, limit_seconds: int, is_leader: bool) -> NoReturn:
    code = BROKEN
    try:
        _settle(place, limit_seconds, is_leader)
        try:
            said, code = work(), 0
        except MagsagError as error:
            code = REFUSED if isinstance(error, Invalid) else BROKEN
            said = {"refused": str(error), "is_broken": code == BROKEN and isinstance(error, Broken)}
        place.with_suffix(".json").write_text(json.dumps(said), encoding="utf-8")
    except BaseException:
        code = BROKEN
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _settle(place: Path, limit_seconds: int, is_leader: bool) -> None:
    """Nothing of the parent's terminal or signals; an end that is certain."""
    for number in _RESET:
        signal.signal(number, signal.SIG_DFL)
    signal.alarm(limit_seconds)
    if is_leader:
        os.setpgid(0, 0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(place.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
