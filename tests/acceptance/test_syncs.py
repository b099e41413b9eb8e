"""What a run costs the disk, counted by the kernel: syncs of more runs less the syncs of fewer, in one process each."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent


def syncs(folder: Path, effect: str, runs: int) -> int:
    """How many syncs a process makes that does so many runs."""
    folder.mkdir()
    counted = folder / "strace.txt"
    command = ["strace", "-f", "-c", "-e", "trace=fsync,fdatasync,sync_file_range,msync", "-o", str(counted)]
    script = [sys.executable, str(HERE / "sync_project.py"), str(folder), effect, str(runs)]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1] / "src")}
    subprocess.run([*command, *script], env=environment, check=True, timeout=60)
    rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?\w+$", counted.read_text(), re.MULTILINE)
    return sum(int(count) for count in rows[:-1])


@pytest.mark.needs("strace")
@pytest.mark.parametrize(("effect", "each"), [("pure", 1), ("idempotent", 9)])
def test_a_run_of_eight_steps_syncs_once_and_once_for_each_intent(tmp_path: Path, effect: str, each: int) -> None:
    """The second kind is the negative control: eight effects are eight intents on the disk before their acts."""
    assert syncs(tmp_path / "more", effect, 5) - syncs(tmp_path / "fewer", effect, 3) == 2 * each
