"""The lines that the project's first plans promised, typed in a fresh copy of the tree as a newcomer would."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = [
    "uv run -m pytest -q",
    "uv run python ops/tools/check_docs.py",
    """echo '{"role":"Engineer","level":"Mid"}' | uv run agdd agent run offer-orchestrator-mag""",
    "uv run agdd flow available",
    "uv run agdd flow summarize --output summary.json",
    "uv run agdd flow gate summary.json",
    "uv build",
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The tree as a clone would have it: what git knows, and what it would take in."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    for name in listed.split("\0"):
        if name and (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.needs("git")
@pytest.mark.timeout(900)
def test_the_lines_of_the_first_plans_work(tree: Path) -> None:
    for line in LINES:
        done = type_line(line, tree)
        assert done.returncode == 0, f"{line}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    summary = json.loads((tree / "summary.json").read_text(encoding="utf-8"))
    assert (summary["runs"], summary["success_rate"]) == (1, 1.0)
    assert {path.suffix for path in (tree / "dist").iterdir()} >= {".whl", ".gz"}


def type_line(line: str, tree: Path) -> subprocess.CompletedProcess[str]:
    """One line in a shell, with the uv of this environment and this Python; the lines themselves stay as they are."""
    ours = ("MAGSAG_", "AGDD_", "PYTEST_", "COV_", "COVERAGE_", "VIRTUAL_ENV", "PYTHONPATH")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    environment["UV_PYTHON"] = sys.executable
    environment["PYTEST_ADDOPTS"] = (
        "-k test_ids"  # that the line collects and runs; `make test` has run all of it before
    )
    return subprocess.run(
        line,
        shell=True,
        cwd=tree,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
