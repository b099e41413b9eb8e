"""How each kind of act is performed. Only the gate calls this file.

A sync function runs in a thread; when it overstays it is abandoned and its late result is dropped. What an act
raises becomes one of ours here: Retryable and StepFailed pass, everything else is `raised` with the user's own
file and line.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Container, Mapping
from contextlib import suppress
from typing import Any, Final

from magsag.catalog.security.environment import SECRET_NAME, secret_variables
from magsag.domain.context import Files
from magsag.domain.errors import ErrorType, Invalid, Retryable, StepFailed
from magsag.domain.manifests.isolation import Isolation
from magsag.ports.ledger import Record
from magsag.ports.means import Means
from magsag.ports.sandbox import Confines, Escaped, NoAnswer
from magsag.services.gate.outcomes import Outcomes
from magsag.services.gate.secrets import given, handed
from magsag.services.recording.masking import RESOLVED
from magsag.services.steps.apart import act_apart, said_of
from magsag.services.steps.attempt import Attempt
from magsag.services.steps.budgeting import count_tokens, report
from magsag.services.steps.raised import raised
from magsag.services.steps.records import RecordShelf
from magsag.services.steps.target import ApartAct, FunctionAct, ModelAct, ShellAct
from magsag.services.steps.threads import in_thread
from magsag.services.steps.whereabouts import WHEREABOUTS

OUTPUT_LIMIT: Final = 64 * 1024
"""how much of a program's stdout and of its stderr is kept, in bytes"""
_REAP_SECONDS: Final = 2.0
"""how long a program that was killed may take to be gone"""
_OURS: Final = frozenset({"MAGSAG_LEDGER", "AGDD_LEDGER", "MAGSAG_API_KEY", "PGPASSWORD"})
"""variables that open the ledger or show who somebody is: programs that steps start are not handed them"""
_log = logging.getLogger("magsag.act")


