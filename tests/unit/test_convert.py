"""Permission files of earlier systems as policies: side by side over hundreds of cases, differences named."""

from collections import Counter
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from magsag.catalog.convert import convert_permissions, reference
from magsag.catalog.load import Loaded
from magsag.domain.effects import Effect
from magsag.domain.errors import Invalid
from magsag.policy.judge import applicable, judge
from magsag.policy.record import Record, Traits
from tests.unit.catalogs import loaded

GIVEN: Final = """\
default_permission: REQUIRE_APPROVAL
categories:
  read_only: {permission: ALWAYS, description: looks only, tools: ["*.read_*", "*.get_*", "*.list_*", "*.search_*"]}
  write: {permission: REQUIRE_APPROVAL, tools: ["*.create_*", "*.update_*", "*.write_*"]}
  destructive: {permission: NEVER, tools: ["*.delete_*", "*.drop_*"]}
  execution: {permission: NEVER, tools: ["*.execute_*", "shell.*", "system.*"]}
tools:
  filesystem.read_file: {permission: ALWAYS}
  filesystem.list_directory: {permission: ALWAYS}
  filesystem.write_file: {permission: REQUIRE_APPROVAL, approval_message: writes a file}
  database.select: {permission: ALWAYS}
  database.delete_row: {permission: REQUIRE_APPROVAL}
  code.execute: {permission: NEVER}
  stripe.charge: {permission: REQUIRE_APPROVAL}
environments:
  development: {default_permission: ALWAYS, overrides: {"*.drop_*": REQUIRE_APPROVAL}}
  production:
    default_permission: REQUIRE_APPROVAL
    overrides: {filesystem.write_file: NEVER, database.select: ALWAYS}
context_rules:
  - {name: small, condition: {tool: stripe.refund, args_match: {amount_usd: {less_than: 10}}}, permission: ALWAYS}
  - {name: temporary, condition: {tool_pattern: "filesystem.*", args_match: {path: "/tmp/*"}}, permission: ALWAYS}
  - {name: known, condition: {tool: github.comment, args_match: {repo: test, count: 1}}, permission: ALWAYS}
  - {name: not in production, condition: {tool: mail.send, context_match: {environment: production}}, permission: NEVER}
dangerous_patterns:
  - {pattern: "*.delete_all_*", permission: NEVER}
  - {pattern: "*production*", permission: REQUIRE_APPROVAL}
  - {pattern: "admin.*", permission: REQUIRE_APPROVAL}
"""
TOOLS: Final = (
    *("filesystem.read_file", "filesystem.list_directory", "filesystem.write_file", "filesystem.touch"),
    *("database.select", "database.delete_row", "database.delete_all_rows", "database.drop_table", "database.vacuum"),
    *("code.execute", "code.execute_script", "shell.run", "stripe.charge", "stripe.refund", "github.get_repo"),
    *(
        "github.comment",
        "mail.send",
        "mail.read_production_box",
        "admin.reset",
        "wiki.search_pages",
        "wiki.update_page",
    ),
)
ARGUMENTS: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"path": "/tmp/a", "amount_usd": 3},
    {"path": "/etc/passwd", "amount_usd": 30, "repo": "test", "count": 1},
)
PLACES: Final = ("development", "production", "staging", "test")
RANK: Final = ["ALWAYS", "REQUIRE_APPROVAL", "NEVER"]
VERDICTS: Final = {"allow": "ALWAYS", "ask": "REQUIRE_APPROVAL", "deny": "NEVER"}


def original(given: dict[str, Any], tool: str, place: str, args: dict[str, Any]) -> tuple[str, str]:
    """What the original said: the first hit decides. Also what hit."""
    environment = given["environments"].get(place)
    if environment is not None:
        for name, permission in environment["overrides"].items():
            if fnmatchcase(tool, name):
                return permission, "override"
        return environment["default_permission"], "environment default"
    if tool in given["tools"]:
        return given["tools"][tool]["permission"], "tool"
    for rule in given["context_rules"]:
        if fits(rule["condition"], tool, place, args):
            return rule["permission"], "context"
    for one in given["dangerous_patterns"]:
        if fnmatchcase(tool, one["pattern"]):
            return one["permission"], "dangerous"
    for category in given["categories"].values():
        if any(fnmatchcase(tool, name) for name in category["tools"]):
            return category["permission"], "category"
    return given["default_permission"], "default"


def fits(condition: dict[str, Any], tool: str, place: str, args: dict[str, Any]) -> bool:
    """Whether a context rule of the original holds."""
    if not fnmatchcase(tool, str(condition.get("tool") or condition.get("tool_pattern"))):
        return False
    for name, wanted in condition.get("args_match", {}).items():
        if name not in args:
            return False
        if isinstance(wanted, dict):
            if not args[name] < wanted["less_than"]:
                return False
        elif not fnmatchcase(str(args[name]), str(wanted)):
            return False
    return all(place == wanted for wanted in condition.get("context_match", {}).values())


