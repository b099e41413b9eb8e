"""The shape of manifests: each fault in words, at its place, once, with the next move."""

from pathlib import Path

import pytest

from magsag.domain.manifests import Agent
from tests.unit.catalogs import AGENT, BOSS, FLOW, REVIEW, SEND, SKILL, loaded, swapped, told, write

KEYS = Agent.model_fields

FIRST_LINE = "kind: skill\n"


def skill(tmp_path: Path, old: str, new: str) -> list[str]:
    return told(tmp_path, {SEND: swapped(SKILL, (old, new))})


def flow(tmp_path: Path, old: str, new: str) -> list[str]:
    return told(tmp_path, {REVIEW: swapped(FLOW, (old, new))})


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("effect: idempotent", "efect: idempotent", "6:1", '`efect` is no key of this place; did you mean "effect"?'),
        ("effect: idempotent\n", "", "1:1", "`effect` is missing; say what repeating it would do"),
        ("effect: idempotent", "effect: idem", "6:9", 'cannot be "idem"; write pure, read'),
        ("effect: idempotent", "effect:", "6:1", "`effect` is empty; give it a value, or remove the key"),
        ("version: 0.2.0", "version: 1.0", "4:10", "must be text, not 1.0; write three numbers"),
        ("version: 0.2.0", "version: 01.0.0", "4:10", 'cannot be "01.0.0"; write three numbers'),
        ("slug: send", "slug: Send_it", "3:7", 'cannot be "Send_it"; slugs have small letters'),
        ("schema: 1", "schema: 2", "2:9", "has schema 2, which a newer magsag reads; install that version"),
        ("schema: 1\n", "", "1:1", "`schema` is missing; add `schema: 1`"),
        ("schema: 1", "schema: one", "2:9", '`schema` cannot be "one"; write 1'),
        ("effect: idempotent", "effect: read\ntimeout: 20", "7:10", "a duration needs its unit; write 500ms"),
        ("effect: idempotent", "effect: read\nretry: {attempts: 0}", "7:19", "`attempts` is 0; write at least 1"),
        ("effect: idempotent", "effect: read\nretry: {attempts: true}", "7:19", "must be a whole number, not true"),
        ("effect: idempotent", "effect: read\nretry: 3", "7:8", "`retry` must be a mapping, not 3"),
        ("effect: idempotent", "effect: read\nretry: {attempts: 2, on: [tmeout]}", "7:27", 'did you mean "timeout"?'),
        ("effect: idempotent", "effect: read\nbudget: {usd: 1}", "7:1", "`budget` is not enforced by this version, so"),
        ("effect: idempotent", "effect: read\nlookup: a.py:b", "7:9", "nobody looks up whether a skill with"),
        ("effect: idempotent", "effect: reconcilable", "6:9", "whether it has acted; add `lookup: skill.py:find`"),
        ("effect: idempotent", "effect: reconcilable\nlookup: a.py:b", "7:9", "there is no file skills/send/a.py"),
        ("effect: idempotent", "effect: reconcilable\nlookup: skill.py:b", "7:9", "no function 'b'"),
        ("{input: question, output: answer}", "{inputs: question}", "7:13", 'did you mean "input"?'),
        ("kind: skill", "kind: skil", "1:7", 'there is no kind "skil"; did you mean "skill"?'),
        ("kind: skill", "kind: routes", "1:7", "kind routes is not read by this version, so it is refused"),
        ("kind: skill\n", "", "1:1", "`kind` is missing; add `kind: skill`"),
        (SKILL, "- kind: skill\n", "1:1", "a manifest is a mapping of keys"),
    ],
)  # fmt: skip
def test_a_fault_of_a_skill_is_told_at_its_place(old: str, new: str, place: str, words: str, tmp_path: Path) -> None:
    (line,) = skill(tmp_path, old, new)
    assert line.startswith(f"{SEND}:{place}: ")
    assert words in line


LAST = "with: {text: =steps.ask.text, level: low}"


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("id: tell\n    uses: skill:send", "id: tell", "8:5", "exactly one of `uses`, `run` and `loop`"),
        ("id: tell", "id: Tell", "8:9", 'cannot be "Tell"; ids have small letters'),
        ("- id: tell\n    uses", "- uses", "8:5", "`id` is missing; add `id:`"),
        (LAST, "on_error: collct", "11:15", 'cannot be "collct"; write fail, retry, skip, collect or {fallback: ID}'),
        (LAST, "on_error: {fallbak: ask}", "11:16", '`fallbak` is no key of this place; did you mean "fallback"?'),
        (LAST, "on_error: collect", "8:5", "`on_error: collect` belongs to a step with `for_each`"),
        (LAST, "on_error: retry", "8:5", "`on_error: retry` needs `retry: {attempts: ...}`"),
        (LAST, "with: 3", "11:11", "`with` cannot be 3; write a mapping, or an expression that begins with `=`"),
        (LAST, "needs: ask", "11:12", '`needs` must be a list, not "ask"; put it in brackets: [ask]'),
        (LAST, "neds: [ask]", "11:5", 'did you mean "needs"?'),
        ("steps:\n", "steps: []\nmore:\n", "7:1", "`more` is no key of this place"),
    ],
)
def test_a_fault_of_a_step_is_told_at_its_place(old: str, new: str, place: str, words: str, tmp_path: Path) -> None:
    line = flow(tmp_path, old, new)[-1]
    assert line.startswith(f"{REVIEW}:{place}: ")
    assert words in line


