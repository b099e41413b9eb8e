"""What rules may say: globs, programs, windows, labels, counts, and blocks that only tighten."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magsag.catalog.load import Loaded
from magsag.catalog.patterns import pattern
from magsag.catalog.references import BadReference
from magsag.domain.condition import ConditionFailed
from magsag.domain.effects import Effect
from magsag.domain.facts import Decision, Verdict
from magsag.domain.verdicts import BUILT_IN
from magsag.policy.judge import applicable, judge
from magsag.policy.record import Record, Traits
from magsag.policy.rules import CompiledRule, OneByOne, Policies
from magsag.policy.windows import DAYS, Window
from tests.unit.catalogs import loaded

PATH: Final = "policies/p.yaml"
HEAD: Final = "kind: policy\nschema: 1\n"
MONDAY: Final = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
BASE: Final = Record(
    agent="agent:helper-sag@0.1.3",
    target="skill:send@0.2.0",
    effect=Effect.IDEMPOTENT,
    args={"text": "t", "level": "low"},
    run={"id": "r", "program": "agent:helper-sag@0.1.3", "parent": "", "requester": "q", "actor": "a"},
    env="development",
    mode="implement",
    time={"weekday": "mon", "hour": 12, "minute": 0, "date": "2026-03-02", "iso": "", "unix": int(MONDAY.timestamp())},
)


def rules(folder: Path, text: str) -> Loaded:
    return loaded(folder, {PATH: HEAD + text})


def verdict(found: Loaded | Policies, **changes: Any) -> Verdict:
    policies = found.policies if isinstance(found, Loaded) else found
    record = replace(BASE, **changes)
    about = applicable(policies, record.target, record.effect, record.agent, record.traits)
    return judge(record, about, policies.hash)


def said(found: Loaded | Policies, **changes: Any) -> tuple[str, str]:
    told = verdict(found, **changes)
    return told.decision.value, told.rule


@pytest.mark.parametrize(
    ("text", "target", "means"),
    [
        ("*", "skill:send@1.0.0", True),
        ("*", "tool:a/b", True),
        ("skill:*", "skill:send@1.0.0", True),
        ("skill:*", "tool:send/x", False),
        ("skill:se*d", "skill:send@1.0.0", True),
        ("skill:se*d", "skill:sender@1.0.0", False),
        ("tool:*/delete_*", "tool:github/delete_repo", True),
        ("tool:*/delete_*", "tool:github/undelete_repo", False),
        ("tool:*production*", "tool:db/drop_production_rows", True),
        ("skill:send-*@^1", "skill:send-a@1.4.0", True),
        ("skill:send-*@^1", "skill:send-a@2.0.0", False),
        ("skill:send-*@^1", "skill:send-a", False),
        ("tool:a.b/*", "tool:axb/c", False),
        ("tool:db/query", "tool:db/query", True),
        ("tool:db/query", "tool:db/query_all", False),
        ("skill:send@^1", "skill:send@1.4.0", True),
        ("event:paid", "event:paid", True),
        ("event:*", "event:paid", True),
    ],
)
def test_what_a_pattern_means(text: str, target: str, means: bool) -> None:
    named = pattern(text)
    assert named.matches(target) is means
    assert target.startswith(named.prefix) or not means


@pytest.mark.parametrize("text", ["tool:db", "tool:", "thing:*", "skll:a*", "a b*", "skill:*@x.y", "eval:a-b", "*x"])
def test_what_names_nothing_is_refused(text: str) -> None:
    with pytest.raises(BadReference):
        pattern(text)


def test_a_glob_must_be_written_and_holds_for_what_it_means(tmp_path: Path) -> None:
    found = rules(tmp_path, 'rules:\n  - {id: all-skills, on: ["skill:*"], verdict: allow}\n')
    assert found.findings == []
    assert said(found) == ("allow", "all-skills")
    assert said(found, target="tool:mail/send") == ("ask", "ask-before-effects")


def test_an_effect_that_nobody_declared_is_not_allowed_by_a_glob(tmp_path: Path) -> None:
    text = """
rules:
  - {id: all, on: ["tool:*"], verdict: allow}
  - {id: one, on: [tool:mail/send], verdict: allow}
  - {id: never, on: ["tool:*/drop_*"], verdict: deny}