class ActScope:
    """The `ctx` of a skill: what it may use while it acts."""

    __slots__ = ("_attempt", "_number", "_outcomes", "_shelf", "means", "records")

    def __init__(self, attempt: Attempt, outcomes: Outcomes, shelf: RecordShelf, means: Means) -> None:
        self._attempt, self._number = attempt, attempt.number
        self.means = means
        self._outcomes = outcomes
        self._shelf = shelf
        self.records: tuple[Record, ...] = ()
        """what the act has put so far"""

    @property
    def idempotency_key(self) -> str:
        """Names this step's effect to the outside; the same over retries and restarts."""
        return self._attempt.key

    @property
    def whereabouts(self) -> tuple[str, str]:
        """Run and step."""
        return self._attempt.seat.run.id, self._attempt.id

    def put_record(self, key: str, value: object) -> None:
        """Put JSON under a key, for a transactional skill: it is there if and only if this act's outcome is."""
        made = self._shelf.record(self._attempt.target.proposal.effect, key, value)
        self.records = (*self.records, made)

    def get_record(self, key: str, default: object = None) -> object:
        """What was last put under a key; for any skill that may look, which a `pure` one may not."""
        return self._shelf.get(self._attempt.target.proposal.effect, self.records, key, default)

    def spent(self, usd: float | str | None = None, tokens: int | None = None) -> None:
        """Say what the act has cost so far, in USD and tokens; what is said again adds up.

        What it never says is charged as its manifest declares it. Raises StepFailed for more than that. An attempt
        that was left behind is charged already: what it still says is no part of the next one.
        """
        if self._attempt.number == self._number:
            report(self._attempt, usd, tokens)

    def used(self, act: ModelAct, input: int, output: int) -> None:
        """Tokens of a model's answer, as its provider counts them."""
        count_tokens(self._attempt, act, input, output)

    @property
    def files(self) -> Files:
        """The files of the workspace."""
        return self.means.files

    def http(self, **options: Any) -> Any:
        """A client that reaches only the hosts that are granted."""
        return self.means.web.client(**options)

    def late(self, result: object, error: BaseException | None) -> None:
        """What a sync function gave, or raised, after it was given up."""
        self._outcomes.late(self._attempt, result, None if error is None else _ours(error))

    def secret(self, name: str) -> str | None:
        """A secret that the skill declares, as it was when this attempt started; None for an optional one that is
        missing."""
        return handed(self._attempt, name)

    @property
    def hidden_variables(self) -> frozenset[str]:
        """Variables that hold a secret of some skill: no program that a step starts is handed them."""
        return secret_variables(self._attempt.seat.targets.bundle)

    @property
    def secrets(self) -> Mapping[str, str | None]:
        """All that the act is handed: what an act in a process of its own is given."""
        return given(self._attempt)

    def log(self, message: str, **fields: object) -> None:
        """Write a line to the log of the process; no fact."""
        self._say(message, fields)

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the act is; no fact."""
        self._say("progress", {"done": done, "total": total, "text": message})

    def _say(self, message: str, fields: dict[str, object]) -> None:
        kept = {name: RESOLVED.cleaned(value) for name, value in fields.items()}
        about = {"run": self._attempt.seat.run.id, "step": self._attempt.id, "fields": kept}
        _log.info(RESOLVED.clean(message), extra=about)


class LookupScope(ActScope):
    """The `ctx` of a lookup: what one gives too late is of no use to anybody."""

    __slots__ = ()

    def late(self, result: object, error: BaseException | None) -> None:
        """Drop it."""


Performed = FunctionAct | ApartAct | ShellAct | ModelAct


async def perform(act: Performed, value: Any, scope: ActScope) -> object:
    """Act; what it gives is still to be masked. Raises Retryable, StepFailed without secrets; lets CancelledError
    through."""
    try:
        return await _performed(act, value, scope)
    except (Retryable, StepFailed) as error:
        soft = RESOLVED.softened(error)
        if soft is error:
            raise
        raise soft from error.__cause__ if isinstance(error.__cause__, Escaped) else None


async def _performed(act: Performed, value: Any, scope: ActScope) -> object:
    if isinstance(act, FunctionAct):
        return await _function(act, value, scope)
    if isinstance(act, ApartAct | ShellAct):
        _know_secrets(act.confines, scope.hidden_variables)
    if isinstance(act, ApartAct):
        return await act_apart(scope.means.sandbox, act.name, act.code, act.confines, value, scope)
    if isinstance(act, ShellAct):
        return await _shell(value, act.confines, scope)
    return await _model(act, value, scope)


def _know_secrets(confines: Confines, hidden: Container[str]) -> None:
    """Of the variables that it is handed by name, those that are secrets are masked from here on."""
    for name in confines.environment:
        if (name in hidden or SECRET_NAME.search(name)) and (value := os.environ.get(name)):
            RESOLVED.add(name, value)


async def _function(act: FunctionAct, value: Any, scope: ActScope) -> object:
    arguments = value if act.spread else [value, scope] if act.wants_context else [value]
    before = WHEREABOUTS.get()
    WHEREABOUTS.set(scope.whereabouts)
    try:
        if act.is_async:
            result: object = await act.function(*arguments)
        else:
            result = await in_thread(act.function, arguments, scope.late)
    except (Exception, SystemExit) as error:
        raise _ours(error) from error
    finally:
        WHEREABOUTS.set(before)
    return result


def _ours(error: BaseException) -> Retryable | StepFailed:
    return error if isinstance(error, Retryable | StepFailed) else raised(error)


async def _shell(value: Mapping[str, Any], confines: Confines, scope: ActScope) -> object:
    """Run `{run: [program, arguments...]}`. Output `{code, stdout, stderr}`; a code other than 0 fails."""
    argv = [str(part) for part in value["run"]]
    if confines.isolation is Isolation.IN_PROCESS:
        return _program_output(argv[0], *await _unconfined(argv, scope.hidden_variables))
    try:
        ended = await scope.means.sandbox.program(argv, confines, OUTPUT_LIMIT)
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


async def _model(act: ModelAct, request: Mapping[str, Any], scope: ActScope) -> object:
    try:
        reply = await act.provider.complete(act.model, request)
    except Exception as error:
        raise _ours(error) from error
    scope.used(act, reply.input_tokens, reply.output_tokens)
    return {
        "text": reply.text,
        "model": reply.model,
        "provider": reply.provider,
        "usage": {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens},
    }
