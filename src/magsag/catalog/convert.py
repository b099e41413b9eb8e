"""Turns the permission files of earlier systems (`tool_permissions.yaml`, `mcp_permissions.yaml`) into a policy.

What is meant differently on purpose: all entries are rules side by side and the strictest speaks, where the first hit
decided; environments and agents only tighten; what an unnamed tool may do is the built-in rule's to say, unless the
file denies it. Whatever is not carried over is said in a note, and nothing is dropped that would have been stricter.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from magsag.domain.errors import Invalid

_VERDICTS: Final = {"ALWAYS": "allow", "REQUIRE_APPROVAL": "ask", "NEVER": "deny"}
_SETTINGS: Final = {
    "audit": "every verdict is on record: `magsag audit log`",
    "rate_limits": "rules do not count calls per minute; a skill's manifest does, with `rate`",
}
_FIELD: Final = re.compile(r"[A-Za-z_]\w*")


@dataclass(slots=True)
class Converted:
    """A policy, and what of the file is not in it."""

    policy: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """As a file of the catalog."""
        dumped = yaml.safe_dump(self.policy, sort_keys=False, allow_unicode=True, width=110)
        return dumped.replace("\n  'on':", "\n  on:")  # in YAML 1.1 `on` is a truth value, in manifests it is a key


def convert_permissions(given: object, prefix: str = "") -> Converted:
    """Raises Invalid for what is no such file, or says something that no rule could say.

    `prefix` stands before the names of its rules and windows, since those of several files hold together.
    """
    if not isinstance(given, dict) or not {"tools", "categories", "default_permission"} & given.keys():
        raise Invalid("this is no permission file: it has none of tools, categories and default_permission")
    return _Converter(given, prefix).converted()


class _Converter:
    def __init__(self, given: Mapping[str, Any], prefix: str) -> None:
        self._given = given
        self._prefix = prefix
        self._rules: list[dict[str, Any]] = []
        self._ids: set[str] = set()
        self._hours: set[str] = set()
        self._notes: list[str] = []

    def converted(self) -> Converted:
        self._tools()
        for name, category in self._part("categories").items():
            self._rule(f"category-{name}", category.get("tools", []), category.get("permission"), category)
        for name, server in self._part("server_defaults").items():
            self._rule(f"server-{name}", [f"{name}.*"], server.get("default"), server)
        for number, one in enumerate(self._given.get("dangerous_patterns") or (), 1):
            self._rule(f"dangerous-{number}", [one["pattern"]], one.get("permission"), one)
        for number, one in enumerate(self._given.get("context_rules") or (), 1):
            self._context(number, one)
        windows = dict(self._windows())
        self._default()
        policy: dict[str, Any] = {"kind": "policy", "schema": 1}
        if windows:
            policy["windows"] = windows
        policy["rules"] = self._rules
        policy |= self._blocks()
        self._approval()
        self._notes += [f"{key} is not carried over: {why}" for key, why in _SETTINGS.items() if key in self._given]
        return Converted(policy, self._notes)

    def _part(self, name: str) -> dict[str, Any]:
        part = self._given.get(name) or {}
        if not isinstance(part, dict):
            raise Invalid(f"{name} must be a mapping")
        return part

    def _approval(self) -> None:
        if "approval" in self._given:
            is_in = any("approval" in rule for rule in self._rules)
            kept = "of approval only the timeout, as `ttl` of the rules that ask" if is_in else "approval is not"
            why = "who approves stands in each rule's `approval` and in people.yaml"
            self._notes.append(f"{kept}{' is' if is_in else ''} carried over: {why}")

    def _tools(self) -> None:
        """The exact entries, one rule for each."""
        for name, tool in self._part("tools").items():
            self._rule(f"tool-{name}", [name], tool.get("permission"), tool)

    def _rule(
        self, name: str, tools: list[str], permission: object, about: Mapping[str, Any], when: str | None = None
    ) -> None:
        if not tools:
            return
        rule: dict[str, Any] = {"id": self._id(name), "on": [reference(one) for one in tools]}
        if when is not None:
            rule["when"] = when
        rule["verdict"] = _verdict(name, permission)
        if rule["verdict"] == "ask" and (minutes := self._part("approval").get("default_timeout_minutes")):
            rule["approval"] = {"ttl": f"{int(minutes)}m"}
        if reason := about.get("approval_message") or about.get("description"):
            rule["reason"] = str(reason)
        self._rules.append(rule)

    def _id(self, name: str) -> str:
        return _new_name(f"{self._prefix}-{name}"[:80], "-", "rule", self._ids)

    def _context(self, number: int, one: Mapping[str, Any]) -> None:
        condition = one.get("condition") or {}
        tool = condition.get("tool") or condition.get("tool_pattern") or "*"
        parts = [_argument(name, wanted) for name, wanted in (condition.get("args_match") or {}).items()]
        permission = one.get("permission")
        for name, wanted in (condition.get("context_match") or {}).items():
            if name in ("environment", "env"):
                parts.append(f"env == {json.dumps(wanted)}")
            elif _verdict(str(one.get("name")), permission) == "allow":
                self._notes.append(f"context rule {one.get('name')} is left out: nobody knows the context {name!r}")
                return
            else:
                self._notes.append(f"context rule {one.get('name')} holds whatever {name!r} is: nobody knows it")
        name = f"context-{one.get('name') or number}"
        self._rule(name, [tool], permission, one, " && ".join(parts) or None)

    def _windows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for number, one in enumerate(self._given.get("time_restrictions") or (), 1):
            called = one.get("name") or f"hours_{number}"
            name = _new_name(f"{self._prefix}_{called}", "_", "hours", self._hours)
            tools = one.get("tools") or ["*"]
            for count, closed in enumerate(one.get("maintenance_windows") or (), 1):
                closed_name = _new_name(f"{name}_closed_{count}", "_", "hours", self._hours)
                yield from self._closed(closed_name, closed, tools, one)
            if hours := one.get("allowed_hours"):
                permission = one.get("outside_hours_permission", "NEVER")
                self._rule(f"hours-{one.get('name') or number}", tools, permission, one, f"!window.{name}")
                yield name, _window(hours)

    def _closed(
        self, name: str, closed: Mapping[str, Any], tools: list[str], about: Mapping[str, Any]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Hours of every day in which something else holds; days of the calendar are no window."""
        permission = closed.get("permission_override", "NEVER")
        window = _window(closed) if all(_is_clock(closed.get(key)) for key in ("start", "end")) else None
        if window is None or _verdict(name, permission) == "allow":
            why = "it would loosen the rules" if window is not None else "write a rule on `time.date`"
            self._notes.append(f"a maintenance window of {about.get('name')} is left out: {why}")
            return
        self._rule(f"maintenance-{name}", tools, permission, about, f"window.{name}")
        yield name, window

    def _default(self) -> None:
        """Unnamed tools: the built-in rule asks. A file that denies them keeps that."""
        default = self._given.get("default_permission", "REQUIRE_APPROVAL")
        verdict = _verdict("default_permission", default)
        if verdict == "allow":
            self._notes.append("default_permission ALWAYS is not carried over: what no rule names is asked about")
        if verdict == "deny":
            named = [ref for rule in self._rules if "when" not in rule for ref in rule["on"]]
            others = " || ".join(f"target.ref.matches({json.dumps(_regex(ref))})" for ref in dict.fromkeys(named))
            when = f"!({others})" if others else None
            self._rule("default-permission", ["*"], default, {"description": "No rule names this tool."}, when)

    def _blocks(self) -> dict[str, Any]:
        environments = {
            name: {"tighten": tight}
            for name, one in self._part("environments").items()
            if (tight := self._tightened(f"environment {name}", one, one.get("overrides") or {}))
        }
        agents = {}
        for name, one in self._part("agents").items():
            overrides = dict(one.get("overrides") or {})
            if one.get("default_permission") in ("REQUIRE_APPROVAL", "NEVER"):
                overrides.setdefault("*", one["default_permission"])
            if tight := self._tightened(f"agent {name}", one, overrides):
                agents[f"agent:*-{name}"] = {"tighten": tight}
        return {**({"environments": environments} if environments else {}), **({"agents": agents} if agents else {})}

    def _tightened(self, where: str, one: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, str]:
        """What is stricter there; what would be looser is named, and left out."""
        if one.get("default_permission") == "ALWAYS":
            self._notes.append(f"{where}: default_permission ALWAYS is left out: it would loosen the rules")
        elif where.startswith("environment") and one.get("default_permission") == "NEVER":
            overrides = {"*": "NEVER", **overrides}
        loose = [tool for tool, permission in overrides.items() if _verdict(where, permission) == "allow"]
        if loose:
            self._notes.append(f"{where}: ALWAYS for {', '.join(loose)} is left out: it would loosen the rules")
        return {reference(tool): _verdict(where, one) for tool, one in overrides.items() if tool not in loose}


