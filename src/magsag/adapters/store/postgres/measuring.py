"""`ports.measures` in Postgres: one statement each."""

from collections.abc import Sequence

from pydantic_core import to_json

from magsag.adapters.store.measuring import ended_runs, measure_values
from magsag.adapters.store.postgres.part import Part
from magsag.domain.measures import Measure
from magsag.ports.measures import EndedRun


class MeasuresInPostgres(Part):
    """`ports.measures.Measures`."""

    def ended_runs(self, program: str, since: int, limit: int) -> list[EndedRun]:
        return ended_runs(self._reads, program, since, limit)

    def keep_measures(self, measures: Sequence[Measure]) -> None:
        self._database.change("keep_measures", (to_json([measure_values(one) for one in measures]),))
