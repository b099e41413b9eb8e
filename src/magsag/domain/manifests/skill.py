"""The skill manifest: a packaged capability with a declared effect kind."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType
from magsag.domain.manifests.base import Contracts, Duration, Manifest, Retry, Slug, Version
from magsag.domain.manifests.budget import Cost
from magsag.domain.manifests.isolation import Isolation, Resources, VariableName
from magsag.domain.manifests.throttling import BreakerRule, RateRule
from magsag.domain.secret import reference_of

DeclaredEffect = Literal[
    Effect.PURE,
    Effect.READ,
    Effect.IDEMPOTENT,
    Effect.TRANSACTIONAL,
    Effect.RECONCILABLE,
    Effect.UNREPEATABLE,
]

Capability = Literal["filesystem", "network", "shell", "workspace"]


def _is_reference(value: Any) -> Any:
    reference_of(value if isinstance(value, str) else "")
    return value


SecretName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$", max_length=100)]
SecretPlace = Annotated[
    str,
    BeforeValidator(_is_reference),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:[^?]+|keyring:[^/]+/[^?]+)\??$",
            "examples": ["env:MAIL_TOKEN", "file:secrets/mail-token", "keyring:mail/token", "env:MAIL_TOKEN?"],
        }
    ),
]
"""where a secret is found, never the secret itself"""
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=100)]
RepeatedEffect = Literal[Effect.PURE, Effect.READ, Effect.IDEMPOTENT, Effect.UNREPEATABLE]
"""kinds that need nothing else declared"""


_SAID_BY_THE_ACT = frozenset({ErrorType.TIMEOUT, ErrorType.RATE_LIMIT, ErrorType.UNAVAILABLE, ErrorType.RAISED})


class Skill(Manifest):
    """`catalog/skills/<slug>/skill.yaml`."""

    kind: Literal["skill"]
    slug: Slug
    """its name in references: small letters, digits and dashes"""
    version: Version
    """three numbers, e.g. `0.1.0`; several versions may stand side by side in different folders"""
    description: str = ""
    """what it is for, in a sentence or two"""
    entrypoint: str
    """`file.py:function` beside the manifest; `(payload)` or `(payload, ctx)`, async or sync"""
    effect: DeclaredEffect
    """what repeating it would do; there is no default"""
    effect_by: dict[str, dict[str, RepeatedEffect]] | None = Field(default=None, max_length=1, min_length=1)
    """the effect of some inputs, by the value of one field: `{method: {GET: read, PUT: idempotent}}`; all others have
    `effect`"""
    lookup: str | None = None
    """of a `reconcilable` skill, which must have one: `file.py:function` beside the manifest, `(payload)` or
    `(payload, ctx)`, asked after a crash whether the act happened; `{found: true, output: ...}` or `{found: false}`"""
    capabilities: tuple[Capability, ...] = Field(default=(), strict=False)
    """what it reaches for: `filesystem` (files outside the run), `network`, `shell` (other programs), `workspace` (it
    changes the project's files); modes and policies judge by them"""
    risk: Literal["low", "medium", "high"] | None = None
    """how bad a mistake would be; policies see `unknown` without it"""
    categories: tuple[Word, ...] = Field(default=(), strict=False)
    """words of your own for policies, e.g. `destructive`"""
    secrets: dict[SecretName, SecretPlace] = Field(default_factory=dict)
    """what it must know and nobody may read: name -> where it is found, `env:NAME`, `file:PATH` (from the project's
    folder) or `keyring:SERVICE/NAME`, with a `?` behind it when it may be missing; read when an act starts, and handed
    to it by `ctx.secret(NAME)`"""
    isolation: Annotated[Isolation, Field(strict=False)] = Isolation.IN_PROCESS
    """where it acts: `in_process`, in a `process` of its own, or in a `sandbox`: only the workspace, no network without
    the capability `network`"""
    resources: Resources = Resources()
    """what it may use up in a process of its own"""
    environment: tuple[VariableName, ...] = Field(default=(), strict=False)
    """variables that a process of its own is handed beside PATH, HOME, TZ and the language"""
    contracts: Contracts = Contracts()
    """what goes in and what comes out"""
    timeout: Duration | None = None
    """how long one attempt may take"""
    retry: Retry | None = None
    """how often it is tried, and after which errors"""
    breaker: BreakerRule | None = None
    """when it is not tried for a while, because it does not work; all processes share what is known"""
    rate: RateRule | None = None
    """how often it may be called, by all runs together"""
    concurrency: int | None = Field(default=None, ge=1, le=1000)
    """so many calls of it may be under way at once, in all runs together"""
    cost: Cost | None = None
    """the most that one attempt can cost; `{}` for nothing. Without it only a `pure` skill runs under a budget of money
    or tokens"""
    deprecated: str | None = None
    """why not to use it any more, and what instead"""

    @model_validator(mode="after")
    def _apart_only_what_can_be(self) -> "Skill":
        if self.isolation is Isolation.IN_PROCESS:
            if idle := {"resources", "environment"} & self.model_fields_set:
                raise ValueError(f"`{min(idle)}` is for a process of its own: add `isolation: process` or `sandbox`")
        elif self.effect is Effect.TRANSACTIONAL:
            raise ValueError(
                "a transactional skill puts records into the store, which no other process reaches: "
                "write `isolation: in_process`"
            )
        return self

    @model_validator(mode="after")
    def _retries_what_may_be_tried_again(self) -> "Skill":
        """What `retry.on` names is tried again, or it may not be named."""
        if self.retry is None:
            return self
        once = self.effect in (Effect.RECONCILABLE, Effect.UNREPEATABLE)
        useful = _SAID_BY_THE_ACT - ({ErrorType.RAISED} if once else set())
        if idle := [type.value for type in self.retry.on if type not in useful]:
            why = (
                f"an attempt of a skill that is {self.effect.value} may have acted"
                if once
                else "trying again cannot help"
            )
            raise ValueError(f"`retry.on` names {idle[0]}, which is never tried again here: {why}; take it out")
        return self
