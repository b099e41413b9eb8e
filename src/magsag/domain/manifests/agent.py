"""The agent manifest: a main agent (MAG) or a sub-agent (SAG), and the one program behind it."""

from typing import Literal

from pydantic import Field, model_validator

from magsag.domain.manifests.base import Contracts, Duration, Manifest, Retry, Slug, Version
from magsag.domain.manifests.budget import AgentBudget
from magsag.domain.manifests.slo import Slo
from magsag.domain.manifests.throttling import BreakerRule, RateRule


class Agent(Manifest):
    """`catalog/agents/{main,sub}/<slug>/agent.yaml`."""

    kind: Literal["agent"]
    slug: Slug
    """its name in references: small letters, digits and dashes"""
    version: Version
    """three numbers, e.g. `0.1.0`; several versions may stand side by side in different folders"""
    role: Literal["main", "sub"]
    """`main` agents are started by people and delegate; `sub` agents are delegated to"""
    description: str = ""
    """what it is for, in a sentence or two"""
    entrypoint: str | None = None
    """`file.py:function` beside the manifest; `(payload, ctx)`, async or sync"""
    flow: str | None = None
    """`flow:slug`: the agent's program is that flow"""
    contracts: Contracts = Contracts()
    """what goes in and what comes out"""
    uses: tuple[str, ...] = Field(default=(), strict=False)
    """what its code may call: `agent:`, `flow:`, `skill:` and `model:` references; all else is denied"""
    evaluations: tuple[str, ...] = Field(default=(), strict=False)
    """`eval:` references, applied to its input and output"""
    timeout: Duration | None = None
    """how long a run of it may take, with all its waits: the deadline of the run and of all below it"""
    retry: Retry | None = None
    """how often a delegation to it is tried; how often a start that comes too early for `rate` waits"""
    breaker: BreakerRule | None = None
    """when no run of it begins for a while, because its runs fail; all processes share what is known"""
    rate: RateRule | None = None
    """how often a run of it may begin, by people and by delegations together"""
    slo: Slo | None = None
    """what its runs have to show together, and what follows when they do not"""
    budget: AgentBudget | None = None
    """what one run of it may cost, with all below it"""
    deprecated: str | None = None
    """why not to use it any more, and what instead"""

    @model_validator(mode="after")
    def _one_program(self) -> "Agent":
        if (self.entrypoint is None) == (self.flow is None):
            raise ValueError("an agent has exactly one program: give `entrypoint` or `flow`")
        if self.slo is not None and self.slo.action == "open_breaker" and self.breaker is None:
            raise ValueError("`action: open_breaker` opens the agent's breaker, and it has none: add `breaker`")
        return self
