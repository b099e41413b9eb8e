"""How a program stands to its objectives, for people. As JSON: `services.insight.documents`."""

from collections.abc import Iterator

from magsag.policy.slo import Judged, SloReport, number
from magsag.surfaces.cli.writing import counted, put_table, say

_HEADS = ("objective", "target", "observed", "of", "error budget", "burn rate", "newest", "")


def put_objectives(report: SloReport | None) -> None:
    """One line for each objective; nothing where there are none."""
    if report is not None:
        say("")
        put_table(_HEADS, [tuple(_row(one, report)) for one in report.objectives])


def in_short(report: SloReport | None) -> dict[str, str]:
    """Whether they are kept, as a line of its own; none where there are no objectives."""
    return {} if report is None else {"objectives": _kept(report)}


def _kept(report: SloReport) -> str:
    over = f"{counted(report.runs, 'run')} in the last {_span(report.window)}"
    if report.runs < report.min_runs:
        return f"{over}, too few to tell ({report.min_runs} are asked for)"
    return f"{over}; " + (f"missed, so: {report.action}" if report.missed else "kept")


def _span(seconds: float) -> str:
    """A time in the largest unit that makes it whole: `7d`, `90m`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"


def _row(one: Judged, report: SloReport) -> Iterator[str]:
    yield one.name
    yield number(one.target)
    yield "-" if one.observed is None else number(one.observed)
    yield str(one.count)
    yield "-" if one.budget_left is None else f"{one.budget_left:.0%}"
    yield from ("-" if rate is None else number(rate) for rate in (one.burn_long, one.burn_short))
    yield "missed" if one in report.missed else ""
