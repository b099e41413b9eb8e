"""`magsag prove crash`: real processes, killed by SIGKILL at the boundaries of a run; and what a proof refuses."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from magsag.testing.postgres import Cluster
from tests.acceptance.proof_project import files
from tests.acceptance.workshop import Done, command, environment, magsag

HERE: Final = Path(__file__).parent
PROFILE: Final = {"role": "Engineer", "level": "Mid"}
REPORT: Final = {
    "candidate_profile": PROFILE,
    "table": {"csv": "name,salary\nAda,118000\nGrace,124000\n"},
    "document": {"text": "# Plan\nWe hire Ada Lovelace for 120,000 USD on 2031-04-01."},
}
SHIPPED: Final = {
    "hello": {},
    "hiring-review": {"candidates": [PROFILE, {"role": "Designer", "level": "Senior"}]},
    "offer-orchestrator-mag": PROFILE,
    "workforce-report-mag": REPORT,
}
EVERYTHING: Final = ("agent:boss", "flow:kinds", "agent:waiter")
ON_POSTGRES: Final = pytest.param("postgres", marks=pytest.mark.needs("postgres"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project that is proved."""
    (tmp_path / "magsag.toml").touch()
    for path, text in files().items():
        file = tmp_path / "catalog" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return tmp_path


