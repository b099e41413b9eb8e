"""What is said of a step that cannot go on: what it asks, what is in doubt, where a program departs from its record."""

from collections.abc import Callable
from itertools import zip_longest
from typing import Any, Final

from magsag.domain.errors import ErrorType, StepFailed
from magsag.domain.facts import Verdict
from magsag.engine.run import Step
from magsag.services.steps.attempt import Attempt

_ABSENT: Final = object()


def asks(attempt: Attempt, verdict: Verdict | None) -> str:
    """Why it waits for an approval: whatever holds a step says its verdict."""
    assert verdict is not None
    target = attempt.target.proposal.target
    return f"{target} asks: rule {verdict.rule} ({verdict.place})" + (f": {verdict.reason}" if verdict.reason else "")


def in_doubt(step: Step, why: str = "") -> str:
    """Why a person has to look."""
    target = step.proposal.target if step.proposal else step.id
    return f"{target} may have acted and has no outcome" + (f": {why}" if why else "")


def departure(attempt: Attempt, step: Step, decode: Callable[[bytes], Any]) -> str | None:
    """Where the program asks for something else than what is on record; None when it is the same."""
    now, then = attempt.target.proposal, step.proposal
    if then is None or step.input is None:
        return None
    if (now.call, now.target, now.effect) != (then.call, then.target, then.effect):
        was, wants = (f"{it.call} {it.target} ({it.effect})" for it in (then, now))
        return f"the record has {was}, the program now asks for {wants}"
    if attempt.data == step.input or was_refused(step):
        return None
    where = difference(decode(step.input), attempt.value)
    return None if where is None else f"{then.target} was called with another input before; it differs at {where}"


def difference(before: Any, now: Any, pointer: str = "") -> str | None:
    """The JSON pointer at which two inputs part, None when they are the same; never a value, which may be anybody's."""
    parts: list[tuple[Any, Any, Any]]
    if isinstance(before, dict) and isinstance(now, dict):
        keys = dict.fromkeys([*before, *now])
        parts = [(key, before.get(key, _ABSENT), now.get(key, _ABSENT)) for key in keys]
    elif isinstance(before, list) and isinstance(now, list):
        parts = [(index, *pair) for index, pair in enumerate(zip_longest(before, now, fillvalue=_ABSENT))]
    else:
        same = before == now and isinstance(before, bool) == isinstance(now, bool)
        return None if same else pointer or "/"
    for name, old, new in parts:
        if (found := difference(old, new, f"{pointer}/{name}")) is not None:
            return found
    return None


def was_refused(step: Step) -> bool:
    """Whether its input was not put on record: no JSON, or a secret in it, which may be another one by now."""
    return step.error_type is ErrorType.INVALID_VALUE and step.input == b"null"


def denied(attempt: Attempt, verdict: Verdict) -> StepFailed:
    """The error of a step that a rule denies."""
    why = f": {verdict.reason}" if verdict.reason else ""
    message = f"{attempt.target.proposal.target} is denied by rule {verdict.rule} ({verdict.place}){why}"
    return StepFailed(ErrorType.DENIED, message, {"rule": verdict.rule, "place": verdict.place})
