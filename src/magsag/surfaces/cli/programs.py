"""What `agent show` and `flow show` say: the program in short, then how it report."""

from collections.abc import Iterator

from magsag.domain.manifests import Agent
from magsag.policy.slo import Judged, SloReport, number
from magsag.services.documents import report_document
from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.writing import put_json, put_pairs, put_table, say

_HEADS = ("objective", "target", "observed", "of", "error budget", "burn rate", "newest", "")


def put_program(call: Call, ref: str) -> None:
    """Show one agent or flow. Raises Invalid for an unknown one."""
    entry = call.app.shelf.entry(ref)
    report = call.app.objectives.report(entry)
    manifest = entry.manifest
    if call.wants_json:
        shown = manifest.model_dump(mode="json", by_alias=True, exclude_unset=True)
        objectives = report_document(report) if report is not None else None
        put_json({"ref": entry.ref, "path": entry.path, "manifest": shown, "objectives": objectives})
        return
    pairs = {"program": entry.ref, "manifest": entry.path, "about": manifest.description or "-"}
    if isinstance(manifest, Agent):
        pairs |= {"role": manifest.role, "uses": ", ".join(manifest.uses) or "-"}
    put_pairs(pairs | {"objectives": _said(report)})
    if report is not None:
        say("")
        put_table(_HEADS, [tuple(_row(one, report)) for one in report.objectives])


def span(seconds: float) -> str:
    """A time in the largest unit that makes it whole: `7d`, `90m`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s"


def _said(report: SloReport | None) -> str:
    if report is None:
        return "none; `slo:` in the manifest names some"
    over = f"{report.runs} run{'s' * (report.runs != 1)} in the last {span(report.window)}"
    if report.runs < report.min_runs:
        return f"{over}, too few to tell ({report.min_runs} are asked for)"
    return f"{over}; " + (f"missed, so: {report.action}" if report.missed else "kept")


def _row(one: Judged, report: SloReport) -> Iterator[str]:
    yield one.name
    yield number(one.target)
    yield "-" if one.observed is None else number(one.observed)
    yield str(one.count)
    yield "-" if one.budget_left is None else f"{one.budget_left:.0%}"
    yield from ("-" if rate is None else number(rate) for rate in (one.burn_long, one.burn_short))
    yield "missed" if one in report.missed else ""