def prove(program: str, payload: object, cwd: Path, *arguments: str, patience: float = 100) -> Done:
    words = command("prove", "crash", program, *arguments)
    done = subprocess.run(
        words,
        cwd=cwd,
        input=json.dumps(payload),
        capture_output=True,
        text=True,
        env=environment(TMPDIR=str(cwd.parent)),
        timeout=patience,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def proved(done: Done) -> dict[str, Any]:
    """The tally of a proof that holds."""
    assert done.code == 0, done.out + done.err
    tally: dict[str, Any] = done.value
    assert tally["points"] == tally["kills"] == tally["identical"] > 0
    assert tally["differing"] == []
    return tally


@pytest.mark.parametrize("program", SHIPPED)
def test_the_shipped_examples_survive(tmp_path: Path, program: str) -> None:
    tally = proved(prove(program, SHIPPED[program], tmp_path, "--points", "3", "--json", "--quiet"))
    assert (tally["points"], tally["in_doubt"]) == (3, 0)
    assert not (tmp_path / ".magsag").exists(), "a proof writes nothing into the project"


@pytest.mark.parametrize("program", EVERYTHING)
def test_a_program_of_all_kinds_survives_at_its_effects(project: Path, program: str) -> None:
    tally = proved(prove(program, {"n": 0}, project, "--points", "12", "--json", "--quiet"))
    assert tally["points"] >= 12
    assert tally["in_doubt"] >= 1


@pytest.mark.needs("postgres")
def test_a_program_survives_on_postgres_and_leaves_no_schema(project: Path, cluster: Cluster) -> None:
    place = ("--store", "postgres", "--dsn", cluster.plain_dsn())
    tally = proved(prove("flow:kinds", {"n": 0}, project, *place, "--points", "3", "--json", "--quiet"))
    assert tally["store"] == "postgres"
    with psycopg.connect(cluster.plain_dsn()) as connection:
        found = connection.execute("select nspname from pg_namespace where nspname like 'magsag_proof_%'")
        assert found.fetchall() == []


@pytest.mark.needs("postgres")
def test_a_server_that_does_not_answer_is_no_wrong_question(project: Path) -> None:
    done = prove("flow:kinds", {"n": 0}, project, "--store", "postgres", "--dsn", f"postgresql://me@/x?host={project}")
    assert done.code == 4
    assert "the server cannot be reached" in done.err


@pytest.mark.prove
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("store", ["sqlite", ON_POSTGRES])
@pytest.mark.parametrize("program", [*SHIPPED, *EVERYTHING])
def test_a_program_survives_everywhere(project: Path, program: str, store: str, request: pytest.FixtureRequest) -> None:
    if program in SHIPPED:
        shutil.rmtree(project / "catalog")
    place = ["--dsn", request.getfixturevalue("cluster").plain_dsn()] if store == "postgres" else []
    arguments = ("--store", store, *place, "--json", "--quiet")
    tally = proved(prove(program, SHIPPED.get(program, {"n": 0}), project, *arguments, patience=1000))
    assert tally["points"] == tally["boundaries"]


def test_one_point_is_told_in_full(project: Path) -> None:
    done = prove("kinds", {"n": 0}, project, "--kill-at", "1")
    assert done.code == 0
    assert done.out.splitlines()[0] == "1 points, 1 kills, 1 identical, 0 in doubt"
    assert "killed before keeping the bundle" in done.err
    assert "gone on: succeeded" in done.err
    done = prove("kinds", {"n": 0}, project, "--kill-at", "9999")
    assert done.code == 2
    assert "has the points 1 to" in done.err


def test_an_act_without_a_stand_in_is_refused_by_name(project: Path) -> None:
    (project / "catalog/proof.yaml").unlink()
    done = prove("boss", {"n": 0}, project)
    assert done.code == 2
    assert "has no stand-in: add `- for: skill:" in done.err
    assert "--really" in done.err


def test_a_real_act_happens_and_its_notes_end_the_doubt(project: Path) -> None:
    code = "def run(payload, ctx):\n    open('sent', 'a').write(ctx.idempotency_key + '\\n')\n    return payload\n"
    (project / "catalog/skills/mail/skill.py").write_text(code, encoding="utf-8")
    proof = project / "catalog/proof.yaml"
    lines = proof.read_text(encoding="utf-8").splitlines()
    proof.write_text("\n".join(line for line in lines if "skill:mail" not in line), encoding="utf-8")
    tally = proved(prove("helper", {"n": 0}, project, "--really", "--points", "3", "--json", "--quiet"))
    assert tally["in_doubt"] == 2
    sent = (project / "sent").read_text(encoding="utf-8").splitlines()
    assert len(sent) == 2 + tally["points"], "each run sends once"
    assert len(set(sent)) == 1


@pytest.mark.parametrize(
    ("program", "payload", "words"),
    [
        ("clock", {}, "agent:clock@1.0.0 is timing-dependent: two clean runs differ: its output differs at /"),
        ("nobody", {}, 'flow "nobody" is not in the catalog'),
        ("skill:put", {}, "skill:put is neither an agent nor a flow"),
        (
            "kinds",
            {"m": 0},
            "without any crash the run is failed before any act with an effect, so nothing can be proved",
        ),
    ],
)
def test_what_cannot_be_proved_is_the_wrong_question(project: Path, program: str, payload: object, words: str) -> None:
    done = prove(program, payload, project)
    assert done.code == 2
    assert words in done.err


def test_a_run_that_fails_after_an_effect_is_proved_and_said_so(project: Path) -> None:
    (project / "catalog/agents/main/helper/agent.py").write_text(
        "async def run(payload, ctx):\n    await ctx.skill('mail', payload)\n    raise ValueError('no luck')\n",
        encoding="utf-8",
    )
    done = prove("helper", {"n": 0}, project, "--points", "3", "--quiet")
    assert done.code == 0, done.err
    assert "the clean run is failed, and that is what each of them was compared with" in done.out


@pytest.mark.parametrize("wrong", ['for: "skill:male"', 'for: "skill:mail", output: "=inptu"', "output: 1"])
def test_a_finding_in_what_stands_in_stops_the_proof(project: Path, wrong: str) -> None:
    proof = project / "catalog/proof.yaml"
    text = proof.read_text(encoding="utf-8").replace("stand_ins:\n", f"stand_ins:\n  - {{{wrong}}}\n")
    proof.write_text(text, encoding="utf-8")
    done = prove("clock", {}, project, "--quiet")
    assert done.code == 2
    assert "catalog/proof.yaml:5:" in done.err
    assert "agent:clock@1.0.0 is not run: 1 finding in what it reaches or in what stands in for it" in done.err


def test_a_run_that_waits_for_a_person_cannot_be_proved(project: Path) -> None:
    (project / "catalog/policies/all.yaml").unlink()
    done = prove("kinds", {"n": 0}, project)
    assert done.code == 2
    assert "without any crash the run is parked" in done.err
    assert "let a rule allow it" in done.err


@pytest.mark.parametrize("stdin", ["", "{", "[]"])
def test_a_missing_or_invalid_input_is_the_wrong_question(tmp_path: Path, stdin: str) -> None:
    assert magsag("prove", "crash", "offer-orchestrator-mag", cwd=tmp_path, stdin=stdin).code == 2


def test_a_store_that_forgets_intents_fails(tmp_path: Path) -> None:
    command = [sys.executable, str(HERE / "proof_project.py"), str(tmp_path), "flow:kinds"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["holds"], said["identical"]) == (False, 0)
    assert any("acted 2 times, 1 in the clean run" in line for line in said["said"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--store", "postgres"], "--store postgres needs a database: --dsn"),
        (["--dsn", "postgresql://nowhere/x"], "--dsn goes with --store postgres"),
    ],
)
def test_a_store_that_is_not_there_is_the_wrong_question(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = prove("hello", {}, tmp_path, *arguments)
    assert done.code == 2
    assert words in done.err


def test_a_run_that_waits_for_a_signal_needs_one(project: Path) -> None:
    proof = project / "catalog/proof.yaml"
    proof.write_text(proof.read_text(encoding="utf-8").partition("signals:")[0], encoding="utf-8")
    done = prove("waiter", {"n": 0}, project)
    assert done.code == 2
    assert "waits for the signal approved" in done.err
    assert "`- event: approved` under `signals:`" in done.err


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    done = magsag("prove", "crash", "hello", "--points", "2", cwd=tmp_path, TMPDIR=str(tmp_path))
    assert done.code == 0
    assert [path.name for path in tmp_path.rglob("*")] == ["workspace"]  # the step's program has acted in its sandbox


def test_a_proof_that_is_interrupted_or_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    source = tmp_path / "input.json"
    source.write_text(json.dumps(REPORT), encoding="utf-8")
    words = command("prove", "crash", "workforce-report-mag", "--input", str(source))
    told = environment(TMPDIR=str(tmp_path))
    with subprocess.Popen(words, cwd=tmp_path, env=told, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(b"[1/")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    assert list(tmp_path.iterdir()) == [source]
    done = magsag("prove", "crash", "hello", "--kill-at", "99", cwd=tmp_path, TMPDIR=str(tmp_path))
    assert done.code == 2
    assert {path.name for path in tmp_path.iterdir()} == {source.name, "workspace"}
