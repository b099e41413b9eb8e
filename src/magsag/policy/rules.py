"""Rules, ready to be applied, and an index that finds those which name a target without asking the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from magsag.domain.approval import ApprovalRule
from magsag.domain.condition import Condition, ConditionFailed, Several
from magsag.domain.facts import Decision
from magsag.domain.frozen import frozen
from magsag.domain.manifests.policy import FlowGovernance
from magsag.policy.windows import Window


class Pattern(Protocol):
    """What a rule names, ready to be compared with an exact reference."""

    @property
    def exact(self) -> str | None:
        """The one name that it means, without version; None for one with a wildcard."""

    @property
    def prefix(self) -> str:
        """What every reference that it means begins with."""

    def matches(self, target: str) -> bool:
        """Whether `skill:slug@1.2.3` is meant."""


@frozen
class Counted:
    """A reference whose steps a condition counts: `run.count(REF)`, `run.after(REF)`."""

    ref: str
    """as the rule wrote it"""
    pattern: Pattern


@frozen
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
    by: tuple[Pattern, ...] = ()
    """programs that it holds for; empty for all"""
    spares: tuple[Pattern, ...] = ()
    """targets that it leaves alone although `on` means them"""
    environment: str | None = None
    """where it holds; None for everywhere"""
    counts: tuple[Counted, ...] = ()
    windows: tuple[str, ...] = ()
    """names of the windows that its condition reads"""
    is_direct: bool = False
    """it says what its programs call themselves; those that they delegate to may call something else"""
    written: str | None = None
    """the condition as it stands in the file"""

    def is_about(self, target: str, agent: str, above: Sequence[str] = ()) -> bool:
        """Whether it speaks of this target, proposed by this program below those others."""
        return (
            any(pattern.matches(target) for pattern in self.on)
            and not any(pattern.matches(target) for pattern in self.spares)
            and (not self.by or self._binds(agent) or (self._reaches_below and any(map(self._binds, above))))
        )

    def _binds(self, program: str) -> bool:
        return any(pattern.matches(program) for pattern in self.by)

    @property
    def _reaches_below(self) -> bool:
        """What is kept from a program is kept from all that it delegates to; what it may is its own."""
        return not self.is_direct and self.decision is not Decision.ALLOW

    def names_exactly(self, target: str) -> bool:
        """Whether it names the target itself, not by a wildcard."""
        return any(pattern.exact is not None and pattern.matches(target) for pattern in self.on)


class OneByOne:
    """Conditions asked one after the other."""

    def __init__(self, conditions: Sequence[Condition]) -> None:
        self._conditions = conditions

    def answers(self, names: Mapping[str, object]) -> list[bool | ConditionFailed]:
        """See `domain.condition.Several`."""
        return [self._answer(condition, names) for condition in self._conditions]

    def _answer(self, condition: Condition, names: Mapping[str, object]) -> bool | ConditionFailed:
        try:
            return condition.holds(names)
        except ConditionFailed as failure:
            return failure
        except Exception as error:  # whatever breaks here must deny, not break the run
            return ConditionFailed(f"{type(error).__name__}: {error}")


class Together(Protocol):
    """Makes one question of several conditions."""

    def __call__(self, conditions: Sequence[Condition]) -> Several: ...


@dataclass(frozen=True)
class Policies:
    """All rules in force."""

    rules: tuple[CompiledRule, ...]
    hash: str
    broken: str | None = None
    """why the policies cannot be used; then everything is denied"""
    governance: FlowGovernance | None = None
    windows: Mapping[str, Window] = field(default_factory=dict)
    together: Together = OneByOne

    def naming(self, target: str, agent: str, above: Sequence[str] = ()) -> list[CompiledRule]:
        """The rules about a target, proposed by this program below those others, in the order of their places."""
        return [rule for rule in self._index.candidates(target) if rule.is_about(target, agent, above)]

    @cached_property
    def _index(self) -> "_Index":
        return _Index(self.rules)


class _Index:
    """Rules by the exact name, or by the text before the wildcard, of each pattern."""

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self._rules = rules
        self._exact: dict[str, list[int]] = {}
        self._prefixes: dict[str, list[int]] = {}
        for number, rule in enumerate(rules):
            for pattern in rule.on:
                if pattern.exact is not None:
                    self._exact.setdefault(pattern.exact, []).append(number)
                else:
                    self._prefixes.setdefault(pattern.prefix, []).append(number)
        self._lengths = sorted({len(prefix) for prefix in self._prefixes})

    def candidates(self, target: str) -> list[CompiledRule]:
        found = set(self._exact.get(target.partition("@")[0], ()))
        for length in self._lengths:
            found.update(self._prefixes.get(target[:length], ()))
        return [self._rules[number] for number in sorted(found)]
