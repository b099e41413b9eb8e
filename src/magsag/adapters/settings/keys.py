"""Every setting: its default, and what it may hold. Where values come from is not decided here."""

import re
from collections.abc import Callable
from typing import Final

from magsag.adapters.settings.parts import read_part, shown
from magsag.domain.frozen import frozen
from magsag.domain.location import is_postgres
from magsag.domain.settings import Mode, Settings
from magsag.policy.hosts import parse_hosts

LATER_FEATURES: Final = frozenset({"mcp", "handoff", "memory", "learning"})
"""switches of parts that this version does not have"""
MODES: Final = tuple(mode.value for mode in Mode)
FLAGS: Final = {"environment": "--env", "mode": "--mode", "catalog": "--catalog", "ledger": "--ledger"}
"""settings that the command line takes"""

_ALIAS: Final = re.compile(r"[a-z][a-z0-9_-]*")
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_PUBLISHED: Final = re.compile(r"[^/\s]+/\S+")
_PRICES: Final = (
    "write {input = 0.15, output = 0.60}, in USD for a million tokens, "
    'or whose published price it has: "openai/gpt-4o-mini"'
)
_LIMITS: Final = 'write breaker, rate or concurrency, e.g. {rate = {calls = 60, per = "1m"}}'
SECTIONS: Final = frozenset({"models", "prices", "providers", "features", "sandbox", "http", "limits", "audit"})
_TRUTH: Final = {
    "true": True,
    "1": True,
    "on": True,
    "yes": True,
    "false": False,
    "0": False,
    "off": False,
    "no": False,
}


@frozen
class Key:
    """One setting."""

    default: object
    check: Callable[[object], object]
    """gives the value, or raises ValueError with the rest of a sentence"""
    parse: Callable[[str], object] = str
    """makes the value of a variable's text"""


def check(key: str, given: object) -> object:
    """The value of a setting. Raises ValueError, worded to follow the key."""
    if key in KEYS:
        return KEYS[key].check(given)
    section, _, name = key.partition(".")
    if section == "prices":
        return _price(name, given)
    return _provider(name, given) if section == "providers" else _model(name, given)


def parse(key: str, text: str) -> object:
    """A variable's text as the kind of value that the key wants; what does not fit stays text."""
    return KEYS[key].parse(text) if key in KEYS else text


def key_of(short: str) -> str | None:
    """The key that a variable names: `limits_depth` is limits.depth, `models_smart` is models.smart."""
    if short.startswith("models_"):
        return f"models.{short.removeprefix('models_')}"
    name = "environment" if short == "env" else short
    return next((key for key in KEYS if key.replace(".", "_") == name), None)


def guess(word: str) -> str:
    """`; did you mean ...?` where a known key is close."""
    from difflib import get_close_matches

    names = {key.replace(".", "_"): key for key in KEYS}
    close = get_close_matches(word.replace(".", "_"), names, n=1, cutoff=0.7)
    if not close:
        by_last = {key.rpartition(".")[2]: key for key in KEYS}
        close = [by_last[last] for last in get_close_matches(word.rpartition(".")[2], by_last, n=1, cutoff=0.8)]
        return f"; did you mean {close[0]}?" if close else ""
    return f"; did you mean {names[close[0]]}?"


def _word(given: object) -> object:
    if isinstance(given, str) and _WORD.fullmatch(given):
        return given
    raise ValueError(f"is {shown(given)}; write a short word such as production")


def _mode(given: object) -> object:
    if given in MODES:
        return given
    raise ValueError(f"is {shown(given)}, which is no mode; the modes are {', '.join(MODES)}")


def _durability(given: object) -> object:
    if given in ("governed", "every_step"):
        return given
    raise ValueError(f"is {shown(given)}; it is governed or every_step")


def _packages(given: object) -> object:
    if given in ("exact", "compatible", "ignore"):
        return given
    raise ValueError(f"is {shown(given)}; it is exact, compatible or ignore")


def _path(given: object) -> object:
    if isinstance(given, str) and given and "\0" not in given:
        return given
    raise ValueError(f"is {shown(given)}; write a path")


def _paths(given: object) -> object:
    if isinstance(given, str) or not isinstance(given, list | tuple):
        raise ValueError(f"is {shown(given)}; write a list of paths")
    return tuple(_path(path) for path in given)


