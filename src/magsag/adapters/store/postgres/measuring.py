"""`ports.measures` in Postgres: one statement each."""

from collections.abc import Sequence

from pydantic_core import to_json

from magsag.adapters.store.measuring import MeasuringPart, measure_values
from magsag.adapters.store.postgres.part import Part
from magsag.domain.measures import Measure


class MeasuresInPostgres(MeasuringPart, Part):
    """`ports.measures.Measures`."""

    def keep_measures(self, measures: Sequence[Measure]) -> None:
        self._database.change("keep_measures", (to_json([measure_values(one) for one in measures]),))
