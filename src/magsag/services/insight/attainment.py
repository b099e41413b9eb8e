"""How programs stand by finished runs alone, without the catalog of today: what `flow summarize` says of objectives.

The objectives are those in the bundle of a program's newest run, and the moment is the newest end of all runs: so the
same runs give the same answer on another machine, at another time.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from magsag.catalog.bundle import Bundle
from magsag.domain.facts import Fact, RunStarted
from magsag.domain.ids import RunId
from magsag.domain.manifests.slo import Slo
from magsag.domain.measures import Measure
from magsag.engine.measuring import measured
from magsag.policy.slo import slo_report
from magsag.services.insight.documents import report_document
from magsag.services.insight.finished import Tree

_Newest = tuple[int, RunId, RunStarted]


class Programs:
    """The programs of the trees so far."""

    def __init__(self, bundle: Callable[[str], Bundle]) -> None:
        self._bundle = bundle
        self._measures: defaultdict[str, list[Measure]] = defaultdict(list)
        self._newest: dict[str, _Newest] = {}
        self._now = 0

    def add_tree(self, tree: Tree) -> None:
        """Measure each run of a tree that has ended."""

        def read(run: RunId) -> Sequence[Fact]:
            return tree.facts.get(run, ())

        for run, facts in tree.facts.items():
            found = measured(run, read)
            started = next((fact for fact in facts if isinstance(fact, RunStarted)), None)
            if found is None or started is None:
                continue
            program = started.program.partition("@")[0]
            self._measures[program].append(found)
            self._now = max(self._now, found.ended)
            mine = (found.ended, run, started)
            if program not in self._newest or mine[:2] > self._newest[program][:2]:
                self._newest[program] = mine

    def documents(self) -> list[dict[str, Any]]:
        """Of each program that has objectives, sorted by name."""
        found = {program: self._slo(started) for program, (_, _, started) in sorted(self._newest.items())}
        reports = [
            slo_report(program, slo, self._measures[program], self._now) for program, slo in found.items() if slo
        ]
        return [report_document(report) for report in reports]

    def _slo(self, started: RunStarted) -> Slo | None:
        slo: Slo | None = self._bundle(started.bundle).find(started.program).manifest.slo
        return slo
