"""Part D: the main job and its company, run as a user runs them, and carried whole by the wheel."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from magsag.catalog.contracts import Contract

pytestmark = pytest.mark.measured

ROOT = Path(__file__).parents[2]
JOB = '{"role":"Engineer","level":"Mid"}'


def magsag(*arguments: str, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "magsag", *arguments]
    return subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True, timeout=60, check=False)


def packet_contract() -> Contract:
    folder = ROOT / "catalog" / "contracts"

    def schema_text(name: str) -> object:
        file = folder / f"{name}.schema.json"
        return json.loads(file.read_text()) if file.exists() else None

    return Contract.load("offer_packet", schema_text)


def test_the_main_job_prints_the_packet(tmp_path: Path) -> None:
    done = magsag("agent", "run", "offer-orchestrator-mag", cwd=tmp_path, stdin=JOB)
    assert done.returncode == 0, done.stderr
    packet = json.loads(done.stdout)
    assert packet_contract().problems(packet) == []
    offer = packet["offer"]
    assert offer["base_salary"] == {"currency": "USD", "amount": 116000}
    assert (offer["band"]["min"], offer["band"]["max"]) == (100000, 180000)
    assert offer["band"]["source"] == "builtin:example-bands"
    assert offer["sign_on_bonus"] == {"currency": "USD", "amount": 10000}
    assert packet["metadata"]["degraded"] is True


def test_a_packet_without_a_salary_does_not_meet_the_contract(tmp_path: Path) -> None:
    done = magsag("agent", "run", "offer-orchestrator-mag", cwd=tmp_path, stdin=JOB)
    packet = json.loads(done.stdout)
    del packet["offer"]["base_salary"]
    assert packet_contract().problems(packet)


def test_the_record_lists_one_main_and_its_sub_runs_and_its_scores(tmp_path: Path) -> None:
    magsag("agent", "run", "offer-orchestrator-mag", "--run-id", "first", cwd=tmp_path, stdin=JOB)
    tree = magsag("run", "tree", "first", cwd=tmp_path).stdout
    assert "offer-orchestrator-mag" in tree
    assert "compensation-advisor-sag" in tree
    assert "salary-band-lookup" in tree
    shown = magsag("run", "show", "first.g1.0/compensation-advisor-sag#1", cwd=tmp_path).stdout
    assert "completeness" in shown
    assert "0.9333" in shown


def test_the_same_run_id_with_the_same_input_gives_the_same_result(tmp_path: Path) -> None:
    first = magsag("agent", "run", "offer-orchestrator-mag", "--run-id", "once", cwd=tmp_path, stdin=JOB)
    again = magsag("agent", "run", "offer-orchestrator-mag", "--run-id", "once", cwd=tmp_path, stdin=JOB)
    assert (again.returncode, json.loads(again.stdout)) == (0, json.loads(first.stdout))
    other = '{"role":"Engineer","level":"Senior"}'
    refused = magsag("agent", "run", "offer-orchestrator-mag", "--run-id", "once", cwd=tmp_path, stdin=other)
    assert refused.returncode == 2
    assert "once" in refused.stderr


def test_resuming_an_ended_run_gives_its_result_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    first = magsag("agent", "run", "offer-orchestrator-mag", "--run-id", "ended", cwd=tmp_path, stdin=JOB)
    again = magsag("agent", "run", "--resume", "ended", cwd=tmp_path)
    assert (again.returncode, json.loads(again.stdout)) == (0, json.loads(first.stdout))
    assert magsag("agent", "run", "--resume", "nobody", cwd=tmp_path).returncode == 2


def test_input_and_output_files(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text(JOB)
    arguments = ("agent", "run", "offer-orchestrator-mag", "--input", "in.json", "--output", "out.json")
    assert magsag(*arguments, cwd=tmp_path).returncode == 0
    assert json.loads((tmp_path / "out.json").read_text())["offer"]["base_salary"]["amount"] == 116000


def test_watching_draws_the_tree_on_stderr_and_leaves_stdout_alone(tmp_path: Path) -> None:
    done = magsag("agent", "run", "offer-orchestrator-mag", "--watch", cwd=tmp_path, stdin=JOB)
    assert "compensation-advisor-sag" in done.stderr
    json.loads(done.stdout)


def test_workforce_report_runs_agents_in_parallel_and_through_another_main_agent(tmp_path: Path) -> None:
    job = {
        "candidate_profile": {"role": "Engineer", "level": "Mid"},
        "table": {"csv": "name,salary\nann,100\nbob,110\ncy,900\n"},
        "document": {"text": "# Plan\n\nHire two engineers by 2026-12-01."},
    }
    done = magsag("agent", "run", "workforce-report-mag", "--run-id", "report", cwd=tmp_path, stdin=json.dumps(job))
    assert done.returncode == 0, done.stderr
    tree = magsag("run", "tree", "report", cwd=tmp_path).stdout
    for name in ("data-analysis-sag", "document-processing-sag", "offer-orchestrator-mag", "compensation-advisor-sag"):
        assert name in tree


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in an environment that has nothing else: its `python`."""
    place = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = place.glob("*.whl")
    venv.create(place / "env", with_pip=True)
    python = place / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", str(wheel)], check=True, capture_output=True, timeout=300)
    return python


def test_the_wheel_alone_runs_the_main_job_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAGSAG_", "PYTHONPATH"))}
    for command in ("magsag", "agdd"):
        done = subprocess.run(
            [installed.with_name(command), "agent", "run", "offer-orchestrator-mag"],
            cwd=tmp_path,
            env=environment,
            input=JOB,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["offer"]["base_salary"]["amount"] == 116000


def test_the_wheel_carries_the_catalog_of_the_repository(installed: Path) -> None:
    code = "import magsag, pathlib; print(pathlib.Path(magsag.__file__).parent / '_catalog')"
    carried = Path(subprocess.run([installed, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    ours = ROOT / "catalog"
    assert _files(carried) == _files(ours)


def _files(folder: Path) -> set[Path]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path for path in found if "__pycache__" not in path.parts}
