"""A test whose program is missing is left out and named; in CI that fails the run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ops.tools.needs import Need, works

ROOT = Path(__file__).parents[2]
SUITE = """
import pytest

@pytest.mark.needs("nosuch")
def test_that_needs_what_is_missing(): assert False

@pytest.mark.needs("here")
def test_that_needs_what_is_here(): pass
"""
NEEDS = """
NEEDS = {"nosuch": False, "here": True}

def works(need): return need
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A tree with our conftest and one test whose program is missing."""
    (tmp_path / "ops/tools").mkdir(parents=True)
    (tmp_path / "ops/tools/needs.py").write_text(NEEDS, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n", encoding="utf-8")
    (tmp_path / "test_suite.py").write_text(SUITE, encoding="utf-8")
    shutil.copy(ROOT / "tests/conftest.py", tmp_path)
    return tmp_path


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
@pytest.mark.parametrize("workers", [[], ["-n", "1"]])
def test_a_missing_program_is_named_and_fails_only_in_ci(suite: Path, ci: str, code: int, workers: list[str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", *workers]
    done = subprocess.run(command, cwd=suite, env={**os.environ, "CI": ci}, capture_output=True, text=True, check=False)
    assert "1 passed" in done.stdout
    assert "nosuch does not work here" in done.stdout
    assert "test_that_needs_what_is_missing" in done.stdout
    assert done.returncode == code


def test_a_program_works_when_its_probe_succeeds() -> None:
    assert works(Need((sys.executable, "-c", "pass"), "", ""))
    assert not works(Need((sys.executable, "-c", "raise SystemExit(1)"), "", ""))
    assert not works(Need(("no-such-program",), "", ""))
