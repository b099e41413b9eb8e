"""Questions to the policies: what would be said, by which rule, and tables of what should be said."""

from pathlib import Path
from typing import Any, Final

import pytest

from magsag.domain.effects import Effect
from magsag.domain.errors import Invalid
from magsag.domain.facts import Decision
from magsag.domain.settings import Features
from magsag.services.desk.rulebook import NOON, Question, Rulebook, moment_of
from magsag.testing import build_app
from tests.unit.catalogs import VALID

RULES: Final = """\
kind: policy
schema: 1
rules:
  - {id: high-asks, on: [skill:send], when: 'args.level == "high"', verdict: ask, reason: look first}
  - {id: sends, on: [skill:send], verdict: allow}
  - {id: no-third, on: [skill:send], when: 'run.count("skill:send") > 2 || run.after("model:*")', verdict: deny}
  - {id: odd, on: ["tool:*", "model:*"], when: args.missing == 1, verdict: allow}
environments:
  production: {tighten: {skill:send: deny}}
agents:
  "agent:boss-mag": {tighten: {"shell:stamp": deny}}
"""
LOW: Final = {"text": "t", "level": "low"}
HIGH: Final = {"text": "t", "level": "high"}


def book(folder: Path, more: dict[str, str] | None = None, sound: bool = True, **settings: Any) -> Rulebook:
    files = {**VALID, "policies/rules.yaml": RULES, **(more or {})}
    return build_app(folder, files, sound=sound, **settings).rulebook


def said(found: Rulebook, **question: Any) -> tuple[str, str]:
    asked = {"agent": "agent:boss-mag", "on": "skill:send", "args": LOW, **question}
    verdict = found.answer(Question(**asked)).verdict
    return verdict.decision.value, verdict.rule


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ({}, ("allow", "sends")),
        ({"args": HIGH}, ("ask", "high-asks")),
        ({"env": "production"}, ("deny", "production/skill:send")),
        ({"mode": "analysis_only"}, ("deny", "analysis-only")),
        ({"mode": "dry_run"}, ("allow", "dry-run")),
        ({"mode": "safe_mode"}, ("ask", "safe-mode")),
        ({"count": {"skill:send": 3}}, ("deny", "no-third")),
        ({"after": frozenset({"model:*"})}, ("deny", "no-third")),
        ({"agent": "boss-mag", "on": "agent:helper-sag", "args": None}, ("allow", "allow-without-effects")),
        ({"agent": "agent:helper-sag"}, ("deny", "not-in-uses")),
        ({"agent": "flow:review"}, ("allow", "sends")),
        ({"agent": "flow:review", "on": "tool:mail/send"}, ("ask", "ask-before-effects")),
        ({"agent": "flow:review", "on": "tool:mail/send", "effect": Effect.IDEMPOTENT}, ("deny", "odd")),
        ({"agent": "flow:review", "on": "shell:stamp"}, ("ask", "ask-before-effects")),
        ({"agent": "flow:review", "on": "shell:stamp", "effect": Effect.READ}, ("allow", "allow-without-effects")),
        (
            {"agent": "flow:review", "on": "shell:stamp", "effect": Effect.READ, "below": ("boss-mag",)},
            ("deny", "agent:boss-mag/shell:stamp"),
        ),
        ({"on": "call:look"}, ("allow", "allow-without-effects")),
        ({"on": "model:smart"}, ("deny", "not-in-uses")),
        ({"agent": "flow:review", "on": "call:look"}, ("allow", "allow-without-effects")),
        ({"agent": "flow:review", "on": "model:smart"}, ("deny", "odd")),
    ],
)
def test_a_question_gets_the_answer_of_the_gate(tmp_path: Path, question: Any, expected: tuple[str, str]) -> None:
    assert said(book(tmp_path), **question) == expected


def test_an_answer_shows_what_every_rule_says(tmp_path: Path) -> None:
    found = book(tmp_path).answer(Question("agent:boss-mag", "skill:send", HIGH))
    assert [(rule.id, rule.applies) for rule in found.rules] == [
        ("high-asks", True),
        ("sends", True),
        ("no-third", False),
        ("production/skill:send", False),
    ]
    assert (found.rules[0].place, found.rules[0].decision) == ("policies/rules.yaml:4", Decision.ASK)
    assert (found.record.target, found.record.effect) == ("skill:send@0.2.0", Effect.IDEMPOTENT)
    broken = book(tmp_path).answer(Question("flow:review", "model:smart", {}))
    assert [(rule.applies, "missing" in rule.why) for rule in broken.rules] == [(None, True)]


def test_without_approvals_an_ask_is_a_deny_here_too(tmp_path: Path) -> None:
    assert said(book(tmp_path, features=Features(approvals=False)), args=HIGH) == ("deny", "high-asks")


def test_the_effect_follows_from_the_arguments_where_the_skill_says_so(tmp_path: Path) -> None:
    skill = VALID["skills/send/skill.yaml"] + "effect_by: {level: {low: read}}\n"
    found = book(tmp_path, {"skills/send/skill.yaml": skill, "policies/rules.yaml": "kind: policy\nschema: 1\n"})
    assert said(found) == ("allow", "allow-without-effects")
    assert said(found, args=HIGH) == ("ask", "ask-before-effects")


