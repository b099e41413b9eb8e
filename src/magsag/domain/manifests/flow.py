"""The flow manifest: a graph of steps, as data."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from magsag.domain.effects import Effect
from magsag.domain.manifests.base import Contracts, Duration, Expression, Manifest, Part, Retry, Slug, Version
from magsag.domain.manifests.budget import Cost
from magsag.domain.manifests.isolation import Isolation, Resources, VariableName
from magsag.domain.manifests.skill import DeclaredEffect
from magsag.domain.manifests.slo import Slo


class Fallback(Part):
    """`on_error: {fallback: ID}`: that step runs in the failed one's place."""

    fallback: str
    """id of a step of the same level"""


class Loop(Part):
    """Runs the inner steps round by round."""

    max_rounds: int = Field(ge=1, le=1000)
    """the bound; there is no loop without one"""
    until: Expression
    """CEL; after a round that makes it true the loop ends"""


OnError = Literal["fail", "retry", "skip", "collect"] | Fallback


class FlowStep(Part):
    """One step: exactly one of `uses`, `run` or `loop`."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)
    """its name in `steps.ID`, `needs` and fallbacks; no word of CEL"""
    uses: str | None = None
    """`skill:`, `agent:` or `flow:` reference"""
    run: tuple[str, ...] | None = Field(default=None, strict=False)
    """an argument list, started without a shell; a value that starts with `=` is CEL"""
    loop: Loop | None = None
    """repeats the inner `steps` round by round, up to a bound"""
    steps: tuple["FlowStep", ...] | None = Field(default=None, strict=False)
    """the inner steps of a loop"""
    effect: DeclaredEffect | None = None
    """of a `run` step, which must declare it; of skill:http-request, when the server honours the idempotency key"""
    with_: dict[str, Any] | str | None = Field(default=None, alias="with")
    """the input; values that start with `=` are CEL. Without it: `item` under `for_each`, else the flow's input"""
    when: Expression | None = None
    """CEL; false skips the step"""
    for_each: Expression | None = None
    """CEL; a list: the step runs once per `item`, its output is `{results, errors}`"""
    concurrency: int | None = Field(default=None, ge=1, le=10000)
    """how many items at once, with `for_each`; 10 when left out"""
    needs: tuple[str, ...] = Field(default=(), strict=False)
    """steps to wait for besides those that it reads"""
    on_error: OnError = "fail"
    """what a failure does: `fail` the flow, `retry`, `skip` the step, `collect` item errors, or `{fallback: ID}`"""
    isolation: Annotated[Isolation, Field(strict=False)] | None = None
    """of a `run` step: `sandbox` when left out, only the workspace and no network; `process`, with limits and few
    variables; `in_process`, as whoever drives the run would start it"""
    network: bool = False
    """of a `run` step in a sandbox: it may reach the network"""
    resources: Resources | None = None
    """what a `run` step may use up"""
    environment: tuple[VariableName, ...] = Field(default=(), strict=False)
    """variables that a `run` step is handed beside PATH, HOME, TZ and the language"""
    timeout: Duration | None = None
    """how long one attempt may take"""
    retry: Retry | None = None
    """how often it is tried, and after which errors"""
    cost: Cost | None = None
    """of a `run` step, and of skill:http-request: the most that one attempt can cost; `{}` for nothing"""

    @model_validator(mode="after")
    def _one_act(self) -> "FlowStep":
        if sum(given is not None for given in (self.uses, self.run, self.loop)) != 1:
            raise ValueError("a step has exactly one of `uses`, `run` and `loop`")
        if (self.loop is None) != (self.steps is None):
            raise ValueError("`loop` and its inner `steps` go together")
        if self.run is not None and self.effect is None:
            raise ValueError("a shell step must declare its `effect`: " + ", ".join(_NAMES))
        if self.effect in (Effect.TRANSACTIONAL, Effect.RECONCILABLE):
            raise ValueError(f"a step cannot be {self.effect}: nobody can ask or undo it; write unrepeatable")
        if self.run is None and self.effect is not None and not is_request(self.uses):
            raise ValueError("`effect` belongs to `run` steps and to skill:http-request; a skill declares its own")
        if self.run is not None and self.with_ is not None:
            raise ValueError("a shell step takes no `with`: put values into `run`")
        self._apart_only_programs()
        if self.run is None and self.cost is not None and not is_request(self.uses):
            raise ValueError("`cost` belongs to `run` steps and to skill:http-request; a skill declares its own")
        if self.on_error == "collect" and self.for_each is None:
            raise ValueError("`on_error: collect` belongs to a step with `for_each`")
        if self.on_error == "retry" and self.retry is None:
            raise ValueError("`on_error: retry` needs `retry: {attempts: ...}`")
        if self.concurrency is not None and self.for_each is None:
            raise ValueError("`concurrency` belongs to a step with `for_each`")
        return self

    def _apart_only_programs(self) -> None:
        given = self.model_fields_set & {"isolation", "network", "resources", "environment"}
        if given and self.run is None:
            raise ValueError(f"`{min(given)}` belongs to `run` steps: a skill declares its own")
        if self.isolation is Isolation.IN_PROCESS and given - {"isolation"}:
            raise ValueError(f"`{min(given - {'isolation'})}` is for a process of its own: `isolation: process`")
        if self.network and self.isolation is Isolation.PROCESS:
            raise ValueError("`network` is for `isolation: sandbox`: nothing else keeps a program off it")


def is_request(uses: str | None) -> bool:
    """The one skill of which a step may know more: what a server does with a key, and what it costs, is not the skill's
    to say."""
    return uses is not None and uses.partition("@")[0] in ("skill:http-request", "magsag://skill.http-request")


_NAMES = tuple(effect.value for effect in Effect if effect not in (Effect.DELEGATE, Effect.WAIT))


class Flow(Manifest):
    """`catalog/flows/<slug>.yaml`."""

    kind: Literal["flow"]
    slug: Slug
    """its name in references: small letters, digits and dashes"""
    version: Version
    """three numbers, e.g. `0.1.0`; several versions may stand side by side in different folders"""
    description: str = ""
    """what it is for, in a sentence or two"""
    contracts: Contracts = Contracts()
    """what goes in and what comes out"""
    steps: tuple[FlowStep, ...] = Field(min_length=1, strict=False)
    """each starts when what it reads and `needs` is there"""
    output: Expression | None = None
    """CEL over `input` and `steps`; without it the outputs of all steps by id"""
    slo: Slo | None = None
    """what its runs have to show together, and what follows when they do not"""
    deprecated: str | None = None
    """why not to use it any more, and what instead"""

    @model_validator(mode="after")
    def _no_breaker(self) -> "Flow":
        if self.slo is not None and self.slo.action == "open_breaker":
            raise ValueError("`action: open_breaker` needs a breaker, and flows have none: write block, or ask")
        return self
