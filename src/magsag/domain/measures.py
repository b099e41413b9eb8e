"""What one ended run shows to those who judge runs together."""

from enum import StrEnum
from typing import NamedTuple

from magsag.domain.ids import RunId


class Shown(StrEnum):
    """How a run counts."""

    GOOD = "good"
    """it succeeded"""
    BAD = "bad"
    """it ended otherwise"""
    REFUSED = "refused"
    """its own objectives or limits refused its start: it shows nothing of the program, so it does not count"""
    DRY = "dry"
    """it was a dry run, which does nothing and does not count either"""


class Measure(NamedTuple):
    """One ended run. Times are microseconds. A tuple, since thousands are looked at when a run starts."""

    run: RunId
    shown: Shown
    ended: int
    """when, since 1970"""
    took: int
    """from its start to its end, without the time in which a step of it or below it waited for a person"""
    nano_usd: int
    """what it cost with all child runs of its tree, in 1e-9 USD"""
    waits: tuple[int, ...] = ()
    """how long each approval in it and below it was waited for, from the ask to what followed"""