def converted(folder: Path, text: str = GIVEN) -> Loaded:
    made = convert_permissions(yaml.safe_load(text))
    found = loaded(folder, {"policies/converted.yaml": made.text})
    assert found.findings == []
    return found


def ours(found: Loaded, tool: str, place: str, args: object, agent: str = "agent:a-mag@1.0.0", **more: Any) -> str:
    target, effect = reference(tool), Effect.UNREPEATABLE
    traits = Traits(declared=more.get("declared", True))
    time = {"unix": more.get("unix", 0)}
    record = Record(agent, target, effect, args, {"id": "r"}, place, "implement", time, traits)
    verdict = judge(record, applicable(found.policies, target, effect, agent, traits), found.policies.hash)
    return VERDICTS[verdict.decision.value]


def difference(was: str, hit: str, now: str) -> str | None:
    """Why the two say different things, where that is meant."""
    if was == now:
        return None
    if RANK.index(now) > RANK.index(was):
        return (
            f"stricter: an {hit} let it through"
            if hit.startswith(("environment", "override"))
            else "the strictest speaks"
        )
    return "an environment default hid the rule" if hit == "environment default" else f"LOOSER than {hit}"


def test_two_hundred_cases_side_by_side_and_every_difference_is_meant(tmp_path: Path) -> None:
    found, given = converted(tmp_path), yaml.safe_load(GIVEN)
    cases = list(product(TOOLS, PLACES, ARGUMENTS))
    assert len(cases) >= 200
    why: Counter[str | None] = Counter()
    for tool, place, args in cases:
        was, hit = original(given, tool, place, args)
        why[difference(was, hit, ours(found, tool, place, args))] += 1
    assert why == {
        None: 165,
        "stricter: an environment default let it through": 63,
        "stricter: an override let it through": 3,
        "an environment default hid the rule": 15,
        "the strictest speaks": 6,
    }


def test_nothing_that_was_never_allowed_is_anything_else_now(tmp_path: Path) -> None:
    found, given = converted(tmp_path), yaml.safe_load(GIVEN)
    for tool, place, args in product(TOOLS, PLACES, ARGUMENTS):
        if original(given, tool, place, args)[0] == "NEVER":
            assert ours(found, tool, place, args) == "NEVER", (tool, place, args)


def test_a_tool_without_a_declared_kind_is_allowed_by_its_name_only(tmp_path: Path) -> None:
    found = converted(tmp_path)
    assert ours(found, "filesystem.read_file", "test", {}, declared=False) == "ALWAYS"
    assert ours(found, "github.get_repo", "test", {}, declared=False) == "REQUIRE_APPROVAL"


MORE: Final = """\
default_permission: NEVER
tools: {github.get_user: {permission: ALWAYS}, odd: {permission: ALWAYS}}
server_defaults: {"stripe": {default: REQUIRE_APPROVAL, description: money}}
categories: {reads: {permission: ALWAYS, tools: ["*.read_*"]}, none: {permission: NEVER}}
time_restrictions:
  - name: business hours
    tools: ["github.*"]
    allowed_hours: {start: 9, end: "17:30", timezone: UTC, days: [Thursday]}
    outside_hours_permission: REQUIRE_APPROVAL
  - {name: window, maintenance_windows: [{start: a, end: b, permission_override: NEVER}]}
context_rules:
  - {name: who, condition: {tool: a.b, context_match: {user: ann}}, permission: ALWAYS}
  - {name: whom, condition: {tool: a.c, context_match: {user: ann}}, permission: NEVER}
  - {condition: {tool: github.get_user, args_match: {odd-name: {greater_than: 1, less_than: 5}}}, permission: NEVER}
agents:
  mag: {default_permission: ALWAYS, overrides: {"*.read_*": ALWAYS}}
  sag: {default_permission: REQUIRE_APPROVAL, overrides: {"*.delete_*": NEVER}}
environments: {locked: {default_permission: NEVER}}
approval: {default_timeout_minutes: 30}
audit: {log_decisions: true}
rate_limits: {global: {calls_per_minute: 100}}
"""
THURSDAY_NOON: Final = 12 * 3600


