"""The commands: what they print, where, and with which exit code. Bad input is tried in `test_bad_input`."""

import json
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.workshop import Done, behave, build, command, environment, is_sound, magsag

pytestmark = pytest.mark.measured

ROLE = '{"role":"Engineer","level":"Mid"}'
CHAIN = """\
kind: flow
schema: 1
slug: chain
version: 0.1.0
steps:
  - {id: first, run: [echo, one], effect: pure}
  - {id: second, run: [echo, '="two " + steps.first.stdout'], effect: pure}
  - {id: third, run: [echo, '="three " + steps.second.stdout'], effect: pure}
output: steps.third.stdout
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return build(tmp_path / "project")


def echo(folder: Path, *arguments: str, stdin: str = ROLE) -> Done:
    return magsag("agent", "run", "echo-mag", *arguments, cwd=folder, stdin=stdin)


def test_the_result_is_on_stdout_and_everything_else_on_stderr(folder: Path) -> None:
    done = behave("print", folder)
    assert done.value == {"answer": 42}
    assert "a word on the side" in done.err
    assert re.search(r"run \w{20} succeeded", done.err)
    assert behave("print", folder, "--quiet").err == "a word on the side\n"


def test_json_is_one_line_and_people_get_it_indented(folder: Path) -> None:
    assert echo(folder).out == '{\n  "role": "Engineer",\n  "level": "Mid"\n}\n'
    assert echo(folder, "--json").out == '{"role":"Engineer","level":"Mid"}\n'


def test_input_comes_from_a_file_and_output_goes_to_one(folder: Path) -> None:
    (folder / "in.json").write_text(ROLE, encoding="utf-8")
    done = echo(folder, "--input", "in.json", "--output", "out.json", stdin="")
    assert (done.code, done.out) == (0, "")
    assert json.loads((folder / "out.json").read_text(encoding="utf-8")) == json.loads(ROLE)


def test_a_known_run_id_gives_its_result_again_and_refuses_another_input(folder: Path) -> None:
    assert echo(folder, "--run-id", "r1").value == echo(folder, "--run-id", "r1").value
    assert len(json.loads(magsag("run", "list", "--json", cwd=folder).out)) == 1
    other = echo(folder, "--run-id", "r1", stdin='{"role":"Other"}')
    assert (other.code, other.err) == (2, "magsag: run r1 exists with another input: choose another --run-id\n")
    assert echo(folder, "--run-id", "no spaces").code == 2


def test_resuming_gives_an_ended_runs_result_and_exit_code(folder: Path) -> None:
    echo(folder, "--run-id", "good")
    behave("raise", folder, "--run-id", "bad")
    assert magsag("agent", "run", "--resume", "good", cwd=folder).value == json.loads(ROLE)
    assert magsag("agent", "run", "--resume", "goo", cwd=folder).code == 0
    assert magsag("agent", "run", "--resume", "bad", cwd=folder).code == 1
    assert magsag("agent", "run", "--resume", "none", cwd=folder).code == 2
    assert magsag("agent", "run", "behave-mag", "--resume", "good", cwd=folder).code == 2
    assert magsag("agent", "run", "echo-mag", "--resume", "good", cwd=folder).code == 0


def test_an_act_with_an_effect_that_no_rule_allows_parks_with_exit_3(folder: Path) -> None:
    done = behave("send", folder, "--run-id", "r1")
    assert (done.code, done.out) == (3, "")
    assert "run r1 is parked: step send#1 waits for approval" in done.err
    assert "magsag run cancel r1" in done.err
    assert behave("send", folder, "--json").error["reasons"][0]["on"] == "approval"
    assert magsag("agent", "run", "--resume", "r1", cwd=folder).code == 3
    assert [row["run"] for row in rows(folder, "--parked-on", "approval", "--limit", "1")] != ["r1"]
    assert "parked on approval" in magsag("run", "list", "--status", "parked", cwd=folder).out


def test_cancelling_ends_a_parked_run(folder: Path) -> None:
    behave("send", folder, "--run-id", "r1")
    assert magsag("run", "cancel", "r1", cwd=folder).out == "run r1 cancelled\n"
    assert magsag("agent", "run", "--resume", "r1", cwd=folder).code == 1
    assert magsag("run", "cancel", "r1", cwd=folder).code == 2
    assert is_sound(folder)


def test_a_failed_run_says_so_in_json_too(folder: Path) -> None:
    error = behave("raise", folder, "--json", "--run-id", "r1").error
    assert (error["type"], error["run"], error["status"], error["exit_code"]) == ("raised", "r1", "failed", 1)
    assert "no luck" in error["message"]


def test_findings_in_what_a_run_reaches_stop_it_and_others_are_a_warning(folder: Path) -> None:
    broken = folder / "catalog" / "skills" / "echo" / "skill.yaml"
    broken.write_text(broken.read_text(encoding="utf-8").replace("effect: pure\n", ""), encoding="utf-8")
    stopped = behave("nothing", folder)
    assert (stopped.code, stopped.out) == (2, "")
    assert re.search(r"^catalog/skills/echo/skill\.yaml:\d+:\d+: .*effect", stopped.err, re.MULTILINE)
    assert "1 finding in what it reaches" in stopped.err
    assert behave("nothing", folder, "--json").error["findings"][0]["subject"].startswith("skill:echo")
    fine = echo(folder)
    assert fine.code == 0
    assert "warning: 1 finding elsewhere in the catalog" in fine.err
    assert magsag("catalog", "validate", cwd=folder).code == 1


def test_the_tree_grows_on_stderr(folder: Path) -> None:
    done = behave("spawn", folder, "--watch", count=2)
    assert done.value == {"answer": 42}
    assert done.err.count("echo-sag") >= 2


def test_a_breakpoint_reaches_the_terminal(folder: Path) -> None:
    (folder / "in.json").write_text('{"do": "debug"}', encoding="utf-8")
    asked = ("agent", "run", "behave-mag", "--input", "in.json", "--debug")
    done = magsag(*asked, cwd=folder, stdin="p secret * 2\nc\n")
    assert done.code == 0, done.err
    assert "(Pdb) 84" in done.out


def test_a_debugger_is_not_fed_with_the_rest_of_the_input(folder: Path) -> None:
    done = subprocess.run(
        command("agent", "run", "behave-mag", "--debug"),
        cwd=folder,
        input=b'{"do": "debug"}',
        capture_output=True,
        env=environment(),
        start_new_session=True,  # no terminal
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert b"hand the input in by --input FILE" in done.stderr


def test_log_lines_carry_run_and_step(folder: Path) -> None:
    done = behave("print", folder, "--log-format", "json", "--run-id", "r1")
    lines = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    assert [(line["message"], line["run"], line["step"]) for line in lines] == [
        ("heed this", "r1", ""),
        ("said", "r1", "talk#1"),
    ]
    assert "warning mine: heed this  run r1" in behave("print", folder, "--run-id", "r2").err.replace("r2", "r1")


def test_verbose_tells_each_change_of_a_run(folder: Path) -> None:
    done = behave("steps", folder, "--verbose", "--log-format", "json", "--run-id", "r1", count=1, seconds=0)
    lines = [json.loads(line) for line in done.err.splitlines() if line.startswith("{")]
    told = [(line["message"], line["run"], line["step"]) for line in lines if line["logger"] == "magsag.run"]
    assert told[0] == ("behave-mag 0.1.0 running", "r1", "")
    assert told[1:] == [("nap succeeded", "r1", "nap#1"), ("behave-mag 0.1.0 succeeded", "r1", "")]


def test_a_scripted_model_answers_and_says_so(folder: Path) -> None:
    assert behave("model", folder, "--run-id", "r1", prompt="hello").value == {"answer": 5}
    facts = json.loads(magsag("run", "facts", "r1", "--json", cwd=folder).out)
    answer = next(fact["output"] for fact in facts if fact["kind"] == "StepDone")
    assert (answer["provider"], answer["model"]) == ("scripted", "replies.yaml")
    lost = behave("model", folder, prompt="good bye")
    assert lost.code == 1
    assert "replies.yaml has no reply to 'good bye'" in lost.err
    (folder / "replies.yaml").write_text("replies: []\n", encoding="utf-8")
    assert behave("model", folder, prompt="hello").code == 2


# flows


def test_a_flow_of_the_catalog_and_one_in_a_file_run(tmp_path: Path) -> None:
    assert magsag("flow", "run", "hello", cwd=tmp_path).value["hello"]["stdout"] == "hi\n"
    (tmp_path / "chain.yaml").write_text(CHAIN, encoding="utf-8")
    assert magsag("flow", "run", "chain.yaml", cwd=tmp_path).value == "three two one\n\n\n"
    assert magsag("flow", "validate", "chain.yaml", cwd=tmp_path).out == "OK\n"
    inside = Path(__file__).parents[2] / "catalog" / "flows" / "hello.yaml"
    assert magsag("flow", "run", str(inside), "--run-id", "r1", cwd=tmp_path).code == 0
    assert shown(tmp_path, "r1")["bundle"] == magsag("catalog", "hash", "--json", cwd=tmp_path).value["bundle"]
    (tmp_path / "chain.yaml").write_text(CHAIN.replace("effect: pure", "efect: pure", 1), encoding="utf-8")
    done = magsag("flow", "run", "chain.yaml", cwd=tmp_path)
    assert done.code == 2
    assert "chain.yaml:6:" in done.err
    assert magsag("flow", "validate", "chain.yaml", cwd=tmp_path).code == 1
    assert magsag("flow", "run", "helo", cwd=tmp_path).err.endswith('did you mean "hello"?\n')


def test_a_dry_run_prints_the_plan_and_leaves_no_run(tmp_path: Path) -> None:
    (tmp_path / "chain.yaml").write_text(CHAIN, encoding="utf-8")
    done = magsag("flow", "run", "chain.yaml", "--dry-run", cwd=tmp_path)
    assert (done.code, done.out.count("\n")) == (0, 4)
    steps = magsag("flow", "run", "chain.yaml", "--dry-run", "--only", "second", "--json", cwd=tmp_path).value["steps"]
    assert [(step["id"], step["after"], step["runs"]) for step in steps] == [
        ("first", [], False),
        ("second", ["first"], True),
        ("third", ["second"], False),
    ]
    assert magsag("run", "list", cwd=tmp_path).out == "no runs\n"


def test_steps_that_are_left_out_keep_the_outputs_of_an_earlier_run(tmp_path: Path) -> None:
    (tmp_path / "chain.yaml").write_text(CHAIN, encoding="utf-8")
    none = magsag("flow", "run", "chain.yaml", "--only", "second", cwd=tmp_path)
    assert (none.code, "there is no earlier run" in none.err) == (2, True)
    magsag("flow", "run", "chain.yaml", cwd=tmp_path)
    (tmp_path / "chain.yaml").write_text(CHAIN.replace("three ", "3 "), encoding="utf-8")
    done = magsag("flow", "run", "chain.yaml", "--continue-from", "third", "--run-id", "r2", cwd=tmp_path)
    assert done.value == "3 two one\n\n\n"
    assert [(step["id"], step["status"]) for step in shown(tmp_path, "r2")["steps"]] == [("third", "succeeded")]
    again = magsag("flow", "run", "chain.yaml", "--only", "second", cwd=tmp_path)
    assert again.value == "3 two one\n\n\n"
    wrong = magsag("flow", "run", "chain.yaml", "--only", "secnd", cwd=tmp_path)
    assert (wrong.code, 'did you mean "second"?' in wrong.err) == (2, True)


def test_maps_are_put_together_again_for_later_steps(tmp_path: Path) -> None:
    asked = ("flow", "run", "hiring-review", "--input", "c.json")
    (tmp_path / "c.json").write_text(json.dumps({"candidates": [json.loads(ROLE)] * 2}), encoding="utf-8")
    first = magsag(*asked, cwd=tmp_path)
    assert first.code == 0, first.err
    again = magsag(*asked, "--continue-from", "letters", "--run-id", "r2", cwd=tmp_path)
    assert again.code == 0, again.err
    assert again.value["figures"] == first.value["figures"]
    assert "advise.0" not in {step["id"] for step in shown(tmp_path, "r2")["steps"]}


def test_summary_and_gate_judge_agent_and_flow_runs_alike(tmp_path: Path) -> None:
    job = ("agent", "run", "offer-orchestrator-mag")
    assert magsag(*job, cwd=tmp_path, stdin=ROLE).code == 0
    told = magsag("flow", "summarize", "--output", "s.json", cwd=tmp_path)
    assert told.out == (tmp_path / "s.json").read_text(encoding="utf-8")
    assert (told.value["runs"], told.value["success_rate"]) == (1, 1.0)
    assert magsag("flow", "gate", "s.json", cwd=tmp_path).out == "GOVERNANCE GATE PASSED\n"
    strict = "kind: policy\nschema: 1\nflow_governance: {min_runs: 2, required_steps: [hello]}\n"
    (tmp_path / "strict.yaml").write_text(strict, encoding="utf-8")
    failed = magsag("flow", "gate", "s.json", "--policy", "strict.yaml", cwd=tmp_path)
    assert (failed.code, failed.out) == (
        1,
        "GOVERNANCE GATE FAILED\n- runs 1 < min 2\n- missing required steps: hello\n",
    )
    magsag("flow", "run", "hello", cwd=tmp_path)
    magsag("flow", "summarize", "--output", "s.json", cwd=tmp_path)
    assert magsag("flow", "gate", "s.json", "--policy", "strict.yaml", cwd=tmp_path).code == 0
    (tmp_path / "s.json").write_text('{"runs": "many"}', encoding="utf-8")
    assert magsag("flow", "gate", "s.json", cwd=tmp_path).code == 2
    assert magsag("flow", "gate", "none.json", cwd=tmp_path).code == 2


def test_a_clean_ledger_does_not_pass_the_gate(tmp_path: Path) -> None:
    magsag("flow", "summarize", "--output", "s.json", cwd=tmp_path)
    done = magsag("flow", "gate", "s.json", cwd=tmp_path)
    assert (done.code, "runs 0 < min 1" in done.out) == (1, True)


def test_flows_are_available(tmp_path: Path) -> None:
    assert re.fullmatch(
        r"yes \(magsag [\d.]+; capabilities: .*dry-run.*\)\n", magsag("flow", "available", cwd=tmp_path).out
    )


# runs


def test_a_run_can_be_looked_at_from_every_side(tmp_path: Path) -> None:
    magsag("agent", "run", "offer-orchestrator-mag", "--run-id", "r1", cwd=tmp_path, stdin=ROLE)
    text = magsag("run", "show", "r1", cwd=tmp_path).out
    assert "allow-without-effects (built-in)" in text
    assert re.search(r"completeness +0\.9333 +0\.9 +passed +output of compensation-advisor-sag@0\.1\.0", text)
    document = shown(tmp_path, "r1")
    assert document["status"] == "succeeded"
    assert {"metric": "completeness", "threshold": 0.9, "passed": True}.items() <= document["scores"][-1].items()
    tree = magsag("run", "tree", "r1", cwd=tmp_path).out
    assert [line.split()[2] for line in tree.splitlines()[1:3]] == ["task-decomposition", "compensation-advisor-sag"]
    assert magsag("run", "tree", "r1", "--json", cwd=tmp_path).value["children"][1]["children"]
    assert magsag("run", "facts", "r1", cwd=tmp_path).out.splitlines()[0].split()[2] == "RunStarted"
    hits = magsag("run", "search", "Engineer", "Mid", "--json", cwd=tmp_path).value
    assert {hit["run"] for hit in hits} >= {"r1"}
    assert magsag("run", "search", "Charpentier", cwd=tmp_path).out == "nothing found\n"


def test_runs_are_listed_newest_first_and_narrowed(folder: Path) -> None:
    echo(folder, "--run-id", "r1")
    behave("raise", folder, "--run-id", "r2")
    behave("spawn", folder, "--run-id", "r3", count=1)
    assert [row["run"] for row in rows(folder)] == ["r3", "r2", "r1"]
    assert [row["run"] for row in rows(folder, "--status", "failed")] == ["r2"]
    assert [row["run"] for row in rows(folder, "--program", "behave-mag", "--limit", "1")] == ["r3"]
    assert len(rows(folder, "--all")) == 4
    assert magsag("run", "list", "--status", "fine", cwd=folder).code == 2
    assert magsag("run", "show", "r", cwd=folder).err.startswith("magsag: run 'r' could be any of r")


# catalog, templates


def test_a_new_project_works_and_is_never_overwritten(tmp_path: Path) -> None:
    assert magsag("init", "new", cwd=tmp_path).code == 0
    project = tmp_path / "new"
    assert magsag("catalog", "validate", cwd=project).out == "no findings\n"
    done = magsag("agent", "run", "triage-mag", "--input", "examples/tickets.json", cwd=project)
    assert done.code == 0, done.err
    assert list((project / "outbox").iterdir())
    again = magsag("init", "new", cwd=tmp_path)
    assert (again.code, "is not empty" in again.err) == (1, True)


@pytest.mark.parametrize(
    "words",
    [("agent", "new", "my-mag"), ("agent", "new", "my-sag"), ("skill", "new", "mine"), ("flow", "new", "mine")],
)
def test_templates_give_what_the_catalog_accepts(tmp_path: Path, words: tuple[str, ...]) -> None:
    magsag("init", "new", cwd=tmp_path)
    project = tmp_path / "new"
    made = magsag(*words, cwd=project)
    assert made.code == 0, made.err
    assert all((project / name).is_file() for name in made.out.split())
    assert magsag("catalog", "validate", cwd=project).out == "no findings\n"
    assert magsag(*words, cwd=project).code == 1
    assert magsag(*words[:2], "No_Slug", cwd=project).code == 2
    assert magsag(*words, cwd=tmp_path).err == (
        "magsag: there is no project here to put it into; `magsag init DIR` makes one\n"
    )


def test_a_catalog_is_validated_listed_shown_and_drawn(folder: Path) -> None:
    listed = {item["ref"]: item["about"] for item in magsag("catalog", "list", "--json", cwd=folder).value}
    assert listed["skill:send@0.1.0"].startswith("unrepeatable")
    assert "contract:profile" in listed
    assert "slug: echo-mag" in magsag("catalog", "show", "agent:echo-mag", cwd=folder).out
    assert magsag("catalog", "show", "contract:profile", cwd=folder).value["required"] == ["role"]
    assert magsag("catalog", "show", "skill:snd", cwd=folder).err.endswith('did you mean "send"?\n')
    assert "uses skill:send@0.1.0 [unrepeatable]" in magsag("catalog", "graph", cwd=folder).out
    assert magsag("catalog", "graph", "--format", "mermaid", cwd=folder).out.startswith("flowchart LR")
    nodes = magsag("catalog", "graph", "agent:echo-mag", "--format", "json", cwd=folder).value["nodes"]
    assert [node["id"] for node in nodes] == ["agent:echo-mag@0.1.0"]
    before = magsag("catalog", "hash", "--json", cwd=folder).value["bundle"]
    (folder / "catalog/agents/sub/echo-sag/agent.py").write_text("async def run(payload, ctx):\n    return 1\n")
    assert magsag("catalog", "hash", "--json", cwd=folder).value["bundle"] != before


def test_findings_have_a_place_and_a_next_move(folder: Path) -> None:
    path = folder / "catalog" / "skills" / "nap" / "skill.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("effect: read", "effekt: read"), encoding="utf-8")
    done = magsag("catalog", "validate", cwd=folder)
    assert done.code == 1
    assert re.search(r'^catalog/skills/nap/skill\.yaml:6:1: .*effekt.*did you mean "effect"\?', done.out, re.MULTILINE)
    typed = magsag("catalog", "validate", "project/catalog", cwd=folder.parent)
    assert re.search(r"^project/catalog/skills/nap/skill\.yaml:6:1: ", typed.out, re.MULTILINE)
    assert magsag("catalog", "validate", str(path), cwd=folder.parent).code == 1
    assert magsag("catalog", "validate", "project/catalog/agents/sub/echo-sag/agent.yaml", cwd=folder.parent).code == 0
    assert magsag("catalog", "validate", "nowhere", cwd=folder).code == 2


def test_schemas_are_printed_and_written(folder: Path) -> None:
    assert magsag("catalog", "schema", "agent", cwd=folder).value["properties"]["role"]
    assert magsag("catalog", "schema", "agnt", cwd=folder).code == 2
    assert magsag("catalog", "schema", "--write", cwd=folder).code == 0
    assert (folder / "catalog" / "_schemas" / "flow.schema.json").is_file()
    assert magsag("catalog", "schema", "--write", "elsewhere", cwd=folder).code == 0
    assert (folder / "elsewhere" / "flow.schema.json").is_file()


# data, settings, doctor


def test_the_ledger_is_made_checked_copied_and_vacuumed(folder: Path) -> None:
    assert magsag("data", "init", "--db-path", "here/l.db", cwd=folder).out.startswith("ledger ready: ")
    assert (folder / "here" / "l.db").is_file()
    assert magsag("data", "init", "--backend", "postgres", cwd=folder).code == 2
    echo(folder, "--run-id", "r1")
    assert magsag("data", "check", cwd=folder).out == "no faults\n"
    assert magsag("data", "backup", "copy.db", cwd=folder).code == 0
    assert magsag("data", "backup", "copy.db", cwd=folder).code == 2
    assert "r1" in magsag("run", "list", "--ledger", "copy.db", cwd=folder).out
    dry = magsag("data", "vacuum", "--dry-run", "--json", cwd=folder).value
    assert (dry["dry_run"], dry["runs"]) == (True, 0)
    assert magsag("data", "vacuum", "--hot-days", "-1", cwd=folder).code == 2


def test_tampering_is_found(folder: Path) -> None:
    echo(folder, "--run-id", "r1")
    with sqlite3.connect(folder / ".magsag" / "ledger.db") as connection:
        connection.execute("update facts set body = replace(body, 'development', 'production') where seq = 1")
    connection.close()
    done = magsag("data", "check", cwd=folder)
    assert (done.code, "r1" in done.out) == (1, True)


def test_settings_say_where_they_come_from_and_flags_work_before_and_after(folder: Path) -> None:
    for words in (
        ("--env", "staging", "config", "show"),
        ("config", "--env", "staging", "show"),
        ("config", "show", "--env", "staging"),
    ):
        shown = magsag(*words, "--json", cwd=folder, MAGSAG_DURABILITY="every_step").value
        assert shown["environment"] == {"value": "staging", "source": "--env"}
        assert shown["durability"] == {"value": "every_step", "source": "MAGSAG_DURABILITY"}
        assert shown["models.smart"] == {"value": "scripted:replies.yaml", "source": "magsag.toml:2"}
    outside = magsag("--project", "project", "config", "show", cwd=folder.parent)
    assert re.search(r"^catalog +.*/project/catalog +the project's own$", outside.out, re.MULTILINE)
    echo(folder, "--run-id", "r1", "--env", "staging")
    assert shown_environment(folder) == "staging"


def test_an_old_variable_is_read_with_a_note(folder: Path) -> None:
    done = magsag("config", "show", "--json", cwd=folder, AGDD_ENVIRONMENT="old")
    assert done.value["environment"]["value"] == "old"
    assert done.err.startswith("note: AGDD_ENVIRONMENT")


def test_bad_settings_are_a_wrong_question(folder: Path) -> None:
    (folder / "magsag.toml").write_text("[features]\nmemory = true\n[limit]\ndepth = 1\n", encoding="utf-8")
    done = magsag("run", "list", cwd=folder)
    assert done.code == 2
    assert "magsag.toml:2: features.memory" in done.err
    assert "magsag.toml:4: limit.depth is no setting; did you mean limits.depth?" in done.err
    assert magsag("run", "list", "--mode", "dry", cwd=folder.parent).code == 2


def test_without_approvals_an_ask_is_a_deny(folder: Path) -> None:
    assert behave("send", folder).code == 3
    done = magsag("agent", "run", "behave-mag", cwd=folder, stdin='{"do": "send"}', MAGSAG_FEATURES_APPROVALS="false")
    assert (done.code, "approvals are switched off" in done.err) == (1, True)


def test_without_durable_runs_live_in_memory_and_effects_are_refused(folder: Path) -> None:
    toml = folder / "magsag.toml"
    toml.write_text(f"{toml.read_text(encoding='utf-8')}[features]\ndurable = false\n", encoding="utf-8")
    assert echo(folder).code == 0
    done = behave("send", folder)
    assert (done.code, "durable is switched off" in done.err) == (1, True)
    assert not (folder / ".magsag").exists()


def test_the_doctor_says_what_mends_it(folder: Path) -> None:
    well = magsag("doctor", cwd=folder.parent)
    assert (well.code, {line.split()[0] for line in well.out.splitlines()}) == (0, {"ok"})
    echo(folder)
    assert "write-ahead log" in magsag("doctor", cwd=folder).out
    (folder / "replies.yaml").unlink()
    (folder / "catalog" / "contracts" / "profile.schema.json").write_text("{", encoding="utf-8")
    lines = {line["name"]: line for line in magsag("doctor", "--json", cwd=folder).value}
    assert (lines["models"]["state"], lines["catalog"]["state"]) == ("fail", "fail")
    assert lines["catalog"]["mend"] == "magsag catalog validate"
    assert magsag("doctor", cwd=folder).code == 1


# the frame


def test_both_names_are_the_same_command(folder: Path) -> None:
    place = Path(sys.executable).parent
    for name in ("magsag", "agdd"):
        done = subprocess.run([place / name, "version"], capture_output=True, text=True, check=True, cwd=folder)
        assert re.match(r"magsag \d+\.\d+\.\d+ \(Python 3", done.stdout)


def test_completion_knows_the_nouns_and_verbs(folder: Path) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_MAGSAG_COMPLETE" in magsag("completion", shell, cwd=folder).out
    done = magsag(cwd=folder, _MAGSAG_COMPLETE="bash_complete", COMP_WORDS="magsag agent r", COMP_CWORD="2")
    assert done.out == "plain,run\n"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("agnt",), 'there is no command "agnt"; did you mean "agent"?; see magsag --help'),
        (("run", "shw"), 'there is no command "shw"; did you mean "show"?; see magsag run --help'),
        (("run", "list", "--stats"), "no such option '--stats'"),
        (("run", "show"), "missing argument 'RUN'; see magsag run show --help"),
        (("run", "list", "--limit", "few"), "invalid value for '--limit'"),
    ],
)
def test_a_wrong_command_line_is_one_line_with_the_way_to_the_help(
    folder: Path, words: tuple[str, ...], part: str
) -> None:
    done = magsag(*words, cwd=folder)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert part in done.err
    assert magsag(*words, "--json", cwd=folder).error["exit_code"] == 2


def test_help_is_shown_for_every_command(folder: Path) -> None:
    assert "Exit codes: 0 yes" in magsag(cwd=folder).out
    assert magsag("agent", cwd=folder).code == 2
    for words in (("--help",), ("agent", "--help"), ("flow", "run", "--help")):
        done = magsag(*words, cwd=folder)
        assert (done.code, done.out.startswith("Usage: magsag")) == (0, True)


def test_a_reader_that_goes_away_is_no_error(folder: Path) -> None:
    line = f"{sys.executable} -m magsag catalog schema agent | true"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], cwd=folder, capture_output=True, env=environment(), check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.measured(False)
@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        ("--help", "pydantic sqlite3 asyncio rich yaml jsonschema_rs cel_expr_python tomllib"),
        ("run list", "pydantic yaml rich jsonschema_rs cel_expr_python asyncio"),
        ("version", "pydantic sqlite3 asyncio rich yaml jsonschema_rs cel_expr_python"),
    ],
)
def test_light_commands_load_nothing_heavy(folder: Path, words: str, heavy: str) -> None:
    assert loaded(folder, words) & set(heavy.split()) == set()
    assert "click" in loaded(folder, words)


def test_looking_makes_no_ledger(tmp_path: Path) -> None:
    listed = magsag("run", "list", cwd=tmp_path)
    assert (listed.code, listed.out, "no ledger yet" in listed.err) == (0, "no runs\n", True)
    for words in ("run search anything", "approval list", "audit log"):
        assert magsag(*words.split(), "--json", cwd=tmp_path).value == [], words
    for words in ("run show nothing", "run cancel nothing", "data check", "data vacuum", "data backup copy.db"):
        assert magsag(*words.split(), cwd=tmp_path).code == 2, words
    magsag("doctor", cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_source_tree_that_nobody_installed_has_a_version(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "src"
    code = f"import sys; sys.path.insert(0, {str(source)!r}); import magsag; print(magsag.__version__)"
    done = subprocess.run([sys.executable, "-ISc", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "0+source\n"


def loaded(folder: Path, words: str) -> set[str]:
    """The modules that a command imports."""
    said = "print(*sys.modules, file=sys.stderr)"
    code = f"import sys\ntry:\n    from magsag.__main__ import main\n    main()\nfinally:\n    {said}"
    done = subprocess.run(
        [sys.executable, "-c", code, *words.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    return set(done.stderr.split())


def rows(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = magsag("run", "list", *arguments, "--json", cwd=folder).value
    return found


def shown(folder: Path, run: str) -> dict[str, Any]:
    document: dict[str, Any] = magsag("run", "show", run, "--json", cwd=folder).value
    return document


def shown_environment(folder: Path) -> object:
    return shown(folder, "r1")["environment"]
