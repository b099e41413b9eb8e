"""Part G: the benchmarks run as `make bench` runs them, and write what they measured."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_benchmark_prints_a_table_and_writes_json_with_floor_and_goal(tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    command = [sys.executable, "benchmarks", "B1", "B2", "--rounds", "1", "--output", str(output)]
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


def _line(table: str, what: str) -> str:
    return next(line for line in table.splitlines() if what in line)
