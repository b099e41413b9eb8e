"""What manifests limit: breaker, rate and concurrency, and by which name all who call it share them."""

from magsag.domain.manifests import Agent, Manifest, Skill
from magsag.domain.manifests.throttling import ProviderLimits
from magsag.policy.throttle import Declared, Limits, declared


def limits_of(manifest: Manifest) -> Declared | None:
    """None for what limits nothing. All versions of a skill or an agent share one name: they call the same thing."""
    if isinstance(manifest, Skill):
        return declared(f"skill:{manifest.slug}", Limits(manifest.breaker, manifest.rate, manifest.concurrency))
    if isinstance(manifest, Agent):
        return declared(f"agent:{manifest.slug}", Limits(manifest.breaker, manifest.rate))
    return None


def limits_of_provider(name: str, limits: ProviderLimits | None) -> Declared | None:
    """All models of a provider share one name."""
    if limits is None:
        return None
    return declared(f"provider:{name}", Limits(limits.breaker, limits.rate, limits.concurrency))
