"""`judge`: the same frozen record under the same policies gives the same verdict, byte for byte.

Deny over ask over allow, whatever the order of the rules; of equal verdicts the first in (file, line) order
speaks. When no rule applies: allow for `pure` and `read` (and for the engine's own delegations and waits),
ask for the other four. A condition that cannot be evaluated, or gives anything but true or false, denies.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from magsag.domain.approval import ApprovalRule
from magsag.domain.condition import Condition, ConditionFailed
from magsag.domain.effects import EFFECTFUL, Effect
from magsag.domain.facts import Decision, Verdict
from magsag.domain.manifests.policy import FlowGovernance

BUILT_IN: Final = "built-in"
_RANK: Final = {Decision.ALLOW: 0, Decision.ASK: 1, Decision.DENY: 2}


class Pattern(Protocol):
    """What a rule's `on` names, ready to be compared with an exact reference."""

    def matches(self, target: str) -> bool:
        """Whether `skill:slug@1.2.3` is meant."""


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """One rule of a policy, ready to be applied."""

    id: str
    on: tuple[Pattern, ...]
    when: Condition | None
    decision: Decision
    reason: str
    place: str
    """`file:line`"""
    approval: ApprovalRule | None = None
    """what an ask wants; None for one person of people.yaml, within a day"""


@dataclass(frozen=True, slots=True)
class Policies:
    """All rules in force."""

    rules: tuple[CompiledRule, ...]
    hash: str
    broken: str | None = None
    """why the policies cannot be used; then everything is denied"""
    governance: FlowGovernance | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What is judged: nothing else may matter."""

    agent: str
    """exact reference of the program that proposes"""
    target: str
    effect: Effect
    args: object
    """the input, as JSON"""
    run: Mapping[str, object]
    """`{id, program, parent, requester}`"""
    env: str
    mode: str
    time: Mapping[str, object]
    """`{weekday, hour, minute, date, unix}` of the judged moment, UTC"""


@dataclass(frozen=True, slots=True)
class Applicable:
    """The rules that name a target; found once per target, since references are exact."""

    rules: tuple[CompiledRule, ...]
    default: Verdict
    fixed: Verdict | None
    """the verdict, when no condition has to be asked"""


def applicable(policies: Policies, target: str, effect: Effect) -> Applicable:
    """What of the policies can matter for this target."""
    if policies.broken is not None:
        refused = Verdict(Decision.DENY, "policy-unreadable", BUILT_IN, policies.broken, policies.hash)
        return Applicable((), refused, refused)
    rules = tuple(rule for rule in policies.rules if any(pattern.matches(target) for pattern in rule.on))
    default = _default(effect, policies.hash)
    fixed = _strictest(list(rules), policies.hash) or default if all(rule.when is None for rule in rules) else None
    return Applicable(rules, default, fixed)


def judge(record: Record, found: Applicable, policy_hash: str) -> Verdict:
    """The verdict on this record."""
    if found.fixed is not None:
        return found.fixed
    names = _names(record)
    holding: list[CompiledRule] = []
    failed: list[CompiledRule] = []
    for rule in found.rules:
        try:
            if rule.when is None or rule.when.holds(names):
                holding.append(rule)
        except ConditionFailed as failure:
            reason = f"the condition of rule {rule.id} cannot be evaluated: {failure}"
            failed.append(replace(rule, decision=Decision.DENY, reason=reason))
    return _strictest(failed or holding, policy_hash) or found.default


def _strictest(rules: list[CompiledRule], policy_hash: str) -> Verdict | None:
    """The strictest rule speaks; of equals the first by place and id, so that file order cannot matter."""
    if not rules:
        return None
    rule = min(rules, key=lambda rule: (-_RANK[rule.decision], _place_order(rule.place), rule.id))
    return Verdict(rule.decision, rule.id, rule.place, rule.reason, policy_hash)


def _place_order(place: str) -> tuple[str, int]:
    file, _, line = place.rpartition(":")
    return (file, int(line)) if line.isdigit() else (place, 0)


def _default(effect: Effect, policy_hash: str) -> Verdict:
    if effect in EFFECTFUL:
        reason = f"no rule allows this {effect} act; the built-in rule asks"
        return Verdict(Decision.ASK, "ask-before-effects", BUILT_IN, reason, policy_hash)
    return Verdict(Decision.ALLOW, "allow-without-effects", BUILT_IN, "", policy_hash)


def _names(record: Record) -> dict[str, object]:
    return {
        "args": record.args,
        "agent": record.agent,
        "effect": record.effect.value,
        "run": record.run,
        "env": record.env,
        "mode": record.mode,
        "time": record.time,
    }
