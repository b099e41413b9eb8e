"""The policies in force: rules compiled, places kept, and everything denied when anything is wrong."""

from pathlib import Path
from typing import Any

import pytest

from magsag.catalog.load import Loaded
from magsag.domain.effects import Effect
from magsag.domain.facts import Decision, Verdict
from magsag.policy.judge import applicable, judge
from magsag.policy.record import Record
from tests.unit.catalogs import loaded, swapped, told, write

POLICY = """\
kind: policy
schema: 1
rules:
  - id: high-asks
    on: [skill:send]
    when: args.level == "high"
    verdict: ask
    reason: A person looks at these.
  - id: others-go
    on: ["skill:send@^0.2", model:smart]
    verdict: allow
"""
PATH = "policies/send.yaml"


def verdict(found: Loaded, args: dict[str, Any], target: str = "skill:send@0.2.0") -> Verdict:
    run = {"id": "r", "program": "p", "parent": None, "requester": "q"}
    time = {"weekday": "mon", "hour": 9, "minute": 0, "date": "2031-04-07", "unix": 0}
    record = Record("agent:boss-mag@0.1.0", target, Effect.IDEMPOTENT, args, run, "development", "implement", time)
    return judge(record, applicable(found.policies, target, Effect.IDEMPOTENT, record.agent), found.policies.hash)


def test_rules_judge_what_they_name_and_know_their_line(tmp_path: Path) -> None:
    found = loaded(tmp_path, {PATH: POLICY})
    assert found.findings == []
    high, low = verdict(found, {"level": "high"}), verdict(found, {"level": "low"})
    assert (high.decision, high.rule, high.place) == (Decision.ASK, "high-asks", f"{PATH}:4")
    assert (low.decision, low.rule, low.place) == (Decision.ALLOW, "others-go", f"{PATH}:9")
    assert verdict(found, {}, "skill:send@0.3.0").rule == "high-asks"


def test_a_missing_argument_denies(tmp_path: Path) -> None:
    open_contract = {"contracts/question.schema.json": "{}"}
    found = loaded(
        tmp_path, {PATH: swapped(POLICY, ("args.level", "args.missing")), "flows/review.yaml": None, **open_contract}
    )
    assert found.findings == []
    assert verdict(found, {"level": "high"}).decision is Decision.DENY


def test_no_policy_leaves_the_built_in_rules(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    assert (found.policies.rules, found.policies.broken) == ((), None)
    assert verdict(found, {}).rule == "ask-before-effects"


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("args.level", "args.levl", "6:16", "levl"),
        ('args.level == "high"', "args.level", "6:11", "true or false"),
        ("skill:send]", "skil:send]", "5:10", 'did you mean "skill"?'),
        ("skill:send]", "'skll:*']", "5:10", 'did you mean "skill"?'),
        ("skill:send]", "eval:send]", "5:10", "a rule cannot name"),
        ("others-go", "high-asks", "9:9", f"the rule id high-asks stands twice; the first is at {PATH}:4:9"),
        ("verdict: ask", "verdict: aks", "7:14", 'cannot be "aks"; write allow, ask or deny; did you mean "ask"?'),
        (
            "    reason: A person looks at these.\n",
            "    durability: every_step\n",
            "8:5",
            "not enforced by this version",
        ),
        ("rules:", "rule:", "3:1", 'did you mean "rules"?'),
        ("kind: policy", "kind: polcy", "1:7", 'did you mean "policy"?'),
        ("    verdict: ask\n", "", "4:5", "`verdict` is missing"),
    ],
)
def test_anything_wrong_is_a_finding_and_denies_everything(
    old: str, new: str, place: str, words: str, tmp_path: Path
) -> None:
    found = loaded(tmp_path, {PATH: swapped(POLICY, (old, new))})
    (finding,) = found.findings
    assert finding.place == f"{PATH}:{place}"
    assert words in str(finding)
    assert finding.subject is None
    assert finding.what in str(found.policies.broken)
    assert verdict(found, {"level": "low"}).decision is Decision.DENY
    assert found.concerning("agent:boss-mag") == []


@pytest.mark.parametrize("text", ["", "a: [", b"\xff", "- 1\n"])
def test_a_policy_that_cannot_be_read_denies_everything(text: str | bytes, tmp_path: Path) -> None:
    found = loaded(tmp_path, {PATH: POLICY, "policies/other.yaml": text})
    assert len(found.findings) == 1
    assert verdict(found, {"level": "low"}).decision is Decision.DENY


@pytest.mark.parametrize("text", ["kind: policy_test\nschema: 1\ncases: [\n", "", "a: [", b"\xff", "kind: policy_tst"])
@pytest.mark.parametrize("name", ["policies/b", "tables/b"])
def test_a_broken_table_is_known_by_its_name_and_denies_nothing(text: str | bytes, name: str, tmp_path: Path) -> None:
    found = loaded(tmp_path, {PATH: POLICY, f"{name}.test.yaml": text})
    assert [note.subject for note in found.findings] == ["policy_test:b" if name[0] == "p" else "policy_test:tables"]
    assert verdict(found, {"level": "low"}).rule == "others-go"
    by_any_other_name = loaded(tmp_path, {f"{name}.test.yaml": None, "policies/b.tests.yaml": text})
    assert verdict(by_any_other_name, {"level": "low"}).rule == "policy-unreadable"


