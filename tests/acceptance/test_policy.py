"""`magsag policy`, typed: exit codes, JSON, and wrong questions."""

from pathlib import Path

import pytest

from tests.acceptance.workshop import magsag

pytestmark = pytest.mark.measured

TABLE = """\
kind: policy_test
schema: 1
cases:
  - {case: reports go, agent: agent:triage-mag, on: skill:file-report, args: {tickets: [T]}, expect: allow}
  - {case: or not, agent: agent:triage-mag, on: skill:file-report, args: {tickets: [T]}, expect: deny}
""".replace("[T]", "[{id: T-1, topic: access, urgent: true}]")
ARGS = '{"tickets": [{"id": "T-1", "topic": "access", "urgent": true}]}'
ASK = ("--agent", "agent:triage-mag", "--on", "skill:file-report", "--args", ARGS)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    assert magsag("init", "desk", cwd=folder).code == 0
    return folder / "desk"


def test_policies_are_checked_and_explained(desk: Path) -> None:
    checked = magsag("policy", "check", "--json", cwd=desk)
    assert (checked.code, checked.value["broken"], checked.value["findings"]) == (0, None, [])
    explained = magsag("policy", "explain", *ASK, "--json", cwd=desk)
    assert (explained.code, explained.value["verdict"]["decision"]) == (0, "allow")
    assert explained.value["record"]["time"]["date"] > "2026-01-05"
    at = magsag("policy", "explain", *ASK, "--at", "2026-01-10T23:00:00Z", cwd=desk)
    assert "at 2026-01-10T23:00:00+00:00, sat" in at.out
    assert explained.value["record"]["target"] == "skill:file-report@0.1.0"
    assert magsag("policy", "explain", *ASK, "--mode", "safe_mode", cwd=desk).code == 3
    assert "no rule is about it" in magsag("policy", "explain", *ASK[:2], "--on", "call:x", cwd=desk).out


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--effect", "huge"), "the kinds are"),
        (("--count", "skill:x"), "write REF=NUMBER"),
        (("--at", "noon"), "is no moment"),
    ],
)
def test_a_wrong_question_is_refused(desk: Path, more: tuple[str, str], words: str) -> None:
    done = magsag("policy", "explain", *ASK, *more, cwd=desk)
    assert done.code == 2
    assert words in done.err


def test_a_table_with_a_fault_fails_the_test_of_the_others(desk: Path) -> None:
    sound, faulty = (desk / f"catalog/policies/{name}.test.yaml" for name in ("a", "b"))
    faulty.write_text(TABLE.replace("expect: deny", "expect: denied"), encoding="utf-8")
    for summary in ("0 cases, 0 failed, 1 finding", "1 case, 0 failed, 1 finding"):
        tested = magsag("policy", "test", cwd=desk)
        assert (tested.code, tested.out.splitlines()[-1]) == (1, summary)
        assert "b.test.yaml:5:" in tested.out
        sound.write_text(TABLE.partition("  - {case: or not")[0], encoding="utf-8")
    told = magsag("policy", "test", "--json", cwd=desk)
    assert told.code == 1
    assert [(one["case"], one["passed"]) for one in told.value] == [(None, False), ("reports go", True)]
    assert 'cannot be "denied"' in told.value[0]["fault"]
    faulty.unlink()
    assert magsag("policy", "test", cwd=desk).code == 0
    sound.unlink()


def test_tables_are_asked_and_the_past_is_tried(desk: Path) -> None:
    nothing = magsag("policy", "test", cwd=desk)
    assert (nothing.code, "there are no cases; write a file" in nothing.err) == (2, True)
    table = desk / "catalog/policies/triage.test.yaml"
    table.write_text(TABLE, encoding="utf-8")
    tested = magsag("policy", "test", cwd=desk)
    assert (tested.code, tested.out.splitlines()[-1]) == (1, "2 cases, 1 failed")
    assert "triage.test.yaml:5: or not: expected deny, got allow by " in tested.out
    assert [one["passed"] for one in magsag("policy", "test", "--json", cwd=desk).value] == [True, False]
    assert magsag("agent", "run", "triage-mag", "--input", "examples/tickets.json", cwd=desk).code == 0
    same = magsag("policy", "replay", "--with", "catalog/policies", "--json", cwd=desk)
    assert (same.code, same.value["flips"], same.value["equal"]) == (0, [], same.value["decisions"])
    draft = (
        (desk / "catalog/policies/triage.yaml").read_text(encoding="utf-8").replace("verdict: allow", "verdict: ask")
    )
    (desk / "draft.yaml").write_text(draft, encoding="utf-8")
    other = magsag("policy", "replay", "--with", "draft.yaml", "--since", "1h", cwd=desk)
    assert (other.code, "1 flipped" in other.out) == (1, True)
    flips = magsag("policy", "replay", "--with", "draft.yaml", "--json", cwd=desk).value["flips"]
    assert [flip["would_be"]["decision"] for flip in flips] == ["ask"]
    assert magsag("policy", "replay", "--with", "nowhere.yaml", cwd=desk).code == 2


def test_broken_policies_are_told(desk: Path) -> None:
    broken = desk / "catalog/policies/broken.yaml"
    broken.write_text("kind: policy\nschema: 1\nrules: [{id: a}]\n", encoding="utf-8")
    done = magsag("policy", "check", cwd=desk)
    broken.unlink()
    assert done.code == 1
    assert "everything is denied until this is mended" in done.out


def test_a_permission_file_becomes_a_policy(desk: Path) -> None:
    given = desk / "tool_permissions.yaml"
    given.write_text("tools:\n  mail.send: {permission: NEVER}\nrate_limits: {global: {}}\n", encoding="utf-8")
    done = magsag("catalog", "convert", given.name, cwd=desk)
    assert (done.code, "tool:mail/send" in done.out, "rate_limits is not carried over" in done.err) == (0, True, True)
    assert magsag("catalog", "convert", given.name, "--json", cwd=desk).value["notes"]
    for text, words in (("tools: [1]\n", "must be a mapping"), ("a: [\n", "tool_permissions.yaml:")):
        given.write_text(text, encoding="utf-8")
        done = magsag("catalog", "convert", given.name, cwd=desk)
        assert (done.code, words in done.err or "is no permission file" in done.err) == (2, True)


def test_a_catalog_is_read_for_what_was_forgotten(desk: Path) -> None:
    assert magsag("catalog", "lint", "--security", cwd=desk).out == "no findings\n"
    skill = desk / "catalog/skills/file-report/skill.yaml"
    text = skill.read_text(encoding="utf-8")
    skill.write_text(text.replace("capabilities: [filesystem]\n", ""), encoding="utf-8")
    found = magsag("catalog", "lint", "--security", "--json", cwd=desk)
    skill.write_text(text, encoding="utf-8")
    assert (found.code, [one["severity"] for one in found.value]) == (1, ["warning"])