def _place(given: object) -> object:
    return given if given == "" else _path(given)


def _hosts(given: object) -> object:
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
        raise ValueError(f"is {shown(given)}; write a list of hosts")
    try:
        parse_hosts(given)
    except ValueError as error:
        raise ValueError(f"has an entry that is none: {error}") from None
    return tuple(given)


def _ledger(given: object) -> object:
    if not isinstance(given, str) or "://" not in given:
        return _path(given)
    scheme, _, rest = given.partition("://")
    if not is_postgres(given):  # a misspelt one would be a folder, and runs would act beside the ledger that is meant
        raise ValueError(f"is {scheme}://..., which names no ledger; write a path, or postgresql://USER@HOST/DATABASE")
    return f"{scheme.lower()}://{rest}"


def _switch(given: object) -> object:
    if isinstance(given, bool):
        return given
    raise ValueError(f"is {shown(given)}; write true or false")


def _whole(least: int, most: int) -> Callable[[object], object]:
    def checked(given: object) -> object:
        if isinstance(given, int) and not isinstance(given, bool) and least <= given <= most:
            return given
        raise ValueError(f"is {shown(given)}; write a whole number from {least} to {most}")

    return checked


def _seconds(least: float, most: float) -> Callable[[object], object]:
    def checked(given: object) -> object:
        if isinstance(given, int | float) and not isinstance(given, bool) and least <= given <= most:
            return float(given)
        raise ValueError(f"is {shown(given)}; write seconds from {least:g} to {most:g}")

    return checked


def _model(alias: str, given: object) -> object:
    if not _ALIAS.fullmatch(alias):
        raise ValueError("is no alias; use small letters, digits, dashes and underscores")
    if isinstance(given, str) and all(given.partition(":")):
        return given
    raise ValueError(f'is {shown(given)}; write "provider:model", e.g. "scripted:replies.yaml"')


def _provider(name: str, given: object) -> object:
    if not _ALIAS.fullmatch(name):
        raise ValueError("is no provider; use small letters, digits, dashes and underscores")
    from magsag.domain.manifests.throttling import ProviderLimits

    return read_part(ProviderLimits, given, _LIMITS)


def _price(alias: str, given: object) -> object:
    if not _ALIAS.fullmatch(alias):
        raise ValueError("is no alias; use small letters, digits, dashes and underscores")
    if isinstance(given, str):
        if _PUBLISHED.fullmatch(given):
            return given
        raise ValueError(f"is {shown(given)}; {_PRICES}")
    from magsag.domain.manifests.budget import ModelPrice

    return read_part(ModelPrice, given, _PRICES)


def _truth(text: str) -> object:
    return _TRUTH.get(text.lower(), text)


def _several(text: str) -> object:
    """`a, b` as a list."""
    return tuple(filter(None, (part.strip() for part in text.split(","))))


def _number(text: str) -> object:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


_DEFAULTS: Final = Settings(project="", catalog="", ledger="")
KEYS: Final[dict[str, Key]] = {
    "environment": Key(_DEFAULTS.environment, _word),
    "mode": Key(_DEFAULTS.mode, _mode),
    "durability": Key(_DEFAULTS.durability, _durability),
    "packages": Key(_DEFAULTS.packages, _packages),
    "catalog": Key(None, _path),
    "ledger": Key(".magsag/ledger.db", _ledger),
    "workspace": Key("workspace", _path),
    "lease_seconds": Key(_DEFAULTS.lease_seconds, _seconds(10, 3600), _number),
    "features.approvals": Key(_DEFAULTS.features.approvals, _switch, _truth),
    "features.durable": Key(_DEFAULTS.features.durable, _switch, _truth),
    "sandbox.read": Key(_DEFAULTS.sandbox.read, _paths, _several),
    "http.allow": Key(_DEFAULTS.http.allow, _hosts, _several),
    "limits.depth": Key(_DEFAULTS.limits.depth, _whole(1, 100), _number),
    "limits.children": Key(_DEFAULTS.limits.children, _whole(0, 1_000_000), _number),
    "audit.anchors": Key(_DEFAULTS.audit.anchors, _place),
    "limits.step_seconds": Key(_DEFAULTS.limits.step_seconds, _seconds(0.001, 604_800), _number),
}