@pytest.mark.parametrize("broken", ["", "a: [", "\udcff"])
def test_a_policy_named_like_a_table_is_refused_and_denies(broken: str, tmp_path: Path) -> None:
    found = loaded(tmp_path, {"policies/b.test.yaml": (POLICY + broken).encode("utf-8", "surrogateescape")})
    assert any("a policy cannot stand in a file named *.test.yaml" in str(one) for one in found.findings)
    assert verdict(found, {"level": "low"}).rule == "policy-unreadable"


def test_a_policy_that_may_not_be_opened_denies_everything(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / PATH).symlink_to(tmp_path / "nowhere")
    assert verdict(loaded(tmp_path), {}).rule == "policy-unreadable"


@pytest.mark.parametrize("path", ["rules.yaml", "more/rules.yml", "skills/send/guard.yaml"])
@pytest.mark.parametrize("break_it", ["a: [\n", "\udcff", "kind: polcy"])
def test_a_policy_denies_when_it_breaks_wherever_it_stands(path: str, break_it: str, tmp_path: Path) -> None:
    assert verdict(loaded(tmp_path, {path: POLICY}), {"level": "low"}).rule == "others-go"
    is_kind = break_it.startswith("kind")
    broken = POLICY.replace("kind: policy", break_it) if is_kind else POLICY + break_it
    found = loaded(tmp_path, {path: broken.encode("utf-8", "surrogateescape")})
    assert len(found.findings) == 1
    assert verdict(found, {"level": "low"}).rule == "policy-unreadable"


def test_a_broken_policy_in_json_denies_wherever_it_stands(tmp_path: Path) -> None:
    found = loaded(tmp_path, {"rules.json": '{"schema": 1, "kind": "policy", "rules": ['})
    assert verdict(found, {}).rule == "policy-unreadable"


def test_a_broken_manifest_of_another_kind_is_no_policy(tmp_path: Path) -> None:
    found = loaded(tmp_path, {"skills/other/skill.yaml": "kind: skill\na: [", "notes.yaml": "a: [", "data.json": "{"})
    assert len(found.findings) == 2
    assert found.policies.broken is None


def test_policies_behind_a_link_deny_everything(tmp_path: Path) -> None:
    write(tmp_path / "shared", {"send.yaml": POLICY})
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog/policies").symlink_to(tmp_path / "shared", target_is_directory=True)
    found = loaded(tmp_path / "catalog")
    assert [finding.place for finding in found.findings] == ["policies:1:1"]
    assert verdict(found, {}).rule == "policy-unreadable"


def test_a_policy_with_an_ending_that_is_not_read_denies_everything(tmp_path: Path) -> None:
    found = loaded(tmp_path, {"policies/send.YAML": POLICY})
    assert "capital letters" in str(found.findings[0])
    assert verdict(found, {"level": "low"}).rule == "policy-unreadable"


def test_a_rule_for_nothing_in_the_catalog_is_only_warned_of(tmp_path: Path) -> None:
    found = loaded(tmp_path, {PATH: swapped(POLICY, ("skill:send]", "skill:sent]"), ("@^0.2", "@^7"))})
    assert [(note.line, note.severity) for note in found.findings] == [(5, "warning"), (10, "warning")]
    assert found.policies.broken is None


def test_a_condition_must_fit_every_target_that_the_rule_names(tmp_path: Path) -> None:
    text = swapped(POLICY, ("[skill:send]", "[skill:send, agent:boss-mag]"))
    assert told(tmp_path, {PATH: text}) == []
    other = "contracts/other.schema.json"
    boss = {"agents/main/boss-mag/agent.yaml": None, "agents/main/b/agent.yaml": BOSS, "agents/main/b/agent.py": RUN}
    assert (
        len(told(tmp_path, {PATH: text, **boss, other: '{"properties": {"a": {}}, "additionalProperties": false}'}))
        == 1
    )


BOSS = """\
kind: agent
schema: 1
slug: boss-mag
version: 0.1.0
role: main
entrypoint: agent.py:run
contracts: {input: other}
"""
RUN = "async def run(payload, ctx): ...\n"


def test_limits_for_finished_runs_stand_in_one_file_only(tmp_path: Path) -> None:
    limits = "kind: policy\nschema: 1\nflow_governance: {min_runs: 3, min_success_rate: 1}\n"
    found = loaded(tmp_path, {"policies/a.yaml": limits})
    assert found.policies.governance is not None
    assert found.policies.governance.min_runs == 3
    (line,) = told(tmp_path, {"policies/b.yaml": limits})
    assert line.startswith("policies/b.yaml:3:1: `flow_governance` stands in policies/a.yaml too")


def test_the_hash_is_that_of_the_policies_alone(tmp_path: Path) -> None:
    first = loaded(tmp_path, {PATH: POLICY})
    other_code = loaded(tmp_path, {"skills/send/skill.py": "def run(p): return 1\n"})
    assert other_code.policies.hash == first.policies.hash
    assert other_code.bundle.hash != first.bundle.hash
    other_rule = loaded(tmp_path, {PATH: swapped(POLICY, ("allow", "deny"))})
    assert other_rule.policies.hash != first.policies.hash
    assert other_rule.bundle.hash == first.bundle.hash