def reference(tool: str) -> str:
    """`server.tool` as `tool:server/tool`, stars kept. Raises Invalid for what no glob can say."""
    if not tool or set(tool) & set("?[]@ \t"):
        raise Invalid(f"{tool!r}: only * is a wildcard here; name the tools one by one")
    if "." not in tool and "*" not in tool:
        return f"tool:*/{tool}"
    return f"tool:{tool.replace('.', '/', 1)}"


def _new_name(text: str, joiner: str, kind: str, taken: set[str]) -> str:
    """Of letters and digits, a letter first, and none that is there; `kind` begins what has no letter to begin with."""
    plain = re.sub(r"[^a-z0-9]+", joiner, text.lower()).strip(joiner)
    if not plain[:1].isalpha():
        plain = f"{kind}{joiner}{plain}".strip(joiner)
    name, number = plain, 2
    while name in taken:
        name, number = f"{plain}{joiner}{number}", number + 1
    taken.add(name)
    return name


def _verdict(where: str, permission: object) -> str:
    if permission not in _VERDICTS:
        raise Invalid(f"{where}: permission {permission!r} is none of {', '.join(_VERDICTS)}")
    return _VERDICTS[str(permission)]


def _argument(name: str, wanted: object) -> str:
    """An argument that is there and fits."""
    path = f"args.{name}" if _FIELD.fullmatch(name) else f"args[{json.dumps(name)}]"
    there = f"has({path})" if _FIELD.fullmatch(name) else f"{json.dumps(name)} in args"
    if isinstance(wanted, dict):
        signs = {"less_than": "<", "greater_than": ">"}
        if not wanted or not wanted.keys() <= signs.keys():
            raise Invalid(f"args_match {name}: {', '.join(map(str, wanted))} is none of less_than and greater_than")
        fits = " && ".join(f"{path} {signs[key]} {json.dumps(number)}" for key, number in wanted.items())
    elif isinstance(wanted, str) and "*" in wanted:
        fits = f"{path}.matches({json.dumps(_regex(wanted))})"
    else:
        fits = f"{path} == {json.dumps(wanted)}"
    return f"{there} && {fits}"


def _regex(glob: str) -> str:
    return "^(?s:" + ".*".join(re.escape(part) for part in glob.split("*")) + ")$"


def _window(hours: Mapping[str, Any]) -> dict[str, Any]:
    window: dict[str, Any] = {"from": _clock(hours.get("start", "00:00")), "to": _clock(hours.get("end", "00:00"))}
    if hours.get("days"):
        window["days"] = [str(day)[:3].lower() for day in hours["days"]]
    if hours.get("timezone"):
        window["zone"] = hours["timezone"]
    return window


def _is_clock(given: object) -> bool:
    return isinstance(given, int) or re.fullmatch(r"\d{1,2}(:\d{2})?", str(given)) is not None


def _clock(given: object) -> str:
    """`9`, `9:00` and YAML's minutes of the day as `HH:MM`."""
    if isinstance(given, int):
        given = f"{given:02d}:00" if given < 24 else f"{given // 60:02d}:{given % 60:02d}"
    hours, _, minutes = str(given).partition(":")
    return f"{int(hours):02d}:{minutes or '00'}"
