"""`plan.tone=short`: what a fork sets in what was recorded. Decides what is meant, and how a value is changed."""

from collections.abc import Collection
from typing import Any

from magsag.domain.errors import Invalid
from magsag.domain.frozen import frozen
from magsag.domain.values import decode

INPUT = "input"
"""the first word of a setting of the run's own input"""


@frozen
class Setting:
    """One place in a recorded value, and what shall stand there."""

    text: str
    of: str
    """`input`, or the id of a step"""
    path: tuple[str, ...]
    value: Any

    def applied(self, value: Any) -> Any:
        """The value with this place set. Raises Invalid when the way there does not exist."""
        return self._set(value, self.path)

    def _set(self, value: Any, path: tuple[str, ...]) -> Any:
        if not path:
            return self.value
        name, rest = path[0], path[1:]
        if isinstance(value, dict) and (name in value or not rest):
            return {**value, name: self._set(value.get(name), rest)}
        if isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            return [self._set(part, rest) if at == int(name) else part for at, part in enumerate(value)]
        there = ", ".join(value) if isinstance(value, dict) else f"a {type(value).__name__}"
        raise Invalid(f"--set {self.text}: there is no {name!r} to set; what stands there has {there or 'nothing'}")


def parse_setting(text: str, steps: Collection[str]) -> Setting:
    """Read `name.path=value`; the name is `input` or a step's, without `#1` if it likes. Raises Invalid.

    The value is JSON, or a text when it is none.
    """
    place, equals, written = text.partition("=")
    names = {INPUT: INPUT, **{step.removesuffix("#1"): step for step in steps}, **{step: step for step in steps}}
    fitting = [name for name in names if place == name or place.startswith(f"{name}.")]
    if not equals or not fitting:
        there = ", ".join([INPUT, *steps])
        raise Invalid(f"--set {text}: write input.PATH=VALUE or STEP.PATH=VALUE; what can be set: {there}")
    name = max(fitting, key=len)
    path = tuple(place[len(name) + 1 :].split(".")) if len(place) > len(name) else ()
    return Setting(text, names[name], path, _value(written))


def _value(written: str) -> Any:
    try:
        return decode(written.encode())
    except ValueError:
        return written
