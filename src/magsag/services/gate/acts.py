"""How each kind of act is performed. Only the gate calls this file.

A sync function runs in a thread; when it overstays it is abandoned and its late result is dropped. What an act
raises becomes one of ours here: Retryable and StepFailed pass, everything else is `raised` with the user's own
file and line.
"""

import logging
import os
from collections.abc import Container, Mapping
from typing import Any

from magsag.catalog.security.environment import SECRET_NAME, secret_variables
from magsag.domain.context import Files
from magsag.domain.errors import Retryable, StepFailed
from magsag.ports.ledger import Record
from magsag.ports.means import Means
from magsag.ports.sandbox import Confines, Escaped
from magsag.services.gate.outcomes import Outcomes
from magsag.services.gate.secrets import given, handed
from magsag.services.gate.shells import shell
from magsag.services.recording.masking import RESOLVED
from magsag.services.steps.apart import act_apart
from magsag.services.steps.attempt import Attempt
from magsag.services.steps.budgeting import count_tokens, report
from magsag.services.steps.raised import raised
from magsag.services.steps.records import RecordShelf
from magsag.services.steps.target import ApartAct, FunctionAct, ModelAct, ShellAct
from magsag.services.steps.threads import in_thread
from magsag.services.steps.whereabouts import WHEREABOUTS

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
        return await shell(value, act.confines, scope.means.sandbox, scope.hidden_variables)
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
