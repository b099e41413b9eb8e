"""Part A: the first commands that a newcomer types in a clone work, and say so when they cannot."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAGSAG = Path(sys.executable).parent / "magsag"


def demo(command: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, str(ROOT / "ops/tools/demo.py"), str(command)]
    return subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder for PATH with what the set-up calls, but without a Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "id", "rm", "touch"):
        (folder / name).symlink_to(str(shutil.which(name)))
    return folder


def set_up(path: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(ROOT / "ops/setup.sh"), str(folder / "venv")]
    environment["PATH"] = str(path)
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.timeout(90)
def test_the_demonstration_shows_a_run_its_tree_and_a_kill(tmp_path: Path) -> None:
    started = time.monotonic()
    done = demo(MAGSAG, tmp_path)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 60
    assert {path.name for path in tmp_path.iterdir()} == {".magsag"}
    for seen in ("compensation-advisor-sag", '"amount": 116000', "kill -9 during step 4", "again under the same key"):
        assert seen in done.stdout


def test_a_demonstration_of_a_broken_command_fails(tmp_path: Path) -> None:
    broken = tmp_path / "magsag"
    broken.write_text("#!/bin/sh\necho '{}'\nexit 4\n", encoding="utf-8")
    broken.chmod(0o755)
    done = demo(broken, tmp_path)
    assert done.returncode == 1
    assert "ended with 4" in done.stderr


@pytest.mark.needs("make")
def test_make_alone_lists_what_can_be_made() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["make"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert [line.split()[:2] for line in done.stdout.splitlines()][:2] == [["make", "help"], ["make", "setup"]]


def test_without_a_python_the_set_up_says_what_to_do(bare_path: Path, tmp_path: Path) -> None:
    done = set_up(bare_path, tmp_path)
    assert done.returncode == 1
    assert "no Python 3.11 or newer" in done.stderr
    assert "make setup PYTHON=" in done.stderr


def test_a_python_without_venv_is_named_with_what_mends_it(bare_path: Path, tmp_path: Path) -> None:
    python = bare_path / "python3"
    python.write_text(
        f'#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n', encoding="utf-8"
    )
    python.chmod(0o755)
    done = set_up(bare_path, tmp_path)
    assert done.returncode == 1
    assert "python3 cannot make virtual environments" in done.stderr
