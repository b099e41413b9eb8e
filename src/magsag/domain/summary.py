"""What finished runs show together: the JSON that `flow summarize` writes and `flow gate` reads.

Readers allow extra keys, so that a newer summary can be judged too; what is there must have its type.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(ge=0, le=1, strict=False)]
Amount = Annotated[float, Field(ge=0, strict=False)]


class Part(BaseModel):
    """A part of a summary."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)


class Tokens(Part):
    """Tokens of models."""

    input: Count
    output: Count
    total: Count


class Errors(Part):
    """Errors, each counted once, where it arose."""

    total: Count
    by_type: dict[str, Count]
    """by the closed list of error types"""


class Evidence(Part):
    """Root runs that bear a figure out, ten of each kind at most."""

    failed: tuple[str, ...] = Field(default=(), strict=False)
    """those that did not succeed; of a step, those in which it failed; the newest first"""
    slowest: tuple[str, ...] = Field(default=(), strict=False)
    """those with the longest steps; of a step, those in which it took longest"""
    mcp_failed: tuple[str, ...] = Field(default=(), strict=False)
    """those in which a call of an MCP tool failed; the newest first"""


class BurnRate(Part):
    """What was used of an error budget over what may be used; left out where nothing ended."""

    long: Amount | None = None
    """over the whole window"""
    short: Amount | None = None
    """over its newest twelfth"""


class ObjectiveTotals(Part):
    """One objective of a program, in its own unit: a share, milliseconds, USD, seconds."""

    objective: str
    target: Amount
    observed: Amount | None = None
    """left out when there was nothing to look at"""
    count: Count
    """how many runs were looked at; of approvals, how many waits"""
    missed: bool
    error_budget_left: Annotated[float, Field(strict=False)] | None = None
    """1 is all of it, 0 none, less than 0 overspent"""
    burn_rate: BurnRate
    evidence: tuple[str, ...] = Field(strict=False)
    """runs, root or child, that used the error budget: the worst first, of a success rate the newest first"""


class ProgramTotals(Part):
    """How a program stands to the objectives of its newest run, as of the newest end of all runs."""

    program: str
    window_seconds: Amount
    action: str
    runs: Count
    """root and child runs that ended in the window"""
    min_runs: Count
    """fewer prove nothing"""
    objectives: tuple[ObjectiveTotals, ...] = Field(strict=False)


class McpTotals(Part):
    """All calls of MCP tools."""

    calls: Count
    errors: Count
    tokens: Tokens
    cost_usd: Amount


class McpCounts(Part):
    """Calls of MCP tools by one step and all below it."""

    calls: Count
    errors: Count


class ModelTotals(Part):
    """All calls of one model."""

    name: str
    """the model that answered; the alias where no answer came"""
    calls: Count
    errors: Count
    tokens: Tokens
    cost_usd: Amount
    runs: tuple[str, ...] = Field(default=(), strict=False)
    """root runs that used it, ten at most, the newest first"""


class StepTotals(Part):
    """One step over all runs."""

    name: str
    """the step's id in its flow; in a Python agent the slug of what it calls"""
    runs: Count
    """how often it succeeded or failed; skipped and cancelled ones do not count"""
    successes: Count
    errors: Count
    success_rate: Rate | None = None
    avg_latency_ms: Amount
    """from its first start to its end, child runs and waits for retries included"""
    mcp: McpCounts
    models: tuple[str, ...] = Field(strict=False)
    """the models that it used, itself or in a child run"""
    error_types: dict[str, Count]
    evidence: Evidence = Evidence()


class FlowSummary(Part):
    """Agent runs and flow runs alike. A run is a root run that has ended; steps are those of its whole tree."""

    runs: Count
    successes: Count
    """runs that ended `succeeded`; a `partial` one is no success"""
    success_rate: Rate
    """0 when there are no runs"""
    avg_latency_ms: Amount
    """mean over all steps that succeeded or failed"""
    errors: Errors
    mcp: McpTotals
    steps: tuple[StepTotals, ...] = Field(strict=False)
    """sorted by name"""
    models: tuple[ModelTotals, ...] = Field(strict=False)
    """sorted by name"""
    evidence: Evidence = Evidence()
    objectives: tuple[ProgramTotals, ...] = Field(default=(), strict=False)
    """of the programs that have any, sorted by name"""
