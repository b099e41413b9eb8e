"""The policy manifest: rules for the gate, and what finished runs must show (`flow gate`)."""

from typing import Annotated, Final, Literal

from pydantic import Field

from magsag.domain.approval import DEFAULT_TTL_SECONDS, OnExpire
from magsag.domain.facts import Decision
from magsag.domain.manifests.base import Duration, Expression, Manifest, Part
from magsag.domain.manifests.people import PersonId, Role


class Approval(Part):
    """What a rule that asks wants before the act may start."""

    quorum: int = Field(default=1, ge=1, le=100)
    """so many people must approve, each counted once; one who denies is enough to deny"""
    roles: tuple[Role, ...] = Field(default=(), strict=False)
    """who may decide: people of `people.yaml` with any of these roles"""
    people: tuple[PersonId, ...] = Field(default=(), strict=False)
    """who else may decide, by name; with neither roles nor people everybody in `people.yaml` may"""
    ttl: Duration = DEFAULT_TTL_SECONDS
    """how long the ticket waits"""
    on_expire: OnExpire = Field(default=OnExpire.DENY, strict=False)
    """what then: `deny` the step; `fail` it with a time-out; `escalate`: others may decide too, for as long again"""
    escalate_to: tuple[Role, ...] = Field(default=(), strict=False)
    """with `on_expire: escalate`: the roles that may decide then; nobody does: the step is denied"""


_CLOCK: Final = r"^([01]\d|2[0-3]):[0-5]\d$"


Targets = tuple[str, ...]
Stricter = Literal[Decision.ASK, Decision.DENY]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Rule(Part):
    """One rule. Deny over ask over allow, whatever the order in the file."""

    id: str = Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=100)
    """its name in verdicts; one id, one rule, over all policies"""
    on: Targets = Field(min_length=1, strict=False)
    """references, e.g. `skill:send-offer`, with a range for those versions only; `*` stands for any text, as in
    `tool:*/delete_*`, and has to be written to be meant"""
    by: Targets = Field(default=(), strict=False)
    """programs that it holds for, e.g. `agent:*-sag`; without it all. What it asks about or denies, it does below them
    too: in all that they delegate"""
    when: Annotated[Expression, Field(max_length=4000)] | None = None
    """CEL over `args`, `agent`, `effect`, `target`, `labels`, `run`, `env`, `mode`, `time`, `window`; without it the
    rule always applies"""
    verdict: Decision = Field(strict=False)
    """`allow`, `ask` or `deny`"""
    reason: str = ""
    """why, for those who are asked or refused"""
    approval: Approval | None = None
    """with the verdict `ask`: who has to approve, and how soon"""


class Hours(Part):
    """A time window: hours on days of the week. Conditions read it as `window.NAME`."""

    days: tuple[Day, ...] = Field(default=("mon", "tue", "wed", "thu", "fri", "sat", "sun"), min_length=1, strict=False)
    """on which days; the night after a day belongs to that day"""
    begins: str = Field(alias="from", default="00:00", pattern=_CLOCK)
    """`HH:MM`: its first minute"""
    ends: str = Field(alias="to", default="00:00", pattern=_CLOCK)
    """`HH:MM`: the first minute after it; before `from` it means the next day, 00:00 is the end of the day"""
    zone: str = "UTC"
    """whose clock, e.g. `Europe/Berlin`"""


class Environment(Part):
    """What holds in one environment besides the rules. It can tighten, never loosen."""

    tighten: dict[str, Stricter] = Field(min_length=1)
    """reference or glob -> `ask` or `deny`: at least that, whatever the rules allow"""


class AgentBlock(Part):
    """What holds for some agents besides the rules. It can tighten, never loosen."""

    only: Targets | None = Field(default=None, strict=False)
    """references or globs: all that these agents may call themselves; anything else is denied"""
    tighten: dict[str, Stricter] = Field(default_factory=dict)
    """reference or glob -> `ask` or `deny`: at least that, whatever the rules allow, also in all that they delegate"""


class StepLimits(Part):
    """What one step may show over all runs."""

    max_error_rate: float | None = Field(default=None, ge=0, le=1)
    """share of its starts that failed"""
    max_avg_latency_ms: float | None = Field(default=None, ge=0)
    """mean time of a start"""
    max_mcp_error_rate: float | None = Field(default=None, ge=0, le=1)
    """share of its tool calls that failed"""


class McpLimits(Part):
    """What tool calls may show over all runs."""

    max_error_rate: float | None = Field(default=None, ge=0, le=1)
    """share of tool calls that failed"""


class ModelLimits(Part):
    """Which models may have been asked; names with `*` as a wildcard."""

    denylist: tuple[str, ...] = Field(default=(), strict=False)
    """none of these"""
    allowlist: tuple[str, ...] = Field(default=(), strict=False)
    """when it names any, only these"""


class FlowGovernance(Part):
    """What a summary of finished runs must show; every limit is optional."""

    min_runs: int | None = Field(default=None, ge=0)
    """fewer runs prove nothing"""
    min_success_rate: float | None = Field(default=None, ge=0, le=1)
    """share of runs that succeeded"""
    max_avg_latency_ms: float | None = Field(default=None, ge=0)
    """mean time of a step"""
    required_steps: tuple[str, ...] = Field(default=(), strict=False)
    """names that must occur among the steps"""
    per_step: dict[str, StepLimits] = Field(default_factory=dict)
    """by step name; `default` holds for all, key by key, unless the step says otherwise"""
    mcp: McpLimits = McpLimits()
    """limits for tool calls"""
    models: ModelLimits = ModelLimits()
    """limits for models"""


class Policy(Manifest):
    """`catalog/policies/*.yaml`."""

    kind: Literal["policy"]
    rules: tuple[Rule, ...] = Field(default=(), strict=False)
    """what the gate asks of every act"""
    windows: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Hours] = Field(default_factory=dict)
    """hours by name; one name, one window, over all policies"""
    environments: dict[str, Environment] = Field(default_factory=dict)
    """what is stricter in one environment (`--env`)"""
    agents: dict[str, AgentBlock] = Field(default_factory=dict)
    """what is stricter for some agents, by reference or glob"""
    flow_governance: FlowGovernance | None = None
    """what `magsag flow gate` asks of finished runs"""
    deprecated: str | None = None
    """why not to use it any more, and what instead"""
