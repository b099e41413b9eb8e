"""`--watch`: the tree of a run on stderr, live, while stdout holds the result and nothing else."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

COMMAND = [sys.executable, "-m", "magsag", "agent", "run", "offer-orchestrator-mag", "--watch", "--run-id", "w1"]
INPUT = b'{"role": "Engineer", "level": "Mid"}'


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAGSAG_", "AGDD_", "NO_COLOR"))}
    return {**kept, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40", **more}


def watched_on_a_terminal(folder: Path, **more: str) -> tuple[bytes, str]:
    """Stdout, and what the terminal was sent."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        COMMAND, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=theirs, env=environment(**more)
    )
    os.close(theirs)
    assert process.stdin is not None
    process.stdin.write(INPUT)
    process.stdin.close()
    shown = b""
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:
        pass  # the other end is gone: the process has ended
    os.close(ours)
    assert process.stdout is not None
    result = process.stdout.read()
    process.stdout.close()
    assert process.wait(60) == 0
    return result, shown.decode()


def test_on_a_pipe_steps_are_told_line_by_line(tmp_path: Path) -> None:
    done = subprocess.run(COMMAND, input=INPUT, cwd=tmp_path, capture_output=True, check=True, env=environment())
    lines = done.stderr.decode().splitlines()
    assert json.loads(done.stdout)["metadata"]["run_id"] == "w1"
    assert lines[0] == "offer-orchestrator-mag 0.1.0   run w1   ⏵ running"
    assert lines[2].split()[:2] == ["⏵", "compensation-advisor-sag"]
    assert lines[3].startswith("    ✓ salary-band-lookup  read")
    assert "run w1   ✓ succeeded" in lines[6]
    assert "\x1b" not in done.stderr.decode()


def test_on_a_terminal_the_tree_is_drawn_in_place(tmp_path: Path) -> None:
    result, shown = watched_on_a_terminal(tmp_path)
    assert json.loads(result)["metadata"]["run_id"] == "w1"
    assert "│  └─ \x1b[32m✓\x1b[0m salary-band-lookup" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1


def test_a_terminal_without_colours_gets_none(tmp_path: Path) -> None:
    _, shown = watched_on_a_terminal(tmp_path, NO_COLOR="1")
    assert "│  └─ ✓ salary-band-lookup" in shown


def test_a_tree_drawn_later_is_the_one_that_was_watched(tmp_path: Path) -> None:
    subprocess.run(COMMAND, input=INPUT, cwd=tmp_path, capture_output=True, check=True, env=environment())
    command = [sys.executable, "-m", "magsag", "run", "tree", "w1"]
    drawn = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, env=environment(), text=True).stdout
    assert [line.split("  ")[0] for line in drawn.splitlines()[1:]] == [
        "├─ ✓ task-decomposition", "├─ ✓ compensation-advisor-sag", "│", "└─ ✓ result-aggregation",
    ]  # fmt: skip


def test_a_locale_that_cannot_write_boxes_gets_plain_letters(tmp_path: Path) -> None:
    plain = environment(PYTHONIOENCODING="ascii")
    done = subprocess.run(COMMAND, input=INPUT, cwd=tmp_path, capture_output=True, check=True, env=plain)
    assert "[ok] salary-band-lookup" in done.stderr.decode("ascii")
