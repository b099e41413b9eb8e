"""`ports.measures` in SQL: rows to values and back, and how SQLite keeps them."""

from collections.abc import Sequence
from typing import Final

from pydantic_core import from_json, to_json

from magsag.adapters.store.part import Part
from magsag.adapters.store.reading import Answers
from magsag.domain.effects import Level
from magsag.domain.errors import StoreBroken
from magsag.domain.ids import RunId
from magsag.domain.measures import Measure, Shown
from magsag.ports.measures import EndedRun

_SHOWN: Final = {str(one): one for one in Shown}


class MeasuringPart:
    """What `ports.measures.Measures` reads, the same on every database."""

    _reads: Answers

    def ended_runs(self, program: str, since: int, limit: int) -> list[EndedRun]:
        rows = self._reads.all("ended_runs", {"program": program, "since": since, "limit": limit})
        return [EndedRun(run, root, None if row[0] is None else _measure(run, *row)) for run, root, *row in rows]

    def touched_since(self, runs: Sequence[RunId]) -> set[RunId]:
        return {run for (run,) in self._reads.all("touched_since", (to_json(list(runs)),))}


class MeasuresInSqlite(MeasuringPart, Part):
    """`ports.measures.Measures`."""

    def keep_measures(self, measures: Sequence[Measure]) -> None:
        with self._database.writing(Level.WRITTEN) as connection:
            connection.executemany(self._database.sql["keep_measure"], map(measure_values, measures))


def measure_values(measure: Measure) -> dict[str, object]:
    """The row of a measure, by column."""
    return {
        "run": measure.run,
        "shown": str(measure.shown),
        "ended": measure.ended,
        "took": measure.took,
        "nano_usd": measure.nano_usd,
        "waits": to_json(measure.waits).decode(),
    }


def _measure(run: RunId, shown: str, ended: int, took: int, nano_usd: int, waits: str) -> Measure:
    if shown not in _SHOWN:
        raise StoreBroken(f"run {run}: its measure is {shown!r}, which is unknown; install a newer magsag")
    return Measure(run, _SHOWN[shown], ended, took, nano_usd, () if waits == "[]" else tuple(from_json(waits)))