"""
    found, unknown = rules(tmp_path, text), Traits(declared=False)
    tool: dict[str, Any] = {"effect": Effect.UNREPEATABLE, "traits": unknown}
    assert said(found, target="tool:mail/send", **tool) == ("allow", "one")
    assert said(found, target="tool:mail/read", **tool) == ("ask", "ask-before-effects")
    assert said(found, target="tool:db/drop_all", **tool) == ("deny", "never")
    assert said(found, target="tool:mail/read", effect=Effect.READ) == ("allow", "all")


def test_a_rule_may_hold_for_some_programs_only(tmp_path: Path) -> None:
    text = 'rules:\n  - {id: subs, on: [skill:send], by: ["agent:*-sag"], verdict: allow}\n'
    found = rules(tmp_path, text)
    assert said(found) == ("allow", "subs")
    assert said(found, agent="agent:boss-mag@0.1.0") == ("ask", "ask-before-effects")


@pytest.mark.parametrize(
    ("when", "traits", "applies"),
    [
        ('"network" in target.capabilities', Traits(capabilities=("network",)), True),
        ('"network" in target.capabilities', Traits(), False),
        ('target.risk == "high"', Traits(risk="high"), True),
        ('target.risk == "high"', Traits(), False),
        ('target.categories.exists(one, one == "destructive")', Traits(categories=("destructive",)), True),
        ('"personal" in labels', Traits(labels=("personal",)), True),
        ('"personal" in labels', Traits(labels=("public",)), False),
        ('target.kind == "skill" && target.name == "send" && target.version.startsWith("0.2")', Traits(), True),
        ('target.ref == "skill:send@0.2.0"', Traits(), True),
        ('run.actor == "a"', Traits(), True),
    ],
)
def test_conditions_see_what_is_declared(tmp_path: Path, when: str, traits: Traits, applies: bool) -> None:
    text = f"rules:\n  - id: seen\n    on: ['*']\n    when: '{when}'\n    verdict: deny\n"
    assert (said(rules(tmp_path, text), traits=traits)[1] == "seen") is applies


def test_labels_risk_and_capabilities_come_from_the_manifests(tmp_path: Path) -> None:
    from magsag.services.steps.target import traits_of

    skill = "capabilities: [network, shell]\nrisk: high\ncategories: [mail]\n"
    question = '{"type": "object", "properties": {"text": {"x-labels": ["personal", "mail"]}, "level": {}}}'
    found = loaded(tmp_path)
    manifest = (tmp_path / "skills/send/skill.yaml").read_text(encoding="utf-8") + skill
    found = loaded(tmp_path, {"skills/send/skill.yaml": manifest, "contracts/question.schema.json": question})
    traits = traits_of(found.bundle, found.bundle.find("skill:send"))
    assert traits == Traits(("network", "shell"), "high", ("mail",), ("mail", "personal"))
    assert traits_of(found.bundle, found.bundle.find("agent:boss-mag")) == Traits(labels=("mail", "personal"))
    assert traits_of(found.bundle, found.bundle.find("agent:helper-sag")) == Traits()


OFFICE: Final = """
windows:
  office: {days: [mon, tue], from: "09:00", to: "17:00", zone: Europe/Berlin}
  night: {from: "22:00", to: "06:00"}
rules:
  - {id: by-day, on: [skill:send], when: window.office, verdict: allow}
  - {id: by-night, on: [skill:send], when: "!window.office && window.night", verdict: deny}
"""


@pytest.mark.parametrize(
    ("at", "rule"),
    [
        (MONDAY, "by-day"),
        (MONDAY.replace(hour=16), "ask-before-effects"),
        (MONDAY.replace(hour=8), "by-day"),
        (MONDAY.replace(hour=7, minute=59), "ask-before-effects"),
        (MONDAY.replace(hour=22), "by-night"),
        (MONDAY.replace(hour=5), "by-night"),
        (MONDAY.replace(day=4), "ask-before-effects"),
    ],
)
def test_windows_are_hours_in_a_zone(tmp_path: Path, at: datetime, rule: str) -> None:
    found = rules(tmp_path, OFFICE)
    assert found.findings == []
    assert said(found, time={**BASE.time, "unix": int(at.timestamp())})[1] == rule


def test_the_night_after_a_day_belongs_to_that_day() -> None:
    friday = Window(frozenset({"fri"}), time(22), time(6))
    moments = {
        day: [friday.holds_at(int((MONDAY + timedelta(days=n, hours=h)).timestamp())) for h in (11, 17)]
        for n, day in enumerate(DAYS)
    }
    assert {day for day, (late, early) in moments.items() if late} == {"fri"}
    assert {day for day, (late, early) in moments.items() if early} == {"fri"}


def test_a_window_that_ends_at_midnight_ends_with_its_day() -> None:
    late = Window(frozenset({"mon"}), time(20), time(0), ZoneInfo("UTC"))
    assert [late.holds_at(int(MONDAY.timestamp()) + h * 3600) for h in (7, 8, 11, 12)] == [False, True, True, False]
    assert Window(frozenset(DAYS), time(0), time(0)).holds_at(0)


def test_a_record_without_a_time_denies_where_a_window_is_asked(tmp_path: Path) -> None:
    found = verdict(rules(tmp_path, OFFICE), time={**BASE.time, "unix": None})
    assert (found.decision, "no time" in found.reason) == (Decision.DENY, True)


BLOCKS: Final = """
rules:
  - {id: sends, on: [skill:send], verdict: allow}
