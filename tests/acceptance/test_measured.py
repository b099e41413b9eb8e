"""Part G: the benchmarks run as `make bench` runs them, and write what they measured."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def test_a_benchmark_prints_a_table_and_writes_json_with_floor_and_goal(tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    command = [sys.executable, "benchmarks", "B1", "B2", "--rounds", "1", "--no-peers", "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(output.read_text())["rows"]
    assert {row["case"] for row in rows} == {"B1", "B2"}
    for row in rows:
        assert row["low"] <= row["median"] <= row["high"]
        assert row["floor"] > 0
        assert row["met"] is (("MISSED" in _line(done.stdout, row["what"])) is False)


def test_an_unknown_case_is_refused() -> None:
    command = [sys.executable, "benchmarks", "B99"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=60).returncode == 2


@pytest.mark.parametrize(
    ("goal", "ours", "theirs", "code"),
    [("<= 2 us", 3.0, 2.9, 1), ("<= 2 us", 3.0, 3.1, 0), (">= 2 runs/s", 3.0, 3.1, 1)],
)
def test_the_check_says_which_case_a_peer_is_ahead_in(
    tmp_path: Path, goal: str, ours: float, theirs: float, code: int
) -> None:
    done = _script("check.py", str(_results(tmp_path, goal, ours, {"other": theirs})))
    assert done.returncode == code
    assert ("B2 a step: ours 3, other" in done.stdout) is (code == 1)


def test_the_check_cannot_answer_when_nothing_was_compared(tmp_path: Path) -> None:
    assert _script("check.py", str(tmp_path / "none.json")).returncode == 2
    assert _script("check.py", str(_results(tmp_path, "<= 2 us", 3.0, {}))).returncode == 2


def test_the_table_is_put_between_the_marks_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- measured: x -->\nold\n<!-- end of measured -->\nafter\n")
    assert _script("readme.py", str(_results(tmp_path, "<= 2 us", 3.0, {"other": 6.0})), str(page)).returncode == 0
    text = page.read_text()
    assert text.startswith("before\n<!-- measured: x -->\nOn 2 cores")
    assert "6 (2.0 x)" in text
    assert "old" not in text
    assert text.endswith("<!-- end of measured -->\nafter\n")


def _results(folder: Path, goal: str, ours: float, peers: dict[str, float]) -> Path:
    row: dict[str, Any] = {"case": "B2", "what": "a step", "unit": "us", "median": ours, "low": ours, "high": ours}
    row |= {"floor": None, "ratio": None, "goal": goal, "met": False, "peers": peers}
    about = {name: {"version": "1", "settings": "as it comes"} for name in peers}
    machine = {"python": "3.11", "sqlite": "3.40", "system": "Linux", "cores": 2}
    path = folder / "results.json"
    path.write_text(json.dumps({**machine, "peers": about, "rows": [row]}))
    return path


def _script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, f"benchmarks/{name}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def _line(table: str, what: str) -> str:
    return next(line for line in table.splitlines() if what in line)
