"""`ports.measures` in Postgres: one statement each."""

from collections.abc import Sequence

from pydantic_core import to_json

from magsag.adapters.store.measuring import ended_runs, measure_values, touched_since
from magsag.adapters.store.postgres.part import Part
from magsag.domain.ids import RunId
from magsag.domain.measures import Measure
from magsag.ports.measures import EndedRun


class MeasuresInPostgres(Part):
    """`ports.measures.Measures`."""

    def ended_runs(self, program: str, since: int, limit: int) -> list[EndedRun]:
        return ended_runs(self._reads, program, since, limit)

    def touched_since(self, runs: Sequence[RunId]) -> set[RunId]:
        return touched_since(self._reads, runs)

    def keep_measures(self, measures: Sequence[Measure]) -> None:
        self._database.change("keep_measures", (to_json([measure_values(one) for one in measures]),))
