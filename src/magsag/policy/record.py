"""The record that is judged: one frozen value, and the names under which conditions see it. Nothing else may matter."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from magsag.domain.effects import Effect
from magsag.domain.frozen import frozen
from magsag.policy.windows import Window


@frozen
class Traits:
    """What is declared of a target besides its effect kind."""

    capabilities: tuple[str, ...] = ()
    """what it reaches for: filesystem, network, shell, workspace"""
    risk: str = "unknown"
    """`low`, `medium`, `high`, or `unknown` when nothing says"""
    categories: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    """data labels that its input contract marks, sorted"""
    declared: bool = True
    """whether somebody declared its effect kind; a tool met at run time may have none"""


PLAIN: Final = Traits()
"""of what declares nothing but its effect kind"""


@frozen
class Record:
    """What is judged."""

    agent: str
    """exact reference of the program that proposes"""
    target: str
    effect: Effect
    args: object
    """the input, as JSON"""
    run: Mapping[str, object]
    """`{id, program, parent, requester, actor, count, after}`; the last two by the references that rules name"""
    env: str
    mode: str
    time: Mapping[str, object]
    """`{weekday, hour, minute, date, iso, unix}` of the judged moment, UTC"""
    traits: Traits = PLAIN


def names_of(record: Record, windows: Mapping[str, Window]) -> dict[str, object]:
    """The record as conditions see it; `windows` are those that they ask for."""
    return {
        "args": record.args,
        "agent": record.agent,
        "effect": record.effect.value,
        "target": _target(record.target, record.traits),
        "labels": list(record.traits.labels),
        "run": record.run,
        "env": record.env,
        "mode": record.mode,
        "time": record.time,
        "window": {name: window.holds_at(_seconds(record.time["unix"])) for name, window in windows.items()},
    }


@lru_cache(maxsize=4096)
def _target(target: str, traits: Traits) -> Mapping[str, object]:
    """The same for every record about a target; conditions read it and change nothing."""
    kind, _, rest = target.partition(":")
    name, _, version = rest.partition("@")
    return {
        "ref": target,
        "kind": kind,
        "name": name,
        "version": version,
        "capabilities": list(traits.capabilities),
        "risk": traits.risk,
        "categories": list(traits.categories),
    }


def _seconds(unix: object) -> int:
    if isinstance(unix, int):
        return unix
    raise ValueError("the record has no time")
