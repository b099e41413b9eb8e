"""Runs a function of the catalog inside the confines: the request comes on stdin, the answer goes out line by line.

The lines are JSON objects with one key: `say`, `progress`, and last `gave`, `failed` or `retry`. Whoever reads them
believes nothing but their form: they come from code that may be anybody's.
"""

import errno
import json
import os
import sys
from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction, signature
from socket import gaierror
from typing import Any, Final, NoReturn

from magsag.catalog.code import Modules, callable_of
from magsag.domain.errors import Invalid, Retryable, StepFailed
from magsag.services.recording.masking import RESOLVED
from magsag.services.steps.raised import raised

_REFUSED: Final = frozenset({errno.EACCES, errno.EPERM, errno.ENETUNREACH})
_NO_NETWORK: Final = "; its sandbox has no network: a skill that declares `capabilities: [network]` has"


def serve(answer: int) -> int:
    """Read the request, act, answer. The exit code."""
    request = json.loads(sys.stdin.buffer.read())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    for name, secret in request["secrets"].items():
        if secret is not None:
            RESOLVED.add(name, secret)  # an error that is told in part must not hold half of one
    context = _Context(answer, request["key"], request["secrets"])
    try:
        context.tell("gave", _json(_acted(request, context)))
    except Retryable as error:
        context.tell("retry", [error.type, error.message, error.retry_after_seconds])
    except MemoryError:
        said = "it needs more memory than it may have (`resources: {memory: ...}`)"
        context.tell("failed", ["raised", f"MemoryError: {said}", {"exception": "MemoryError"}])
    except (Exception, SystemExit) as error:
        failed = error if isinstance(error, StepFailed) else raised(error)
        closed = _NO_NETWORK if not request["has_network"] and _is_of_network(error) else ""
        context.tell("failed", [failed.type, failed.message + closed, failed.details])
    sys.stdout.flush()
    sys.stderr.flush()
    return 0


class _Context:
    """The `ctx` of a skill in a process of its own."""

    def __init__(self, answer: int, key: str, secrets: Mapping[str, str | None]) -> None:
        self._answer = answer
        self._secrets = secrets
        self.idempotency_key = key

    def log(self, message: str, **fields: object) -> None:
        """Write a line to the log of the process that drives the run; no fact."""
        self.tell("say", [str(message), {name: _plain(value) for name, value in fields.items()}])

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the act is; no fact."""
        self.tell("progress", [done, total, message])

    def spent(self, usd: float | str | None = None, tokens: int | None = None) -> None:
        """Say what the act has cost so far; more than its manifest declares fails the step when it has ended."""
        self.tell("spent", [usd, tokens])

    def secret(self, name: str) -> str | None:
        """A secret that the skill declares; None for an optional one that is missing."""
        if name not in self._secrets:
            said = (
                f"the skill does not declare the secret {name}: add `secrets: {{{name}: env:{name}}}` to its manifest"
            )
            raise StepFailed("denied", said)
        return self._secrets[name]

    def put_record(self, key: str, value: object) -> NoReturn:
        """Not from here."""
        self._refuse("put_record")

    def get_record(self, key: str, default: object = None) -> NoReturn:
        """Not from here."""
        self._refuse("get_record")

    @property
    def files(self) -> NoReturn:
        """Not from here."""
        raise Invalid("ctx.files is for skills with `isolation: in_process`; here open files as ever")

    def http(self, **options: object) -> NoReturn:
        """Not from here."""
        raise Invalid("ctx.http is for skills with `isolation: in_process`")

    def tell(self, kind: str, said: object) -> None:
        line = memoryview(json.dumps({kind: said}).encode() + b"\n")
        while line:
            line = line[os.write(self._answer, line) :]

    def _refuse(self, verb: str) -> NoReturn:
        raise Invalid(f"ctx.{verb} needs the store, which a process of its own does not reach: `isolation: in_process`")


def _acted(request: dict[str, Any], context: _Context) -> object:
    files = {path: text.encode("latin-1") for path, text in request["files"].items()}
    modules = Modules(files, request["root"], request["hash"])
    path = request["path"]
    try:
        module = modules.module(path)
        function: Callable[..., Any] = callable_of(module, request["function"], modules.shown(path))
    except Invalid as error:
        raise StepFailed("raised", str(error)) from error
    arguments = [request["input"], context] if len(signature(function).parameters) > 1 else [request["input"]]
    if iscoroutinefunction(function):
        import asyncio

        return asyncio.run(function(*arguments))
    given: object = function(*arguments)
    return given


def _is_of_network(error: BaseException | None) -> bool:
    """Whether it comes from a socket that was refused: then the system names no file."""
    while error is not None:
        if isinstance(error, OSError) and error.filename is None and error.errno in _REFUSED:
            return True
        if isinstance(error, gaierror):
            return True
        error = error.__cause__ or error.__context__
    return False


def _json(value: object) -> object:
    """The value, if JSON holds it as it is. Raises StepFailed with its first part that JSON cannot hold."""
    try:
        if json.loads(json.dumps(value, allow_nan=False)) == value:
            return value
    except (TypeError, ValueError, RecursionError):
        pass
    from magsag.domain.values import encode

    return encode(value, "what it gave")[1]


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