environments:
  production: {tighten: {skill:send: ask, "tool:*": deny}}
agents:
  "agent:*-sag": {tighten: {"model:*": ask}}
  agent:helper-sag: {only: [skill:send, model:smart]}
"""


def test_an_environment_tightens_there_and_nowhere_else(tmp_path: Path) -> None:
    found = rules(tmp_path, BLOCKS)
    assert found.findings == []
    assert said(found) == ("allow", "sends")
    production = verdict(found, env="production")
    assert (production.decision, production.rule) == (Decision.ASK, "production/skill:send")
    assert production.place == f"{PATH}:7"
    assert said(found, env="production", target="tool:a/b", agent="agent:boss-mag@1.0.0")[0] == "deny"
    assert said(found, target="tool:a/b", effect=Effect.READ, agent="agent:boss-mag@1.0.0")[0] == "allow"


def test_an_agent_may_call_only_what_its_list_names(tmp_path: Path) -> None:
    found = rules(tmp_path, BLOCKS)
    other = verdict(found, target="skill:other@1.0.0", effect=Effect.READ)
    assert (other.decision, other.rule, other.place) == (Decision.DENY, "agent:helper-sag/only", f"{PATH}:10")
    assert said(found, target="skill:other@1.0.0", effect=Effect.READ, agent="agent:boss-mag@0.1.0")[0] == "allow"
    for wait in ("sleep", "event:paid"):
        assert said(found, target=wait, effect=Effect.WAIT) == ("allow", "allow-without-effects")
    assert said(found, target="model:smart", effect=Effect.READ) == ("ask", "agent:*-sag/model:*")


@given(st.sampled_from(["allow", "ask", "deny"]), st.sampled_from(["ask", "deny"]), st.booleans())
def test_a_block_never_loosens(rule: str, block: str, for_agent: bool) -> None:
    decisions = {"r": Decision(rule), "b": Decision(block)}
    on = (pattern("skill:send"),)
    base = CompiledRule("r", on, None, decisions["r"], "", "a:1")
    tight = CompiledRule("b", on, None, decisions["b"], "", "b:1", environment=None if for_agent else "development")
    rank = [Decision.ALLOW, Decision.ASK, Decision.DENY]
    with_it, without = verdict(Policies((base, tight), "")), verdict(Policies((base,), ""))
    assert rank.index(with_it.decision) >= rank.index(without.decision)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("environments: {production: {tighten: {skill:send: allow}}}\n", "allow"),
        ("environments: {production: {loosen: {skill:send: ask}}}\n", "loosen"),
        ("environments: {production: {tighten: {skll:send: ask}}}\n", 'did you mean "skill"'),
        ("agents: {skill:send: {only: []}}\n", "calls nothing"),
        ("windows: {late: {zone: Mars/Base}}\n", "Mars/Base"),
        ("windows: {late: {from: '25:00'}}\n", "from"),
        ("rules: [{id: a, on: ['*'], when: window.late, verdict: deny}]\n", "late"),
        ("rules: [{id: a, on: ['*'], when: 'run.count(env) > 1', verdict: deny}]\n", "in quotes"),
        ("rules: [{id: a, on: ['*'], when: 'run.count(\"skll:a\") > 1', verdict: deny}]\n", "skll"),
        ("rules: [{id: a, on: ['*'], when: 'run.count(\"skill:a\")', verdict: deny}]\n", "true or false"),
        ("rules: [{id: a, on: ['*'], when: 'size(run.count) > 1', verdict: deny}]\n", "as a whole"),
        ("rules: [{id: a, on: ['*'], when: 'target.rsk == \"high\"', verdict: deny}]\n", "risk"),
        (f"rules: [{{id: a, on: ['*'], when: 'env == \"{'x' * 4000}\"', verdict: deny}}]\n", "4000"),
    ],
)
def test_what_cannot_be_meant_is_a_finding_and_denies_everything(tmp_path: Path, text: str, words: str) -> None:
    found = rules(tmp_path, text)
    assert any(words in str(finding) for finding in found.findings), found.findings
    assert said(found) == ("deny", "policy-unreadable")


def test_windows_have_names_of_their_own_over_all_files(tmp_path: Path) -> None:
    text = HEAD + "windows: {late: {from: '20:00'}}\n"
    found = loaded(tmp_path, {PATH: text, "policies/q.yaml": text})
    assert ["stands twice" in str(finding) for finding in found.findings] == [True]


COUNTING: Final = """
rules:
  - {id: sends, on: [skill:send], verdict: allow}
  - {id: two-at-most, on: [skill:send], when: 'run.count("skill:send") >= 2', verdict: deny}
  - id: not-after-looking
    on: [skill:send]
    when: args.text != "run.after(x)" && run.after( "skill:look*" )
    verdict: ask
