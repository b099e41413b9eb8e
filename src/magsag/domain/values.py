"""JSON values as they are recorded: what a program gets back is what the ledger holds.

A value is encoded once, read back at once and compared, so that what JSON cannot say (tuples,
non-string keys, NaN, infinities, lone surrogates, sets, objects) is refused where it appears and a
program never shares memory with an act. Depth is bounded at 200 (`MAX_DEPTH`), as jiter reads no deeper.
"""

import math
from typing import Final

from pydantic_core import PydanticSerializationError, from_json, to_json

from magsag.domain.errors import ErrorType, StepFailed
from magsag.domain.large import MARK, MARK_BYTES

MAX_DEPTH: Final = 200


def encode(value: object, what: str, marks: bool = False) -> tuple[bytes, object]:
    """Give the value's JSON bytes and the value as read back from them.

    `what` names the value in the error, e.g. `input of step pay#1`; `marks` allows the marks of large values
    (`domain.large`). Raises StepFailed(invalid_value).
    """
    try:
        data = to_json(value, inf_nan_mode="null")
        copy = from_json(data)
        if copy == value and (marks or MARK_BYTES not in data):
            return data, copy
    except (PydanticSerializationError, ValueError, RecursionError, TypeError):
        pass
    raise StepFailed(ErrorType.INVALID_VALUE, f"{what} {_fault(value)}")


def encode_known(value: object) -> bytes:
    """The bytes of a value that is known to be JSON."""
    return to_json(value, inf_nan_mode="null")


def decode(data: bytes) -> object:
    """Read recorded bytes. Raises ValueError when they are no JSON or deeper than MAX_DEPTH."""
    value: object = from_json(data, allow_inf_nan=False)
    return value


def _fault(value: object) -> str:
    """Say which part JSON cannot hold, with its pointer, and what to use instead."""
    stack: list[tuple[object, str, int]] = [(value, "", 0)]
    while stack:
        item, pointer, depth = stack.pop()
        where = f"at {pointer}" if pointer else "as a whole"
        if depth >= MAX_DEPTH:
            return f"is nested deeper than {MAX_DEPTH} levels"
        if isinstance(item, dict):
            for key, part in item.items():
                if not isinstance(key, str):
                    return f"has the key {key!r} {where}: JSON keys are strings, write {str(key)!r}"
                if key == MARK and len(item) == 1:
                    return f"has the key {key!r} {where}, which MAGSAG keeps for itself"
                if not _is_text(key):
                    return f"has a key with a lone surrogate {where}: it is no Unicode text"
                stack.append((part, f"{pointer}/{key}", depth + 1))
        elif isinstance(item, list):
            stack.extend((part, f"{pointer}/{index}", depth + 1) for index, part in enumerate(item))
        elif (fault := _scalar_fault(item)) is not None:
            return f"holds {fault} {where}"
    return "cannot be written as JSON"


def _scalar_fault(item: object) -> str | None:
    if item is None or isinstance(item, bool | int):
        return None
    if isinstance(item, float):
        return None if math.isfinite(item) else f"the number {item}: JSON has none such, use null"
    if isinstance(item, str):
        return None if _is_text(item) else "a lone surrogate: it is no Unicode text"
    hint = "use a list" if isinstance(item, tuple | set | frozenset) else "use dict, list, str, number, bool or None"
    return f"a {type(item).__name__}, which JSON cannot hold: {hint},"


def _is_text(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
