"""`slo`: what the runs of an agent or a flow have to show together, and what follows when they do not."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from magsag.domain.manifests.base import Duration, Part

Millis = Annotated[float, Field(gt=0, strict=False)]
Action = Literal["warn", "ask", "block", "open_breaker"]


class Slo(Part):
    """Objectives over the newest runs: at least one, each over the same window."""

    success_rate: float | None = Field(default=None, gt=0, lt=1)
    """share of ended runs that have to succeed; a partial one did not"""
    p50_ms: Millis | None = None
    """half of the successful runs take at most so long; waiting for people does not count"""
    p95_ms: Millis | None = None
    """95 of 100 successful runs take at most so long; waiting for people does not count"""
    p99_ms: Millis | None = None
    """99 of 100 successful runs take at most so long; waiting for people does not count"""
    cost_per_run_usd: Annotated[float, Field(gt=0, strict=False)] | None = None
    """what an ended run may cost on average, with all child runs of its tree"""
    approval_wait_p95: Duration | None = None
    """95 of 100 approvals are waited for at most so long"""
    window: Duration = 604800.0
    """runs that ended in so much time until now count; 7d when left out"""
    min_runs: int = Field(default=10, ge=1)
    """fewer ended runs in the window prove nothing"""
    action: Action = "warn"
    """what a missed objective does to new runs: `warn` says so, `ask` wants an approval, `block` refuses them,
    `open_breaker` opens the agent's breaker, which lets one through now and then"""

    @model_validator(mode="after")
    def _some_objective(self) -> "Slo":
        if all(getattr(self, name) is None for name in OBJECTIVES):
            raise ValueError("`slo` names no objective: write one of " + ", ".join(OBJECTIVES))
        if self.window <= 0:
            raise ValueError("`window` is nothing: write how far back runs count, e.g. 7d")
        return self


OBJECTIVES = ("success_rate", "p50_ms", "p95_ms", "p99_ms", "cost_per_run_usd", "approval_wait_p95")
"""the keys that are objectives, in the order in which they are told"""
