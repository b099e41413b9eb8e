"""The skill manifest: a packaged capability with a declared effect kind."""

from typing import Literal

from magsag.domain.effects import Effect
from magsag.domain.manifests.base import Contracts, Duration, Manifest, Retry, Slug, Version

DeclaredEffect = Literal[
    Effect.PURE,
    Effect.READ,
    Effect.IDEMPOTENT,
    Effect.TRANSACTIONAL,
    Effect.RECONCILABLE,
    Effect.UNREPEATABLE,
]


class Skill(Manifest):
    """`catalog/skills/<slug>/skill.yaml`."""

    kind: Literal["skill"]
    slug: Slug
    version: Version
    description: str = ""
    entrypoint: str
    """`file.py:function` beside the manifest; `(payload)` or `(payload, ctx)`, async or sync"""
    effect: DeclaredEffect
    """what repeating it would do; there is no default"""
    contracts: Contracts = Contracts()
    timeout: Duration | None = None
    retry: Retry | None = None
    deprecated: str | None = None
