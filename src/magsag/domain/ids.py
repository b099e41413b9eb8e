"""Identifiers, as types. How they are drawn is the business of `ports.clock`.

A root run's id is 20 characters of lower-case base32 that sort by time, or what the caller gave with
`--run-id`. A child run's id is `parent.step`, with `~n` behind it for its n-th attempt.
"""

import re
from typing import Final, NewType

RunId = NewType("RunId", str)
StepId = NewType("StepId", str)

TENANT: Final = "local"
"""whose runs these are, and whose records"""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_GIVEN = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]{0,127}")


def run_id(millis: int, chance: bytes) -> RunId:
    """Write 48 bits of time (milliseconds since 1970) and 52 of chance as 20 sortable characters.

    `chance` has 7 bytes. Source: time first as in UUID version 7 (RFC 9562, 5.7), the alphabet Crockford's base32.
    """
    number = (millis & (1 << 48) - 1) << 52 | int.from_bytes(chance[:7], "big") >> 4
    return RunId("".join(_ALPHABET[number >> shift & 31] for shift in range(95, -1, -5)))


def is_given_run_id(text: str) -> bool:
    """Whether a caller may choose this id: letters, digits and dashes, at most 128."""
    return _GIVEN.fullmatch(text) is not None


def child_run_id(parent: RunId, step: StepId, attempt: int) -> RunId:
    """Name the child run that `step` of `parent` starts at this attempt (1 is the first)."""
    return RunId(f"{parent}.{step}" if attempt == 1 else f"{parent}.{step}~{attempt}")
