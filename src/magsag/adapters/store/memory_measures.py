"""`ports.measures` in dicts: the part of the store in memory that objectives are judged from."""

from collections.abc import Sequence

from magsag.adapters.store.memory_part import MemoryPart, MemoryRun
from magsag.domain.facts import ENDS, RunEnded
from magsag.domain.ids import RunId
from magsag.domain.measures import Measure
from magsag.ports.measures import EndedRun


class MeasuresInMemory(MemoryPart):
    """What ended runs show."""

    _measures: dict[RunId, tuple[MemoryRun, Measure]]
    """with the run that was measured: another one may have its id once it was vacuumed"""

    def ended_runs(self, program: str, since: int, limit: int) -> list[EndedRun]:
        with self._lock:
            found = [
                run
                for run in self._runs.values()
                if run.program.partition("@")[0] == program and run.status in ENDS and run.updated >= since
            ]
            found.sort(key=lambda run: (run.updated, run.run), reverse=True)
            return [EndedRun(run.run, run.root, self._measure(run)) for run in found[:limit]]

    def touched_since(self, runs: Sequence[RunId]) -> set[RunId]:
        with self._lock:
            known = [run for id in runs if (run := self._runs.get(id)) is not None]
            return {run.run for run in known if run.facts and run.facts[-1][0].kind != RunEnded.__name__}

    def keep_measures(self, measures: Sequence[Measure]) -> None:
        with self._lock:
            for measure in measures:
                run = self._runs.get(measure.run)
                if run is not None and self._measure(run) is None:
                    self._measures[measure.run] = (run, measure)

    def _measure(self, run: MemoryRun) -> Measure | None:
        of, measure = self._measures.get(run.run, (None, None))
        return measure if of is run else None