"""


@pytest.mark.parametrize(
    ("count", "after", "expected"),
    [(0, False, "sends"), (1, False, "sends"), (2, False, "two-at-most"), (0, True, "not-after-looking")],
)
def test_conditions_count_what_the_run_did(tmp_path: Path, count: int, after: bool, expected: str) -> None:
    found = rules(tmp_path, COUNTING)
    assert found.findings == []
    counted = {"count": {"skill:send": count, "skill:look*": 0}, "after": {"skill:send": False, "skill:look*": after}}
    about = applicable(found.policies, BASE.target, BASE.effect, BASE.agent)
    assert {one.ref for one in about.counts} == {"skill:send", "skill:look*"}
    assert said(found, run={**BASE.run, **counted})[1] == expected


def test_a_count_that_was_not_taken_denies(tmp_path: Path) -> None:
    assert said(rules(tmp_path, COUNTING))[0] == "deny"


def broken_answers(how: str) -> Any:
    class Broken:
        def __init__(self, conditions: object) -> None:
            pass

        def answers(self, names: object) -> list[bool | ConditionFailed]:
            if how == "raises":
                raise RuntimeError("the library is gone")
            return [True] * 7

    return Broken


@pytest.mark.parametrize("how", ["raises", "too many"])
def test_an_evaluation_that_breaks_denies(tmp_path: Path, how: str) -> None:
    found = rules(tmp_path, "rules: [{id: may, on: ['*'], when: 'env != \"x\"', verdict: allow}]\n")
    assert said(found) == ("allow", "may")
    assert said(replace(found.policies, together=broken_answers(how))) == ("deny", "may")


def test_conditions_asked_one_by_one_answer_as_they_do_together(tmp_path: Path) -> None:
    found = rules(tmp_path, COUNTING + "  - {id: odd, on: ['*'], when: args.nothing == 1, verdict: deny}\n")
    apart = replace(found.policies, together=OneByOne)
    refs = ("skill:send", "skill:look*")
    run = {**BASE.run, "count": dict.fromkeys(refs, 1), "after": dict.fromkeys(refs, True)}
    told = [verdict(found, args=args, run=run) for args in ({"text": "t"}, {"text": "", "nothing": 1}, {"nothing": 2})]
    assert [one.rule for one in told] == ["odd", "odd", "not-after-looking"]
    for args, together in zip(({"text": "t"}, {"text": "", "nothing": 1}, {"nothing": 2}), told, strict=True):
        assert verdict(apart, args=args, run=run) == together


class Explodes:
    """A condition whose library breaks."""

    source = "boom"
    reads: frozenset[tuple[str, ...]] = frozenset()

    def value(self, names: object) -> object:
        raise MemoryError("no room")

    def holds(self, names: object) -> bool:
        raise MemoryError("no room")


def test_a_condition_that_raises_anything_denies() -> None:
    rule = CompiledRule("boom", (pattern("*"),), Explodes(), Decision.ALLOW, "", "a:1")
    found = verdict(Policies((rule,), ""))
    assert (found.decision, found.rule) == (Decision.DENY, "boom")
    assert "no room" in found.reason


def test_rules_are_found_by_name_and_by_the_text_before_the_star() -> None:
    many = [CompiledRule(f"r{n}", (pattern(f"skill:s{n}"),), None, Decision.ALLOW, "", f"a:{n}") for n in range(50)]
    globs = [
        CompiledRule(f"g{n}", (pattern(f"skill:s{n}*"), pattern("tool:*")), None, Decision.ASK, "", f"b:{n}")
        for n in range(50)
    ]
    policies = Policies((*many, *globs), "")
    assert {rule.id for rule in policies.naming("skill:s41@1.0.0", "agent:a@1.0.0")} == {"r41", "g41", "g4"}
    assert len(policies.naming("tool:a/b", "agent:a@1.0.0")) == 50
    assert policies.naming("model:x", "agent:a@1.0.0") == []
    assert verdict(policies, target="model:x", effect=Effect.READ).place == BUILT_IN
