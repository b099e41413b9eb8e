"""What ended runs show, kept so that objectives are judged without reading all their facts again.

Noted by whoever asks first: no run pays for it, and what is not there is measured anew (`engine.measuring`). It is
derived from facts, so it does not move with a ledger, and goes with its run.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from magsag.domain.ids import RunId
from magsag.domain.measures import Measure


class EndedRun(NamedTuple):
    """A run that has ended, root or child."""

    run: RunId
    root: RunId
    measure: Measure | None
    """None where nobody has measured it yet"""


class Measures(Protocol):
    """Ended runs of one program."""

    def ended_runs(self, program: str, since: int, limit: int) -> list[EndedRun]:
        """Those of a program, `agent:slug` of any version, that were touched at `since` (microseconds) or later.

        The newest first; found by an index, so that other runs cost nothing. Raises StoreBroken.
        """

    def touched_since(self, runs: Sequence[RunId]) -> set[RunId]:
        """Which of these ended runs have facts behind their end: an erasure, a late outcome. In one question."""

    def keep_measures(self, measures: Sequence[Measure]) -> None:
        """Note what ended runs show; what is known of a run stays. Raises StoreBroken."""
