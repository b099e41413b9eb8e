"""`judge`: the same frozen record under the same policies gives the same verdict, byte for byte.

Deny over ask over allow, whatever the order of the rules; of equal verdicts the first in (file, line) order
speaks. When no rule applies: allow for `pure` and `read` (and for the engine's own delegations and waits),
ask for the other four. A condition that cannot be evaluated, or gives anything but true or false, denies.
An effect kind that nobody declared is allowed only by a rule that names the target itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from operator import itemgetter
from typing import Final

from magsag.domain.condition import ConditionFailed, Several
from magsag.domain.effects import EFFECTFUL, Effect
from magsag.domain.facts import Decision, Verdict
from magsag.domain.frozen import frozen
from magsag.domain.verdicts import BUILT_IN
from magsag.policy.approval import DEFAULT_RULE
from magsag.policy.record import PLAIN, Record, Traits, names_of
from magsag.policy.rules import CompiledRule, Counted, OneByOne, Policies
from magsag.policy.windows import Window

ASK_BEFORE_EFFECTS: Final = "ask-before-effects"
ALLOW_WITHOUT_EFFECTS: Final = "allow-without-effects"
UNREADABLE: Final = "policy-unreadable"
_STRICTNESS: Final = {Decision.ALLOW: 0, Decision.ASK: 1, Decision.DENY: 2}


_Rank = tuple[int, int, tuple[str, int], str]
"""strictness, people wanted, place, id: the least speaks"""
_by_rank: Final = itemgetter(0)


@frozen
class Applicable:
    """What of the policies can matter for one target; found once, since references are exact."""

    rules: tuple[CompiledRule, ...]
    default: Verdict
    fixed: Verdict | None
    """the verdict, when nothing has to be asked"""
    traits: Traits = PLAIN
    windows: Mapping[str, Window] = field(default_factory=dict)
    counts: tuple[Counted, ...] = ()
    """what of the run its conditions count"""
    several: Several = field(default_factory=lambda: OneByOne(()))
    """the conditions of those rules that have one, in order"""
    asked: int = 0
    """how many of them there are"""
    ranks: tuple[_Rank, ...] = ()
    """of each rule, before which others it speaks"""


def applicable(
    policies: Policies, target: str, effect: Effect, agent: str, traits: Traits = PLAIN, above: Sequence[str] = ()
) -> Applicable:
    """What of the policies can matter for this target, proposed by this program in a run below those others."""
    if policies.broken is not None:
        return settled(Verdict(Decision.DENY, UNREADABLE, BUILT_IN, policies.broken, policies.hash), traits)
    rules = [rule for rule in policies.naming(target, agent, above) if traits.declared or not _is_loose(rule, target)]
    default = _default(effect, policies.hash)
    ranks = tuple(map(_rank, rules))
    if all(rule.when is None and rule.environment is None for rule in rules):
        fixed = _said(min(zip(ranks, rules, strict=True), key=_by_rank)[1], policies.hash) if rules else default
        return Applicable(tuple(rules), default, fixed, traits)
    asked = [rule.when for rule in rules if rule.when is not None]
    windows = {name: policies.windows[name] for rule in rules for name in rule.windows}
    counts = tuple({counted.ref: counted for rule in rules for counted in rule.counts}.values())
    several = policies.together(asked)
    return Applicable(tuple(rules), default, None, traits, windows, counts, several, len(asked), ranks)


def settled(verdict: Verdict, traits: Traits = PLAIN) -> Applicable:
    """A verdict that nothing can change."""
    return Applicable((), verdict, verdict, traits)


def judge(record: Record, found: Applicable, policy_hash: str) -> Verdict:
    """The verdict on this record."""
    if found.fixed is not None:
        return found.fixed
    holding: list[tuple[_Rank, CompiledRule]] = []
    failed: list[tuple[_Rank, CompiledRule]] = []
    for rank, (rule, answer) in zip(found.ranks, answered(record, found), strict=True):
        if isinstance(answer, ConditionFailed):
            reason = f"the condition of rule {rule.id} cannot be evaluated: {answer}"
            broken = replace(rule, decision=Decision.DENY, reason=reason)
            failed.append((_rank(broken), broken))
        elif answer:
            holding.append((rank, rule))
    speaking = failed or holding
    return _said(min(speaking, key=_by_rank)[1], policy_hash) if speaking else found.default


def answered(record: Record, found: Applicable) -> list[tuple[CompiledRule, bool | ConditionFailed]]:
    """Each rule about the target, and whether it applies to this record, or why nobody can tell."""
    answers = iter(_answers(record, found))
    told: list[tuple[CompiledRule, bool | ConditionFailed]] = []
    for rule in found.rules:
        answer = True if rule.when is None else next(answers)
        told.append((rule, answer if rule.environment in (None, record.env) else False))
    return told


def _answers(record: Record, found: Applicable) -> list[bool | ConditionFailed]:
    """What the conditions say; whatever breaks is an answer too, so that it denies."""
    asked = found.asked
    try:
        answers = found.several.answers(names_of(record, found.windows)) if asked else []
    except Exception as error:  # a gate that breaks must not let anything through
        return [ConditionFailed(f"{type(error).__name__}: {error}")] * asked
    if len(answers) != asked:
        return [ConditionFailed(f"{len(answers)} answers to {asked} conditions")] * asked
    return answers


def _is_loose(rule: CompiledRule, target: str) -> bool:
    """An `allow` that a wildcard gives."""
    return rule.decision is Decision.ALLOW and not rule.names_exactly(target)


def _rank(rule: CompiledRule) -> _Rank:
    """The strictest rule speaks, of asks the one that wants most people; of equals the first by place and id."""
    return -_STRICTNESS[rule.decision], -_quorum(rule), _place_order(rule.place), rule.id


def _said(rule: CompiledRule, policy_hash: str) -> Verdict:
    return Verdict(rule.decision, rule.id, rule.place, rule.reason, policy_hash)


def _quorum(rule: CompiledRule) -> int:
    return rule.approval.quorum if rule.approval is not None else DEFAULT_RULE.quorum


def _place_order(place: str) -> tuple[str, int]:
    file, _, line = place.rpartition(":")
    return (file, int(line)) if line.isdigit() else (place, 0)


def _default(effect: Effect, policy_hash: str) -> Verdict:
    if effect in EFFECTFUL:
        reason = f"no rule allows this {effect} act; the built-in rule asks"
        return Verdict(Decision.ASK, ASK_BEFORE_EFFECTS, BUILT_IN, reason, policy_hash)
    return Verdict(Decision.ALLOW, ALLOW_WITHOUT_EFFECTS, BUILT_IN, "", policy_hash)
