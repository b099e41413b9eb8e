"""Programs that flows start: without a shell, with an end that says whether they may have acted. For `acts` alone."""

import asyncio
import os
import signal
from collections.abc import Container, Mapping
from contextlib import suppress
from typing import Any, Final

from magsag.domain.errors import ErrorType, Invalid, StepFailed
from magsag.domain.manifests.isolation import Isolation
from magsag.ports.sandbox import Confines, NoAnswer, Sandbox
from magsag.services.steps.apart import said_of

OUTPUT_LIMIT: Final = 64 * 1024
"""how much of a program's stdout and of its stderr is kept, in bytes"""
_REAP_SECONDS: Final = 2.0
"""how long a program that was killed may take to be gone"""
_OURS: Final = frozenset({"MAGSAG_LEDGER", "AGDD_LEDGER", "MAGSAG_API_KEY", "PGPASSWORD"})
"""variables that open the ledger or show who somebody is: programs that steps start are not handed them"""


async def shell(value: Mapping[str, Any], confines: Confines, sandbox: Sandbox, hidden: Container[str]) -> object:
    """Run `{run: [program, arguments...]}`. Output `{code, stdout, stderr}`; a code other than 0 fails.

    `hidden` are variables that it is not handed where it is not confined. Raises StepFailed.
    """
    argv = [str(part) for part in value["run"]]
    if confines.isolation is Isolation.IN_PROCESS:
        return _program_output(argv[0], *await _unconfined(argv, hidden))
    try:
        ended = await sandbox.program(argv, confines, OUTPUT_LIMIT)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise StepFailed(ErrorType.RAISED, f"cannot start {argv[0]!r}: {why}") from error
    except Invalid as error:
        raise StepFailed(ErrorType.RAISED, f"{argv[0]} is not started: {error}") from error
    except NoAnswer as error:
        raise StepFailed(ErrorType.TIMEOUT, f"how {argv[0]} ended is not known: {error}") from error
    stdout, stderr = (data.decode("utf-8", "replace") for data in (ended.stdout, ended.stderr))
    return _program_output(argv[0], stdout, stderr, ended.code)


def _program_output(program: str, stdout: str, stderr: str, code: int) -> object:
    output = {"code": code, "stdout": stdout, "stderr": stderr}
    if code != 0:
        said = (stderr.strip() or stdout.strip()).splitlines()
        why = f": {said[-1]}" if said else ""
        # A program that a signal ended could not say whether it had acted.
        type = ErrorType.RAISED if code > 0 else ErrorType.TIMEOUT
        raise StepFailed(type, f"{program} {said_of(code)}{why}", output)
    return output


async def _unconfined(argv: list[str], hidden: Container[str]) -> tuple[str, str, int]:
    """As whoever drives the run would start it: stdout, stderr, code."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if _is_for_others(name, hidden)},
        )
    except (OSError, ValueError) as error:
        raise StepFailed(ErrorType.RAISED, f"cannot start {argv[0]!r}: {error}") from error
    try:
        stdout, stderr, code = await asyncio.gather(_capped(process.stdout), _capped(process.stderr), process.wait())
    except asyncio.CancelledError:
        _kill_group(process.pid)
        with suppress(TimeoutError):
            async with asyncio.timeout(_REAP_SECONDS):
                await asyncio.gather(_capped(process.stdout), _capped(process.stderr), process.wait())
        raise
    return stdout, stderr, code


def _is_for_others(name: str, hidden: Container[str]) -> bool:
    return name.upper() not in _OURS and name not in hidden


async def _capped(stream: asyncio.StreamReader | None) -> str:
    """Read to the end, keep OUTPUT_LIMIT bytes."""
    kept = bytearray()
    while stream is not None and (piece := await stream.read(65536)):
        kept += piece[: max(0, OUTPUT_LIMIT - len(kept))]
    return kept.decode("utf-8", "replace")


def _kill_group(pid: int) -> None:
    try:
        if hasattr(os, "killpg"):
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