def test_redacted_fields_are_judged_as_they_are_stored(tmp_path: Path) -> None:
    question = VALID["contracts/question.schema.json"].replace('"text": {', '"text": {"x-redact": true, ')
    found = book(tmp_path, {"contracts/question.schema.json": question})
    asked: Any = found.answer(Question("agent:boss-mag", "skill:send", LOW)).record.args
    assert asked["text"] == "[redacted]"


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"agent": "agent:nobody-mag"}, "is not in the catalog"),
        ({"on": "skill:sned"}, "is not in the catalog"),
        ({"on": "skill:send", "args": {}}, "does not meet contract question"),
        ({"on": "skill:send", "args": None}, 'is not of type "object"; give the input with --args, in a table'),
        ({"on": "tool:mail"}, "names no tool"),
        ({"on": "tool:mail/*"}, "is a glob"),
        ({"on": "eval:x-y"}, "a rule cannot name"),
        ({"mode": "careful"}, "the modes are"),
    ],
)
def test_what_cannot_be_asked_is_said(tmp_path: Path, question: Any, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        said(book(tmp_path), **question)


def test_a_moment_is_utc_unless_it_says_otherwise() -> None:
    assert moment_of(None) is NOON
    assert moment_of("2026-01-05T12:00") == NOON == moment_of("2026-01-05T13:00:00+01:00")
    with pytest.raises(Invalid, match="is no moment"):
        moment_of("noon")


CASES: Final = """\
kind: policy_test
schema: 1
cases:
  - {case: low, agent: agent:boss-mag, on: skill:send, args: {text: t, level: low}, expect: allow, rule: sends}
  - {case: other rule, agent: agent:boss-mag, on: skill:send, args: {text: t, level: low}, expect: allow, rule: x}
  - {case: wrong, agent: agent:boss-mag, on: skill:send, args: {text: t, level: high}, expect: deny}
  - {case: nobody, agent: agent:no-mag, on: skill:send, expect: deny}
  - case: all keys
    agent: flow:review
    on: shell:stamp
    effect: idempotent
    env: production
    mode: safe_mode
    at: 2026-01-05T12:00:00Z
    count: {skill:send: 1}
    after: [skill:send]
    expect: deny
"""


def test_a_table_is_asked_case_by_case(tmp_path: Path) -> None:
    results = book(tmp_path, {"policies/rules.test.yaml": CASES}).test()
    assert [(one.case, one.passed) for one in results] == [
        ("low", True),
        ("other rule", False),
        ("wrong", False),
        ("nobody", False),
        ("all keys", True),
    ]
    assert results[0].place == "policies/rules.test.yaml:4"
    assert "not in the catalog" in results[3].fault


def test_a_table_that_is_wrong_is_a_finding_and_denies_nothing(tmp_path: Path) -> None:
    found = book(tmp_path, {"policies/rules.test.yaml": CASES.replace("expect: deny", "expect: perhaps")}, sound=False)
    assert any("perhaps" in str(one) for one in found.findings())
    assert said(found) == ("allow", "sends")
    assert found.describe()["broken"] is None
    assert {one.path for one in found.faults()} == {"policies/rules.test.yaml"}


def test_tables_say_nothing_of_policies_that_cannot_be_used(tmp_path: Path) -> None:
    only_deny = CASES.partition("  - {case: low")[0] + "  - {case: no, agent: flow:review, on: shell:x, expect: deny}\n"
    tables = {"policies/rules.test.yaml": only_deny}
    assert book(tmp_path / "sound", tables).faults() == []
    found = book(tmp_path / "broken", {**tables, "policies/more.yaml": "kind: policy\nrules: [\n"}, sound=False)
    assert [one.passed for one in found.test()] == [True]
    assert [one.path for one in found.faults()] == ["policies/more.yaml"]


def test_tables_are_no_part_of_policies_or_bundles(tmp_path: Path) -> None:
    apps = [build_app(tmp_path / name, {**VALID, "policies/rules.yaml": RULES, **more}) for name, more in
            (("a", {}), ("b", {"policies/rules.test.yaml": CASES}))]  # fmt: skip
    assert apps[0].catalog.policies.hash == apps[1].catalog.policies.hash
    assert apps[0].catalog.bundle.hash == apps[1].catalog.bundle.hash


def test_what_is_in_force_is_described(tmp_path: Path) -> None:
    found = book(tmp_path, {"policies/w.yaml": "kind: policy\nschema: 1\nwindows: {late: {from: '20:00'}}\n"})
    about = found.describe()
    assert (about["rules"], about["windows"], about["broken"]) == (6, ["late"], None)
    assert found.findings() == []


def test_a_condition_is_shown_as_it_was_written(tmp_path: Path) -> None:
    found = book(tmp_path).answer(Question("agent:boss-mag", "skill:send", LOW))
    assert 'run.count("skill:send") > 2 || run.after("model:*")' in [rule.when for rule in found.rules]


def test_a_deny_by_broken_policies_says_the_same_on_every_machine(tmp_path: Path) -> None:
    found = book(tmp_path, {"policies/rules.yaml": RULES.replace("args.level ==", "args.levl ==")}, sound=False)
    reason = found.answer(Question("agent:boss-mag", "skill:send", LOW)).verdict.reason
    assert str(tmp_path) not in reason
    assert "policies/rules.yaml:4:" in reason
