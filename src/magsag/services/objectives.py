"""Objectives held against the ledger: how a program stands, and what that means for its next run.

A run is measured once, by whoever asks first after its end; then it is one row. A start of a program without `slo`
asks nothing.
"""

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from magsag.catalog.bundle import Entry
from magsag.domain.facts import Decision, Fact, Verdict
from magsag.domain.ids import RunId
from magsag.domain.manifests import Agent, Flow
from magsag.domain.manifests.slo import Slo
from magsag.domain.measures import Measure
from magsag.engine.chain import unseal
from magsag.engine.measuring import measured
from magsag.policy import slo
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store
from magsag.ports.measures import EndedRun

AgentOrFlow = Entry[Agent] | Entry[Flow]

GLANCE_SECONDS: Final = 1.0
"""delegations are judged by what stood in the ledger at most so long ago, so that many at once cost one look"""
_AT_ONCE: Final = 200
"""so many runs are measured before it is noted, so that a first look that is broken off was not for nothing"""


class Objectives:
    """Judges programs for all runs of this process."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._glances: dict[str, tuple[int, Slo, slo.SloReport]] = {}

    def report(self, entry: AgentOrFlow) -> slo.SloReport | None:
        """How the program stands now, all its versions together; None when it has no objectives."""
        if entry.manifest.slo is None:
            return None
        now, program = self._clock.now(), entry.ref.partition("@")[0]
        since = now - int(entry.manifest.slo.window * 1e6)
        return slo.slo_report(program, entry.manifest.slo, self._measures(program, since), now)

    def of_start(self, entry: AgentOrFlow, policy_hash: str) -> Verdict | None:
        """What they say of a run that is about to start; None when they are kept, or there are none."""
        return self._said(entry, self.report(entry), policy_hash)

    def of_delegation(self, entry: AgentOrFlow, policy_hash: str) -> Verdict | None:
        """The same of a child run, by a glance at the ledger that other delegations may share."""
        wanted, now = entry.manifest.slo, self._clock.now()
        if wanted is None:
            return None
        at, known, report = self._glances.get(entry.ref, (0, None, None))
        if report is not None and known == wanted and 0 <= now - at < GLANCE_SECONDS * 1e6:
            return slo.verdict(report, _place(entry), policy_hash)
        report = self.report(entry)
        assert report is not None
        self._glances[entry.ref] = (now, wanted, report)
        return self._said(entry, report, policy_hash)

    def _said(self, entry: AgentOrFlow, report: slo.SloReport | None, policy_hash: str) -> Verdict | None:
        verdict = slo.verdict(report, _place(entry), policy_hash) if report is not None else None
        if verdict is not None and verdict.decision is Decision.ALLOW:
            logging.getLogger("magsag.slo").warning("%s (%s)", verdict.reason, verdict.place)
        return verdict

    def _measures(self, program: str, since: int) -> Iterator[Measure]:
        """Of the newest ended runs; those that nobody has measured are measured now, and noted."""
        found = self._store.ended_runs(program, since, slo.MOST_RUNS)
        yield from (one.measure for one in found if one.measure is not None)
        new = [one for one in found if one.measure is None]
        for start in range(0, len(new), _AT_ONCE):
            yield from self._noted(new[start : start + _AT_ONCE])

    def _noted(self, runs: Sequence[EndedRun]) -> list[Measure]:
        made = [measured(one.run, partial(read_facts, self._store)) for one in runs]
        measures = [one for one in made if one is not None]
        self._store.keep_measures(measures)
        return measures


def read_facts(store: Store, run: RunId) -> list[Fact]:
    """The facts of a run, in order."""
    return [unseal(stored) for stored in store.read(run)]


def _place(entry: AgentOrFlow) -> str:
    """`file:line` of the objectives."""
    return entry.place(("slo",)).rpartition(":")[0]
