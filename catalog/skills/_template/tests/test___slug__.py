"""The skill as a plain function: no run, no ledger."""

import runpy
from pathlib import Path

run = runpy.run_path(str(Path(__file__).parents[1] / "skill.py"))["run"]


def test_spaces_around_the_text_are_dropped():
    assert run({"text": "  hi "}) == {"text": "hi"}
