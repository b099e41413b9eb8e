"""`flow gate`: what a summary of finished runs must show. Pure: a summary and the limits in, complaints out.

The order of the complaints is fixed: runs, success rate, latency, required steps, each step, MCP over all.
Every model of a step is held against the lists, and a limit of `default` holds for each key that the step's own
entry leaves open.
"""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from magsag.domain.manifests.policy import FlowGovernance, ModelLimits, StepLimits
from magsag.domain.summary import FlowSummary, McpCounts, McpTotals, StepTotals

DEFAULT = "default"


def complaints(summary: FlowSummary, limits: FlowGovernance) -> list[str]:
    """What the summary does not keep; empty when it passes."""
    return [
        *_totals(summary, limits),
        *(complaint for step in summary.steps for complaint in _step(step, limits)),
        *_mcp("mcp", summary.mcp, limits.mcp.max_error_rate),
    ]


def _totals(summary: FlowSummary, limits: FlowGovernance) -> Iterator[str]:
    if limits.min_runs is not None and summary.runs < limits.min_runs:
        yield f"runs {summary.runs} < min {limits.min_runs}"
    if limits.min_success_rate is not None and summary.success_rate < limits.min_success_rate:
        yield f"success_rate {summary.success_rate:.3f} < min {limits.min_success_rate:.3f}"
    yield from _latency("", summary.avg_latency_ms, limits.max_avg_latency_ms)
    seen = {step.name for step in summary.steps}
    if missing := [name for name in limits.required_steps if name not in seen]:
        yield f"missing required steps: {', '.join(missing)}"


def _step(step: StepTotals, limits: FlowGovernance) -> Iterator[str]:
    own = _limits_of(step.name, limits)
    where = f"step {step.name}: "
    rate = step.errors / step.runs if step.runs else 0.0
    if own.max_error_rate is not None and rate > own.max_error_rate:
        yield f"{where}error_rate {rate:.3f} > max {own.max_error_rate:.3f}"
    yield from _latency(where, step.avg_latency_ms, own.max_avg_latency_ms)
    yield from (f"{where}{complaint}" for complaint in _models(step.models, limits.models))
    yield from _mcp(f"{where}mcp", step.mcp, own.max_mcp_error_rate)


def _limits_of(name: str, limits: FlowGovernance) -> StepLimits:
    """The step's own limits over those of `default`, key by key."""
    default, own = limits.per_step.get(DEFAULT, StepLimits()), limits.per_step.get(name, StepLimits())
    return default.model_copy(update=own.model_dump(exclude_none=True))


def _latency(where: str, observed: float, most: float | None) -> Iterator[str]:
    if most is not None and observed > most:
        yield f"{where}avg_latency_ms {observed:.1f} > max {most:.1f}"


def _models(names: Iterable[str], limits: ModelLimits) -> Iterator[str]:
    for name in names:
        if (glob := _first_match(name, limits.denylist)) is not None:
            yield f"model {name} is on the denylist ({glob})"
        if limits.allowlist and _first_match(name, limits.allowlist) is None:
            yield f"model {name} is not on the allowlist"


def _first_match(name: str, globs: Iterable[str]) -> str | None:
    return next((glob for glob in globs if fnmatchcase(name, glob)), None)


def _mcp(where: str, counts: McpCounts | McpTotals, most: float | None) -> Iterator[str]:
    rate = counts.errors / counts.calls if counts.calls else 0.0
    if most is not None and rate > most:
        yield f"{where} error_rate {rate:.3f} > max {most:.3f}"
