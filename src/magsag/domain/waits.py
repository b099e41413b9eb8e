"""What may be waited for: names of events, and lengths of time."""

import math
import re
from datetime import timedelta
from typing import Final

from magsag.domain.errors import Invalid

_EVENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
LONGEST_SECONDS: Final = 100 * 365 * 86_400
"""nothing is waited for longer than a hundred years"""


def event_named(name: object) -> str:
    """The name of an event. Raises Invalid."""
    if not isinstance(name, str) or _EVENT.fullmatch(name) is None:
        raise Invalid(f"event {name!r}: use letters, digits, dots, dashes and underscores, at most 128")
    return name


def seconds_of(length: object, verb: str) -> float:
    """A length of time in seconds, between nothing and a hundred years. Raises Invalid."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        raise Invalid(f"ctx.{verb}: {length!r} is no length of time; give seconds, or a timedelta")
    if not 0 <= seconds <= LONGEST_SECONDS:
        raise Invalid(f"ctx.{verb}: {seconds:g} s is no wait; give between 0 seconds and a hundred years")
    return seconds
