"""Acts in processes of their own: what each may do there, whether this machine can hold it to that, and its answer.

What a machine cannot enforce is said before a run starts or goes on; an act that could not be held is not performed.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol

from magsag.catalog.bundle import Bundle
from magsag.catalog.code import FrozenCode
from magsag.catalog.reach import all_steps, models_reached, reached
from magsag.domain.errors import ErrorType, Invalid, Retryable, StepFailed
from magsag.domain.manifests import Flow, FlowStep, Skill
from magsag.domain.manifests.isolation import Isolation, Resources
from magsag.ports.sandbox import Confines, Ended, Escaped, Sandbox
from magsag.services.recording.masking import RESOLVED

_HERE: Final = Confines(Isolation.IN_PROCESS)
_SIGNALS: Final = {
    9: "was killed, as the system does when memory is short",
    24: "has used up its processor time (`resources: {cpu: ...}`)",
    25: "has written a file beyond its limit (`resources: {file_size: ...}`)",
    31: "made a call that a sandbox does not let through",
}


def confines_of_skill(skill: Skill) -> Confines:
    """What its manifest lets a skill do."""
    if skill.isolation is Isolation.IN_PROCESS:
        return _HERE
    return Confines(skill.isolation, "network" in skill.capabilities, skill.resources, skill.environment)


def confines_of_step(step: FlowStep | None) -> Confines:
    """What a `run` step lets its program do; one that says nothing, or is not there any more: a sandbox."""
    if step is None:
        return Confines(Isolation.SANDBOX)
    isolation = step.isolation or Isolation.SANDBOX
    return Confines(isolation, step.network, step.resources or Resources(), step.environment)


class Enforcing:
    """Whether this machine can hold what a program may reach within its confines."""

    def __init__(
        self, sandbox: Callable[[], Sandbox], workspace: Callable[[], None], priced: Callable[[str], object] = str
    ) -> None:
        """`sandbox` is asked for only when something acts apart; `workspace` raises Invalid for one that is none.

        `priced` raises Invalid for a model alias of which a price was named that is not there.
        """
        self._sandbox = sandbox
        self._workspace = workspace
        self._priced = priced
        self._known: set[tuple[str, str]] = set()

    def require(self, bundle: Bundle, program: str) -> None:
        """Raises Invalid, naming each skill or step that cannot be held, what is lacking, and the next move.

        Also for a workspace in which no act could write without reaching the ledger, the catalog or the settings.
        """
        if (bundle.hash, program) in self._known:
            return
        self._workspace()
        for alias in models_reached(bundle, program):
            self._priced(alias)
        faults = [
            f"{name} declares `isolation: {confines.isolation}`, and {lack}"
            for name, confines in _apart(bundle, program)
            if (lack := self._sandbox().lacks(confines)) is not None
        ]
        if faults:
            raise Invalid("\n".join(faults))
        self._known.add((bundle.hash, program))


def _apart(bundle: Bundle, program: str) -> Iterator[tuple[str, Confines]]:
    """What a run of the program can reach that acts in a process of its own."""
    found = reached(bundle, program)
    for entry in bundle.entries():
        if entry.ref not in found:
            continue
        if isinstance(entry.manifest, Skill):
            named = [(entry.ref, confines_of_skill(entry.manifest))]
        elif isinstance(entry.manifest, Flow):
            steps = [step for step in all_steps(entry.manifest.steps) if step.run is not None]
            named = [(f"step {step.id} of {entry.ref}", confines_of_step(step)) for step in steps]
        else:
            continue
        yield from (one for one in named if one[1].isolation is not Isolation.IN_PROCESS)


class Speaks(Protocol):
    """The `ctx` of the act, on this side."""

    @property
    def idempotency_key(self) -> str: ...

    @property
    def secrets(self) -> Mapping[str, str | None]: ...

    def log(self, message: str, **fields: object) -> None: ...

    def spent(self, usd: float | str | None = None, tokens: int | None = None) -> None: ...

    def progress(self, done: float, total: float | None = None, message: str = "") -> None: ...


async def act_apart(
    sandbox: Sandbox, name: str, code: FrozenCode, confines: Confines, value: object, scope: Speaks
) -> object:
    """Perform a function of the catalog there. Raises StepFailed, Retryable.

    What has begun and gives no answer of the right form may have acted: that is of type `timeout`, which leaves doubt.
    """
    heard = _Heard(scope)
    has_network = confines.isolation is not Isolation.SANDBOX or confines.network
    about = {"key": scope.idempotency_key, "secrets": dict(scope.secrets), "has_network": has_network}
    given = json.dumps({**about, "input": value}).encode()
    try:
        ended = await sandbox.code(code, given, confines, heard.line)
    except OSError as error:
        raise StepFailed(ErrorType.RAISED, f"{name} cannot be started: {error.strerror or error}") from error
    except Invalid as error:
        raise StepFailed(ErrorType.RAISED, f"{name}: {error}") from error
    except Exception as error:
        raise StepFailed(ErrorType.TIMEOUT, f"{name} gave no answer that can be read: {error}") from error
    for line in ended.stderr.decode("utf-8", "replace").splitlines():
        scope.log(line)
    return heard.answer(name, ended)


class _Heard:
    """What an act says, line by line. It may be anybody's code: what has not the form is no answer."""

    def __init__(self, scope: Speaks) -> None:
        self._scope = scope
        self._said: Mapping[str, Any] | None = None
        self._fault: StepFailed | None = None

    def line(self, data: bytes) -> None:
        try:
            said = json.loads(data)
            match said:
                case {"say": [str(message), dict(fields)]}:
                    self._scope.log(message, **fields)
                case {"progress": [int() | float() as done, total, str(message)]}:
                    self._scope.progress(done, total, message)
                case {"spent": [float() | int() | str() | None as usd, int() | None as tokens]}:
                    self._scope.spent(usd, tokens)
                case {"gave": _} | {"failed": [_, _, _]} | {"retry": [_, _, _]} if self._said is None:
                    self._said = said
        except StepFailed as error:
            self._fault = self._fault or error
        except Exception:
            return

    def answer(self, name: str, ended: Ended) -> object:
        if self._fault is not None and self._said is not None:
            raise self._fault
        try:
            match self._said:
                case {"gave": value}:
                    return value
                case {"failed": [type, str(message), dict(details)]}:
                    raise StepFailed(type, message, details)
                case {"retry": [type, str(message), after]}:
                    raise Retryable(type, message, after)
        except (ValueError, TypeError) as error:
            raise StepFailed(ErrorType.TIMEOUT, f"{name} gave an answer that is none: {error}") from error
        why = None if ended.is_gone else Escaped("its watcher is gone")
        raise StepFailed(ErrorType.TIMEOUT, f"{name} {said_of(ended.code)}, and gave no answer", _tail(ended)) from why


def said_of(code: int) -> str:
    """How a process ended, in words."""
    return f"ended with code {code}" if code >= 0 else _SIGNALS.get(-code, f"was ended by signal {-code}")


def _tail(ended: Ended) -> dict[str, object]:
    text = RESOLVED.clean(ended.stderr.decode("utf-8", "replace"))
    return {"stderr": text[-4096:]} if text else {}