@pytest.mark.parametrize(
    ("old", "new", "count"),
    [
        ("id: tell\n    uses: skill:send", "id: tell", 1),
        ("id: tell\n    uses: skill:send", "id: tell\n    use: skill:send", 1),
        ("id: tell\n    uses: skill:send", "id: tell\n    uses: 3", 1),
        ("id: tell\n    uses: skill:send", "id: tell\n    run: [a]", 1),
        (LAST, "on_error: {fallbak: ask}", 1),
        (LAST, "on_error: {fallback: 3}", 1),
        (LAST, "with: 3\n    when: 4", 2),
        (LAST, "foo: 3\n    bar: 4", 2),
        (LAST, "timeout: 3\n    on_error: {fallback: nobody}", 2),
    ],
)
def test_one_cause_is_one_finding_and_two_are_two(old: str, new: str, count: int, tmp_path: Path) -> None:
    text = swapped(FLOW, (WHEN, "needs: [ask]"), (old, new))
    found = told(tmp_path, {REVIEW: text})
    assert len(found) == count, found


WHEN = 'when: input.level == "high" && steps.ask.score > 3'


def test_faults_of_shape_hide_nothing_else_in_the_manifest(tmp_path: Path) -> None:
    text = swapped(
        AGENT, ("version: 0.1.0", "version: 1\nfoo: 1"), ("skill:send", "skill:sent"), ("question", "qestion")
    )
    found = told(tmp_path, {BOSS: text})
    assert [line.partition("; ")[2] for line in found] == [
        "write three numbers, e.g. 1.2.0, in quotes if YAML reads a number",
        "remove it; the keys here are " + ", ".join(sorted(one.alias or name for name, one in KEYS.items())),
        'did you mean "question"?',
        'did you mean "send"?',
    ]


@pytest.mark.parametrize(
    "broken",
    [
        swapped(SKILL, ("effect: idempotent\n", "")),
        swapped(SKILL, ("version: 0.2.0", "version: 3")),
        swapped(SKILL, ("slug: send\n", "slug: send\nslug: send\n")),
        swapped(SKILL, ("schema: 1", "schema: 2")),
        swapped(SKILL, ("kind: skill", "kind: skil")),
        SKILL + "  x: [\n",
        "slug: send\n\t- a: 1",
        "",
        b"\xff\xfe",
    ],
    ids=["effect", "version", "twice", "newer", "kind", "syntax", "tab", "empty", "bytes"],
)
def test_a_broken_manifest_is_one_finding_and_nothing_follows_for_those_who_use_it(
    broken: str | bytes, tmp_path: Path
) -> None:
    (line,) = told(tmp_path, {SEND: broken})
    assert line.startswith(SEND)


def test_a_broken_contract_is_one_finding_and_nothing_follows_for_those_who_use_it(tmp_path: Path) -> None:
    (line,) = told(tmp_path, {"contracts/question.schema.json": "{"})
    assert line.startswith("contracts/question.schema.json:1:2: the JSON is broken")


def test_the_kind_decides_not_the_file_and_json_counts_like_yaml(tmp_path: Path) -> None:
    moved = '{"$schema": "x", "kind": "skill", "schema": 1, "slug": "send", "version": "0.2.0", "effect": "read",'
    moved += ' "entrypoint": "skill.py:run", "contracts": {"input": "question", "output": "answer"}}'
    found = loaded(tmp_path, {SEND: None, "skills/send/agent.json": moved})
    assert found.findings == []
    assert found.bundle.find("skill:send").manifest.effect == "read"


def test_json_without_a_kind_is_data_and_yaml_without_one_is_a_finding(tmp_path: Path) -> None:
    changes = {
        "skills/send/examples/in.json": "[1]",
        "skills/send/data.yaml": "a: 1",
        "skills/send/_data/x.yaml": "a: 1",
    }
    (line,) = told(tmp_path, changes)
    assert line.startswith("skills/send/data.yaml:1:1: `kind` is missing")


def test_folders_with_an_underscore_or_a_dot_and_tests_are_left_alone(tmp_path: Path) -> None:
    changes = {f"{folder}/skill.yaml": "broken: [" for folder in ("_template", ".git", "skills/send/tests", "a/_b")}
    assert told(tmp_path, changes) == []


def test_versions_stand_side_by_side_and_the_same_one_twice_is_told_with_both_places(tmp_path: Path) -> None:
    other = {
        "skills/send-3/skill.yaml": swapped(SKILL, ("0.2.0", "0.3.0")),
        "skills/send-3/skill.py": "def run(p): ...",
    }
    assert told(tmp_path, other) == []
    (line,) = told(tmp_path, {"skills/send-3/skill.yaml": SKILL})
    assert line.startswith("skills/send/skill.yaml:4:10: skill:send@0.2.0 stands twice; ")
    assert "skills/send-3/skill.yaml:4:10" in line


def test_a_file_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    write(tmp_path, {"flows/empty.yaml": ""})
    (tmp_path / "flows/dangling.yaml").symlink_to(tmp_path / "nowhere")
    lines = told(tmp_path, {})
    assert [line.partition(": ")[0] for line in lines] == ["flows/dangling.yaml:1:1", "flows/empty.yaml:1:1"]


def test_findings_come_sorted_by_file_and_line(tmp_path: Path) -> None:
    changes = {
        SEND: swapped(SKILL, ("schema: 1", "schema: x"), ("effect: ", "effect: x")),
        BOSS: AGENT + "x: 1\ny: 2\n",
    }
    places = [line.partition(": ")[0] for line in told(tmp_path, changes)]
    assert places == [f"{BOSS}:9:1", f"{BOSS}:10:1", f"{SEND}:2:9", f"{SEND}:6:9"]
