"""The policy manifest: rules for the gate, and what finished runs must show (`flow gate`)."""

from typing import Literal

from pydantic import Field

from magsag.domain.facts import Decision
from magsag.domain.manifests.base import Expression, Manifest, Part


class Rule(Part):
    """One rule. Deny over ask over allow, whatever the order in the file."""

    id: str = Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=100)
    on: tuple[str, ...] = Field(min_length=1, strict=False)
    """exact references, e.g. `skill:send-offer`; with a range it holds for those versions only"""
    when: Expression | None = None
    """CEL over `args`, `agent`, `effect`, `run`, `env`, `mode`, `time`; without it the rule always applies"""
    verdict: Decision = Field(strict=False)
    reason: str = ""


class StepLimits(Part):
    """What one step may show over all runs."""

    max_error_rate: float | None = Field(default=None, ge=0, le=1, strict=False)
    max_avg_latency_ms: float | None = Field(default=None, ge=0, strict=False)
    max_mcp_error_rate: float | None = Field(default=None, ge=0, le=1, strict=False)


class McpLimits(Part):
    max_error_rate: float | None = Field(default=None, ge=0, le=1, strict=False)


class ModelLimits(Part):
    denylist: tuple[str, ...] = Field(default=(), strict=False)
    allowlist: tuple[str, ...] = Field(default=(), strict=False)


class FlowGovernance(Part):
    """What a summary of finished runs must show; every limit is optional."""

    min_runs: int | None = Field(default=None, ge=0)
    min_success_rate: float | None = Field(default=None, ge=0, le=1, strict=False)
    max_avg_latency_ms: float | None = Field(default=None, ge=0, strict=False)
    required_steps: tuple[str, ...] = Field(default=(), strict=False)
    per_step: dict[str, StepLimits] = Field(default_factory=dict)
    """by step name; `default` holds for all, key by key, unless the step says otherwise"""
    mcp: McpLimits = McpLimits()
    models: ModelLimits = ModelLimits()


class Policy(Manifest):
    """`catalog/policies/*.yaml`."""

    kind: Literal["policy"]
    rules: tuple[Rule, ...] = Field(default=(), strict=False)
    flow_governance: FlowGovernance | None = None
    deprecated: str | None = None