def test_the_rest_of_the_grammar_is_carried_over_or_named(tmp_path: Path) -> None:
    found = converted(tmp_path, MORE)
    assert ours(found, "github.get_user", "x", {}, unix=THURSDAY_NOON) == "ALWAYS"
    assert ours(found, "github.get_user", "x", {}, unix=0) == "REQUIRE_APPROVAL"
    assert ours(found, "github.get_user", "x", {"odd-name": 3}, unix=THURSDAY_NOON) == "NEVER"
    assert ours(found, "stripe.pay", "x", {}) == "REQUIRE_APPROVAL"
    assert ours(found, "wiki.edit", "x", {}) == "NEVER"
    assert ours(found, "a.read_b", "x", {}) == "ALWAYS"
    assert ours(found, "a.read_b", "locked", {}) == "NEVER"
    assert ours(found, "a.read_b", "x", {}, agent="agent:some-sag@1.0.0") == "REQUIRE_APPROVAL"
    assert ours(found, "stripe.delete_x", "x", {}, agent="agent:some-sag@1.0.0") == "NEVER"
    notes = "\n".join(convert_permissions(yaml.safe_load(MORE)).notes)
    for words in ("a maintenance window of window", "context rule who is left out", "context rule whom holds whatever",
                  "agent mag: default_permission ALWAYS", "agent mag: ALWAYS for *.read_*",
                  "of approval only the timeout", "audit is not carried", "rate_limits is not carried"):  # fmt: skip
        assert words in notes
    allowing = convert_permissions({"default_permission": "ALWAYS"})
    assert "default_permission ALWAYS is not carried over" in allowing.notes[0]


def test_hours_of_maintenance_and_how_long_is_waited_are_carried_over(tmp_path: Path) -> None:
    text = """\
approval: {default_timeout_minutes: 30}
tools: {a.b: {permission: REQUIRE_APPROVAL}}
time_restrictions: [{name: nights, tools: ["a.*"], maintenance_windows: [{start: "11:30", end: "12:30"}]}]
"""
    found = converted(tmp_path, text)
    assert [rule.get("approval") for rule in convert_permissions(yaml.safe_load(text)).policy["rules"]] == [
        {"ttl": "30m"},
        None,
    ]
    assert ours(found, "a.b", "x", {}, unix=THURSDAY_NOON) == "NEVER"
    assert ours(found, "a.b", "x", {}, unix=0) == "REQUIRE_APPROVAL"


def test_the_rules_of_two_files_hold_together() -> None:
    given = yaml.safe_load(MORE)
    mine, others = convert_permissions(given), convert_permissions(given, prefix="mcp")
    ids = [rule["id"] for one in (mine, others) for rule in one.policy["rules"]]
    windows = [name for one in (mine, others) for name in one.policy["windows"]]
    assert len(ids) == len(set(ids))
    assert windows == ["business_hours", "mcp_business_hours"]


ODD: Final = """\
approval: {default_timeout_minutes: 30}
tools: {a.b: {permission: ALWAYS}}
time_restrictions:
  - {name: 夜, allowed_hours: {start: 9, end: 17}}
  - {name: 昼, allowed_hours: {start: 10, end: 16}}
  - {name: 9to5, allowed_hours: {start: 9, end: 17}, maintenance_windows: [{start: "11:30", end: "12:30"}]}
"""


@pytest.mark.parametrize("prefix", ["", "1", "-", "é"])
def test_names_that_no_policy_could_have_become_ones_that_it_can(prefix: str, tmp_path: Path) -> None:
    made = convert_permissions(yaml.safe_load(ODD), prefix)
    assert len(made.policy["windows"]) == 4
    assert loaded(tmp_path, {"policies/converted.yaml": made.text}).findings == []
    assert made.notes == [
        "approval is not carried over: who approves stands in each rule's `approval` and in people.yaml"
    ]


NEAR: Final = {"condition": {"args_match": {"a": {"near": 1}}}, "permission": "NEVER"}


def test_a_file_that_denies_everything_stays_one(tmp_path: Path) -> None:
    assert ours(converted(tmp_path, "default_permission: NEVER\n"), "a.b", "x", {}) == "NEVER"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "is no permission file"),
        ({"rules": []}, "is no permission file"),
        ({"tools": []}, None),
        ({"tools": ["a"]}, "must be a mapping"),
        ({"tools": {"a.b": {"permission": "PERHAPS"}}}, "none of ALWAYS"),
        ({"tools": {"a.b?": {"permission": "NEVER"}}}, "only \\* is a wildcard"),
        (
            {"tools": {}, "context_rules": [{"condition": {"args_match": {"a": {"near": 1}}}, "permission": "NEVER"}]},
            "near",
        ),
    ],
)
def test_what_cannot_be_carried_over_is_refused(given: Any, words: str | None) -> None:
    if words is None:
        assert convert_permissions(given).policy["rules"] == []
        return
    with pytest.raises(Invalid, match=words):
        convert_permissions(given)
