"""Where two records part, said so that one can go and look. Decides what counts as a difference, not who asks."""

import re
from enum import StrEnum
from typing import Any, Final

from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.services.gate.comparing import difference

_PLACE: Final = re.compile(r" \([^()]*:\d+\)$")
"""file and line at the end of what catalog code raised: moved code is no other failure"""
_ERROR_PARTS: Final = ("type", "message", "step")


class What(StrEnum):
    """What is not the same."""

    PROGRAM = "program"
    CALL = "call"
    TARGET = "target"
    INPUT = "input"
    OUTPUT = "output"
    STATUS = "status"
    SCORE = "score"
    MORE = "more"
    """a step that only the second has"""
    LESS = "less"
    """a step that only the first has"""
    END = "end"
    ERASED = "erased"


@frozen
class Difference:
    """One place at which a second record is not the first."""

    run: RunId
    step: str | None
    """None: the run as a whole"""
    what: What
    said: str
    pointer: str | None = None
    """where in the input or output, as a JSON pointer"""

    def __str__(self) -> str:
        where = f"run {self.run}, step {self.step}" if self.step is not None else f"run {self.run}"
        return f"{where}: {self.said}"


def error_parts(document: Any) -> dict[str, Any]:
    """An error without what moves when code moves: file, line and traceback."""
    if not isinstance(document, dict):
        return {}
    parts = {name: document.get(name) for name in _ERROR_PARTS}
    return {**parts, "message": _PLACE.sub("", str(parts["message"]))}


def at(value: Any, pointer: str) -> str:
    """The value at a pointer that `difference` gave, shortened, or a word that there is none."""
    from pydantic_core import to_json

    for part in pointer.split("/")[1:]:
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        elif part:
            return "nothing"
    text = to_json(value, fallback=str).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."


__all__ = ["Difference", "What", "at", "difference", "error_parts"]
