"""Service level objectives: what the runs of a program in a window show, and what that does to a new one. Pure.

A percentile is the nearest rank: of n values in order the one at place ceil(q * n) (Hyndman and Fan, "Sample
Quantiles in Statistical Packages", 1996, definition 1). So `p95_ms: 2500` is kept exactly when at most 5 of 100 runs
are slower, and each objective has an **error budget**: the share of runs that may miss it (of the average cost, the
money). The **burn rate** is what was used of it over what may be used: 1 uses it up exactly in the window. It is told
for the whole window and for its newest twelfth (Google, "The Site Reliability Workbook", 2018, chapter 5).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from magsag.domain.facts import Decision, Verdict
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.domain.manifests.slo import OBJECTIVES, Slo
from magsag.domain.measures import Measure, Shown

MOST_RUNS: Final = 10_000
"""of so many of the newest runs of a window is judged: what a look at the ledger may cost has an end"""
EVIDENCE: Final = 10
"""of so many runs the ids are told"""
RULE: Final = "slo:"
"""how the rule of a verdict begins that objectives gave; the rest is the objective"""
_QUANTILES: Final = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "approval_wait_p95": 0.95}
_SHORT: Final = 12
_COUNTED: Final = frozenset({Shown.GOOD, Shown.BAD})
_DECISIONS: Final = {"ask": Decision.ASK, "block": Decision.DENY}
"""of the other actions none stops a run by itself"""
_RANK: Final = {Decision.ALLOW: 0, Decision.ASK: 1, Decision.DENY: 2}


@frozen
class Judged:
    """One objective. Values are in its own unit: a share, milliseconds, USD, seconds."""

    name: str
    target: float
    observed: float | None
    """None when there is nothing to look at"""
    count: int
    """how many runs were looked at; of approvals, how many waits"""
    budget_left: float | None
    """1 is all of the error budget, 0 none, less than 0 overspent"""
    burn_long: float | None
    """over the whole window"""
    burn_short: float | None
    """over its newest twelfth; None when nothing ended there"""
    missed: bool
    evidence: tuple[RunId, ...]
    """runs that used the error budget: the worst first, of a success rate the newest first"""


@frozen
class SloReport:
    """How a program stands. Times are seconds."""

    program: str
    """`agent:slug` or `flow:slug`"""
    window: float
    action: str
    runs: int
    """that ended in the window and count"""
    min_runs: int
    objectives: tuple[Judged, ...]

    @property
    def missed(self) -> tuple[Judged, ...]:
        """What was missed; nothing as long as there are too few runs to tell."""
        return tuple(one for one in self.objectives if one.missed) if self.runs >= self.min_runs else ()


_Value = tuple[float, int, RunId]
"""what a run, or a wait of one, adds to an objective; when the run ended; which it is"""


def slo_report(program: str, slo: Slo, measures: Iterable[Measure], now: int) -> SloReport:
    """How the runs stand that ended in the window before `now` (microseconds), the newest MOST_RUNS of them."""
    since = now - int(slo.window * 1e6)
    counted = [one for one in measures if since < one.ended <= now and one.shown in _COUNTED]
    counted.sort(key=lambda one: (one.ended, one.run), reverse=True)
    del counted[MOST_RUNS:]
    short = now - int(slo.window * 1e6 / _SHORT)
    targets = {name: getattr(slo, name) for name in OBJECTIVES}
    judged = (_judged(name, target, counted, short) for name, target in targets.items() if target is not None)
    return SloReport(program, slo.window, slo.action, len(counted), slo.min_runs, tuple(judged))


def verdict(report: SloReport, place: str, policy_hash: str) -> Verdict | None:
    """What the objectives say of a new run; None when they are kept."""
    if not report.missed:
        return None
    decision = _DECISIONS.get(report.action, Decision.ALLOW)
    return Verdict(decision, RULE + report.missed[0].name, place, said(report), policy_hash)


def stricter(policies: Verdict, objectives: Verdict | None) -> Verdict:
    """The stricter of the two; of equals the policies speak."""
    if objectives is None or _RANK[objectives.decision] <= _RANK[policies.decision]:
        return policies
    return objectives


def is_of_objectives(verdict: Verdict) -> bool:
    """Whether objectives gave it; no rule of a policy can have such a name."""
    return verdict.rule.startswith(RULE)


def said(report: SloReport) -> str:
    """What was missed, for people."""
    return "; ".join(f"{report.program}: {_missed(one, report)}" for one in report.missed)


def is_kept(name: str, observed: float, target: float) -> bool:
    """Whether what was observed meets the target."""
    return observed >= target if name == "success_rate" else observed <= target


def percentile(values: Sequence[float], quantile: float) -> float:
    """The nearest rank of values in ascending order; `quantile` in (0, 1]. Raises ValueError when there are none."""
    if not values:
        raise ValueError("no percentile of no values")
    return values[_rank(len(values), quantile) - 1]


def burn_rate(bad: float, count: int, allowed: float) -> float | None:
    """What was used of an error budget over what may be used: `bad` of `count`, of which the share `allowed` may be."""
    return None if count == 0 else round(bad / count / allowed, 6)


def number(value: float) -> str:
    """A number for people: no more digits than tell it apart."""
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"


def _rank(count: int, quantile: float) -> int:
    """ceil(q * n), in whole numbers: 0.95 * 20 is more than 19 in binary fractions."""
    return max(1, -(-round(quantile * 1_000_000) * count // 1_000_000))


def _missed(one: Judged, report: SloReport) -> str:
    assert one.observed is not None
    than = "less than" if one.name == "success_rate" else "more than"
    runs = ", ".join(one.evidence)
    what = f"{one.name} {number(one.observed)} is {than} {number(one.target)}"
    return f"{what} over the last {report.runs} runs (error budget left {_percent(one.budget_left)}; runs {runs})"


def _percent(left: float | None) -> str:
    return "unknown" if left is None else f"{left:.0%}"


def _judged(name: str, target: float, counted: Sequence[Measure], short: int) -> Judged:
    if name == "success_rate":
        return _success(target, counted, short)
    if name == "cost_per_run_usd":
        return _cost(target, counted, short)
    values: list[_Value]
    if name == "approval_wait_p95":
        values = [(wait / 1e6, one.ended, one.run) for one in counted for wait in one.waits]
    else:  # only of what succeeded: a run that fails at once would flatter
        values = [(one.took / 1e3, one.ended, one.run) for one in counted if one.shown is Shown.GOOD]
    ranked = sorted([value for value, _, _ in values])
    observed = percentile(ranked, _QUANTILES[name]) if ranked else None
    over = _worst(values, target)
    return _told(name, target, observed, values, over, round(1 - _QUANTILES[name], 6), short)


def _success(target: float, counted: Sequence[Measure], short: int) -> Judged:
    values: list[_Value] = [(one.shown is Shown.GOOD, one.ended, one.run) for one in counted]
    bad = [value for value in values if not value[0]]
    observed = (len(values) - len(bad)) / len(values) if values else None
    return _told("success_rate", target, observed, values, bad, round(1 - target, 12), short)


def _told(
    name: str,
    target: float,
    observed: float | None,
    values: Sequence[_Value],
    bad: Sequence[_Value],
    allowed: float,
    short: int,
) -> Judged:
    long = burn_rate(len(bad), len(values), allowed)
    late = burn_rate(_since(bad, short), _since(values, short), allowed)
    missed = observed is not None and not is_kept(name, observed, target)
    left = None if long is None else round(1 - long, 6)
    return Judged(name, target, observed, len(values), left, long, late, missed, _evidence(bad))


def _cost(target: float, counted: Sequence[Measure], short: int) -> Judged:
    """Of an average each run uses a part of the money that all may cost together."""
    name = "cost_per_run_usd"
    mean, late = _mean_usd(counted), _mean_usd([one for one in counted if one.ended > short])
    over = _worst([(one.nano_usd / 1e9, one.ended, one.run) for one in counted], target)
    missed = mean is not None and not is_kept(name, mean, target)
    long, soon = (None if one is None else round(one / target, 6) for one in (mean, late))
    left = None if long is None else round(1 - long, 6)
    return Judged(name, target, mean, len(counted), left, long, soon, missed, _evidence(over))


def _mean_usd(counted: Sequence[Measure]) -> float | None:
    """Added up in whole numbers, so that the order of runs does not matter."""
    return sum([one.nano_usd for one in counted]) / len(counted) / 1e9 if counted else None


def _worst(values: Iterable[_Value], target: float) -> list[_Value]:
    """Those above the target, the worst first."""
    over = [value for value in values if value[0] > target]
    over.sort(key=lambda value: (-value[0], value[2]))
    return over


def _since(values: Iterable[_Value], short: int) -> int:
    return sum([ended > short for _, ended, _ in values])


def _evidence(bad: Sequence[_Value]) -> tuple[RunId, ...]:
    return tuple(dict.fromkeys(run for _, _, run in bad))[:EVIDENCE]
