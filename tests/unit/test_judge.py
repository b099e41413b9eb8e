"""The policy's verdict: deny over ask over allow, whatever the order; whatever breaks denies."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magsag.domain.condition import ConditionFailed
from magsag.domain.effects import EFFECTFUL, Effect
from magsag.domain.facts import Decision, Verdict
from magsag.domain.verdicts import BUILT_IN
from magsag.policy.judge import applicable, judge
from magsag.policy.record import Record
from magsag.policy.rules import CompiledRule, Policies

ALLOW, ASK, DENY = Decision.ALLOW, Decision.ASK, Decision.DENY
RECORD: Final = Record(
    agent="agent:a@1.0.0",
    target="skill:send@1.0.0",
    effect=Effect.UNREPEATABLE,
    args={"salary": 5},
    run={"id": "r", "program": "agent:a@1.0.0", "parent": "", "requester": "ann"},
    env="production",
    mode="implement",
    time={"weekday": "mon", "hour": 9, "minute": 0, "date": "2026-01-05", "unix": 1},
)


@dataclass(frozen=True)
class Named:
    """A pattern that means exactly one reference."""

    ref: str = RECORD.target

    @property
    def exact(self) -> str:
        return self.ref.partition("@")[0]

    @property
    def prefix(self) -> str:
        return self.exact

    def matches(self, target: str) -> bool:
        return target == self.ref


@dataclass(frozen=True)
class Says:
    """A condition that answers what it is told to."""

    answer: object
    source: str = "…"
    reads: frozenset[tuple[str, ...]] = frozenset()

    def value(self, names: Mapping[str, object]) -> object:
        return self.answer

    def holds(self, names: Mapping[str, object]) -> bool:
        if not isinstance(self.answer, bool):
            raise ConditionFailed("it gives a string")
        return self.answer


@dataclass(frozen=True)
class Reads(Says):
    """A condition that is true when a name has a value."""

    answer: object = None
    name: str = ""
    wanted: object = None

    def holds(self, names: Mapping[str, object]) -> bool:
        return names[self.name] == self.wanted


def rule(
    id: str, decision: Decision, when: Says | None = None, place: str = "a.yaml:1", on: str = RECORD.target
) -> CompiledRule:
    return CompiledRule(id, (Named(on),), when, decision, f"because {id}", place)


def verdict(*rules: CompiledRule, record: Record = RECORD, broken: str | None = None) -> Verdict:
    policies = Policies(rules, "hash", broken)
    return judge(record, applicable(policies, record.target, record.effect, record.agent), policies.hash)


@pytest.mark.parametrize("effect", Effect)
def test_without_a_rule_effects_ask_and_the_rest_is_allowed(effect: Effect) -> None:
    found = verdict(record=replace(RECORD, effect=effect))
    expected = (ASK, "ask-before-effects") if effect in EFFECTFUL else (ALLOW, "allow-without-effects")
    assert (found.decision, found.rule, found.place, found.policy) == (*expected, BUILT_IN, "hash")


def test_a_rule_for_another_target_does_not_speak() -> None:
    assert verdict(rule("other", ALLOW, on="skill:other@1.0.0")).rule == "ask-before-effects"


def test_a_verdict_names_rule_place_reason_and_policy() -> None:
    assert verdict(rule("may", ALLOW, place="a.yaml:7")) == Verdict(ALLOW, "may", "a.yaml:7", "because may", "hash")


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        ((ALLOW,), ALLOW),
        ((ALLOW, ASK), ASK),
        ((ASK, ALLOW), ASK),
        ((DENY, ALLOW), DENY),
        ((ALLOW, DENY), DENY),
        ((ASK, DENY), DENY),
        ((ALLOW, ASK, DENY), DENY),
    ],
)
@pytest.mark.parametrize("when", [None, Says(True)])
def test_the_strictest_rule_speaks(decisions: tuple[Decision, ...], expected: Decision, when: Says | None) -> None:
    rules = [rule(f"r{index}", decision, when) for index, decision in enumerate(decisions)]
    assert verdict(*rules).decision is expected


def test_a_rule_whose_condition_is_false_does_not_speak() -> None:
    assert verdict(rule("no", DENY, Says(False)), rule("may", ALLOW)).rule == "may"
    assert verdict(rule("no", DENY, Says(False))).rule == "ask-before-effects"


@pytest.mark.parametrize("answer", ["yes", 1, None])
def test_a_condition_that_cannot_be_evaluated_denies_and_says_why(answer: object) -> None:
    found = verdict(rule("may", ALLOW), rule("odd", ALLOW, Says(answer), "b.yaml:4"))
    assert (found.decision, found.rule, found.place) == (DENY, "odd", "b.yaml:4")
    assert found.reason == "the condition of rule odd cannot be evaluated: it gives a string"


def test_a_deny_does_not_hide_a_condition_that_cannot_be_evaluated() -> None:
    assert verdict(rule("never", DENY), rule("odd", ALLOW, Says("x"))).decision is DENY


def test_policies_that_cannot_be_read_deny_everything() -> None:
    found = verdict(rule("may", ALLOW), broken="a.yaml:3: no such key", record=replace(RECORD, effect=Effect.PURE))
    assert (found.decision, found.rule, found.reason) == (DENY, "policy-unreadable", "a.yaml:3: no such key")


def test_of_equals_the_first_in_file_and_line_speaks() -> None:
    late, early, other = rule("a", DENY, place="b.yaml:10"), rule("z", DENY, place="b.yaml:9"), rule("b", DENY)
    assert verdict(late, early).rule == "z"
    assert verdict(late, early, replace(other, place="a.yaml:99")).rule == "b"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("args", RECORD.args),
        ("agent", RECORD.agent),
        ("effect", "unrepeatable"),
        ("run", RECORD.run),
        ("env", "production"),
        ("mode", "implement"),
        ("time", RECORD.time),
    ],
)
def test_conditions_see_the_whole_record_by_its_names(name: str, value: object) -> None:
    assert verdict(rule("seen", DENY, Reads(name=name, wanted=value))).rule == "seen"
    assert verdict(rule("seen", DENY, Reads(name=name, wanted="else"))).rule != "seen"


def test_rules_without_conditions_are_decided_once_per_target() -> None:
    found = applicable(Policies((rule("may", ALLOW),), "hash"), RECORD.target, RECORD.effect, RECORD.agent)
    assert found.fixed == verdict(rule("may", ALLOW))
    conditional = applicable(
        Policies((rule("may", ALLOW, Says(True)),), "hash"), RECORD.target, RECORD.effect, RECORD.agent
    )
    assert conditional.fixed is None


RULES = st.builds(
    rule,
    st.text("abc", min_size=1, max_size=3),
    st.sampled_from(Decision),
    st.sampled_from([None, Says(True), Says(False), Says("odd")]),
    st.sampled_from(["a.yaml:1", "a.yaml:10", "a.yaml:9", "b.yaml:2", "nowhere"]),
)


@given(st.lists(RULES, max_size=6, unique_by=lambda one: (one.id, one.place)), st.randoms(use_true_random=False))
def test_shuffled_rules_give_the_same_verdict(rules: list[CompiledRule], chance: object) -> None:
    shuffled = list(rules)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert verdict(*shuffled) == verdict(*rules)


@given(st.lists(RULES, max_size=6, unique_by=lambda one: (one.id, one.place)))
def test_one_more_rule_never_loosens_what_rules_say(rules: list[CompiledRule]) -> None:
    rank = [ALLOW, ASK, DENY]
    for added in (rule("zz", ASK, place="z.yaml:1"), rule("zz", DENY, place="z.yaml:1")):
        before, after = verdict(*rules), verdict(*rules, added)
        assert rank.index(after.decision) >= rank.index(added.decision)
        assert before.place == BUILT_IN or rank.index(after.decision) >= rank.index(before.decision)
