"""Objectives held against the ledger: how a program stands, and what that means for its next run.

A run is measured once, by whoever asks first after its end; then it is one row. A start of a program without `slo`
asks nothing.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from magsag.catalog.bundle import Entry
from magsag.domain.breaking import BreakerState
from magsag.domain.facts import Decision, Fact, Verdict
from magsag.domain.ids import RunId
from magsag.domain.manifests import Agent, Flow
from magsag.domain.manifests.slo import Slo
from magsag.domain.manifests.throttling import BreakerRule
from magsag.domain.measures import Measure
from magsag.domain.verdicts import START
from magsag.engine.chain import unseal
from magsag.engine.measuring import measured
from magsag.policy import slo
from magsag.policy.breaker import Passes, Shut, ask, opened, state_of
from magsag.policy.throttle import Throttle
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store
from magsag.ports.measures import EndedRun
from magsag.services.steps.attempt import caller_of
from magsag.services.steps.moment import moment
from magsag.services.steps.throttles import change

AgentOrFlow = Entry[Agent] | Entry[Flow]
Moved = Callable[[str, BreakerState, str], None]
"""is told whose breaker changed, into what, and why"""

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

    def of_start(self, entry: AgentOrFlow, policy_hash: str, moved: Moved, run: RunId) -> Verdict | None:
        """What they say of a run that is about to start; None when they are kept, or there are none.

        Where the run may try whether a breaker can close, its first step asks for that under the same name.
        """
        verdict = self._said(entry, self.report(entry), policy_hash)
        if verdict is None or (rule := _breaker_to_open(entry)) is None:
            return verdict
        shut = self._trip(entry, rule, verdict.reason, moved, caller_of(run, START, 1), tries=True)
        if shut is None:
            return verdict
        said = f"{verdict.reason}; its breaker is open, the next run may try at {moment(shut.until)['iso']}"
        return replace(verdict, decision=Decision.DENY, reason=said)

    def of_delegation(self, entry: AgentOrFlow, policy_hash: str, moved: Moved, caller: str) -> Verdict | None:
        """The same of a child run, by a glance at the ledger that other delegations may share."""
        wanted, now = entry.manifest.slo, self._clock.now()
        if wanted is None:
            return None
        at, known, report = self._glances.get(entry.ref, (0, None, None))
        if report is not None and known == wanted and 0 <= now - at < GLANCE_SECONDS * 1e6:
            verdict = slo.verdict(report, _place(entry), policy_hash)
        else:
            report = self.report(entry)
            assert report is not None
            self._glances[entry.ref] = (now, wanted, report)
            verdict = self._said(entry, report, policy_hash)
        if verdict is not None and (rule := _breaker_to_open(entry)) is not None:
            self._trip(entry, rule, verdict.reason, moved, caller)  # the gate asks it next, and hears how the call went
        return verdict

    def _said(self, entry: AgentOrFlow, report: slo.SloReport | None, policy_hash: str) -> Verdict | None:
        verdict = slo.verdict(report, _place(entry), policy_hash) if report is not None else None
        if verdict is not None and verdict.decision is Decision.ALLOW:
            logging.getLogger("magsag.slo").warning("%s (%s)", verdict.reason, verdict.place)
        return verdict

    def _trip(
        self, entry: AgentOrFlow, rule: BreakerRule, why: str, moved: Moved, caller: str, tries: bool = False
    ) -> Shut | None:
        """Open the breaker of a program unless it is open; why this caller may not try, None when it may, or does not
        try here."""
        answers: list[Passes | Shut] = []

        def tripped(throttle: Throttle, now: int) -> Throttle:
            before = throttle.breaker
            if state_of(before, now) is BreakerState.CLOSED:
                after = opened(before, rule, caller, now)
                answers.append(Shut(BreakerState.OPEN, after.since, after.until))
                return replace(throttle, breaker=after)
            answer = ask(before, caller, now, now + int(rule.open * 1e6)) if tries else Passes(before)
            answers.append(answer)
            return replace(throttle, breaker=answer.breaker) if isinstance(answer, Passes) else throttle

        name = f"agent:{entry.slug}"
        before, after = change(self._store, name, tripped)
        if before.breaker.epoch != after.breaker.epoch:
            moved(name, BreakerState.OPEN, why)
        elif tries and after.breaker.probe == caller:
            moved(name, BreakerState.HALF_OPEN, "its time is over: this run tries")
        return answers[-1] if isinstance(answers[-1], Shut) else None

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


def _breaker_to_open(entry: AgentOrFlow) -> BreakerRule | None:
    """The rule of the breaker that a missed objective opens, where the manifest says so."""
    manifest = entry.manifest
    opens = isinstance(manifest, Agent) and manifest.slo is not None and manifest.slo.action == "open_breaker"
    return manifest.breaker if opens and isinstance(manifest, Agent) else None


def _place(entry: AgentOrFlow) -> str:
    """`file:line` of the objectives."""
    return entry.place(("slo",)).rpartition(":")[0]
