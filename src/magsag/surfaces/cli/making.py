"""What is said after files were made from a template."""

import os
from collections.abc import Sequence
from pathlib import Path

from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.writing import note, put_json, say


def put_made(call: Call, made: Sequence[Path], next_command: str) -> None:
    """The files, and what to type next."""
    names = [_typed(path) for path in made]
    if call.wants_json:
        put_json({"made": names})
        return
    for name in names:
        say(name)
    if not call.is_quiet:
        note(f"next: {next_command}")


def _typed(path: Path) -> str:
    here, text = os.getcwd() + os.sep, str(path.absolute())
    return text.removeprefix(here)
