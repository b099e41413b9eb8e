"""`flow gate`: what a summary of finished runs must show. Pure: a summary and the limits in, complaints out.

The order of the complaints is fixed: runs, success rate, latency, required steps, each step, MCP over all, then the
objectives of each program.
Every model of a step is held against the lists, and a limit of `default` holds for each key that the step's own
entry leaves open.
"""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from magsag.domain.frozen import frozen
from magsag.domain.manifests.policy import FlowGovernance, ModelLimits, StepLimits
from magsag.domain.summary import FlowSummary, McpCounts, McpTotals, ProgramTotals, StepTotals
from magsag.policy.slo import is_kept, number

DEFAULT = "default"


@frozen
class Complaint:
    """One thing that finished runs do not keep."""

    said: str
    runs: tuple[str, ...] = ()
    """runs that bear it out, as the summary names them"""


def complaints(summary: FlowSummary, limits: FlowGovernance) -> list[Complaint]:
    """What the summary does not keep; empty when it passes."""
    used_in = {model.name: model.runs for model in summary.models}
    return [
        *_totals(summary, limits),
        *(complaint for step in summary.steps for complaint in _step(step, limits, used_in)),
        *_mcp("mcp", summary.mcp, limits.mcp.max_error_rate, summary.evidence.mcp_failed),
        *(complaint for program in summary.objectives for complaint in _objectives(program)),
    ]


def _totals(summary: FlowSummary, limits: FlowGovernance) -> Iterator[Complaint]:
    if limits.min_runs is not None and summary.runs < limits.min_runs:
        yield Complaint(f"runs {summary.runs} < min {limits.min_runs}")
    if limits.min_success_rate is not None and summary.success_rate < limits.min_success_rate:
        said = f"success_rate {summary.success_rate:.3f} < min {limits.min_success_rate:.3f}"
        yield Complaint(said, summary.evidence.failed)
    yield from _latency("", summary.avg_latency_ms, limits.max_avg_latency_ms, summary.evidence.slowest)
    seen = {step.name for step in summary.steps}
    if missing := [name for name in limits.required_steps if name not in seen]:
        yield Complaint(f"missing required steps: {', '.join(missing)}")


def _step(step: StepTotals, limits: FlowGovernance, used_in: Mapping[str, tuple[str, ...]]) -> Iterator[Complaint]:
    own = _limits_of(step.name, limits)
    where = f"step {step.name}: "
    rate = step.errors / step.runs if step.runs else 0.0
    if own.max_error_rate is not None and rate > own.max_error_rate:
        yield Complaint(f"{where}error_rate {rate:.3f} > max {own.max_error_rate:.3f}", step.evidence.failed)
    yield from _latency(where, step.avg_latency_ms, own.max_avg_latency_ms, step.evidence.slowest)
    for name in step.models:
        yield from (Complaint(f"{where}{said}", used_in.get(name, ())) for said in _model(name, limits.models))
    yield from _mcp(f"{where}mcp", step.mcp, own.max_mcp_error_rate, step.evidence.mcp_failed)


def _objectives(program: ProgramTotals) -> Iterator[Complaint]:
    """What its runs miss of what it promises; nothing where there are too few of them to tell."""
    for one in program.objectives if program.runs >= program.min_runs else ():
        if one.observed is not None and not is_kept(one.objective, one.observed, one.target):
            sign = "<" if one.observed < one.target else ">"
            what = f"{one.objective} {number(one.observed)} {sign} target {number(one.target)}"
            left = "" if one.error_budget_left is None else f", error budget left {one.error_budget_left:.0%}"
            yield Complaint(f"{program.program}: {what} ({program.runs} runs{left})", one.evidence)


def _limits_of(name: str, limits: FlowGovernance) -> StepLimits:
    """The step's own limits over those of `default`, key by key."""
    default, own = limits.per_step.get(DEFAULT, StepLimits()), limits.per_step.get(name, StepLimits())
    return default.model_copy(update=own.model_dump(exclude_none=True))


def _latency(where: str, observed: float, most: float | None, runs: tuple[str, ...]) -> Iterator[Complaint]:
    if most is not None and observed > most:
        yield Complaint(f"{where}avg_latency_ms {observed:.1f} > max {most:.1f}", runs)


def _model(name: str, limits: ModelLimits) -> Iterator[str]:
    if (glob := _first_match(name, limits.denylist)) is not None:
        yield f"model {name} is on the denylist ({glob})"
    if limits.allowlist and _first_match(name, limits.allowlist) is None:
        yield f"model {name} is not on the allowlist"


def _first_match(name: str, globs: Iterable[str]) -> str | None:
    return next((glob for glob in globs if fnmatchcase(name, glob)), None)


def _mcp(where: str, counts: McpCounts | McpTotals, most: float | None, runs: tuple[str, ...]) -> Iterator[Complaint]:
    rate = counts.errors / counts.calls if counts.calls else 0.0
    if most is not None and rate > most:
        yield Complaint(f"{where} error_rate {rate:.3f} > max {most:.3f}", runs)
