"""What a skill or an agent declares of how often and how long it may be tried: breaker, rate, concurrency."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field, model_validator

from magsag.domain.manifests.base import Duration, Part

_YEAR_SECONDS: Final = 365 * 86_400.0


def _span(seconds: float) -> float:
    if 0.001 <= seconds <= _YEAR_SECONDS:
        return seconds
    raise ValueError("write a duration from 1ms to 365d")


Span = Annotated[Duration, AfterValidator(_span)]
"""a duration that is neither nothing nor for ever, in seconds once read"""


class BreakerRule(Part):
    """When to stop trying, and for how long."""

    failures: int = Field(ge=1, le=100)
    """so many failed calls open it: what ends in `timeout`, `unavailable`, `raised` or `output_contract`, or takes
    longer than `slow`"""
    of: int | None = Field(default=None, ge=1, le=100)
    """among the last so many calls; without it as many as `failures`, so all of them in a row"""
    within: Span = 600.0
    """calls longer ago do not count"""
    open: Span = 30.0
    """how long nothing is tried; then one call at a time, until one works"""
    slow: Span | None = None
    """a call that takes longer counts as failed here, though what it gave is used"""

    @model_validator(mode="after")
    def _can_open(self) -> "BreakerRule":
        if self.of is not None and self.of < self.failures:
            raise ValueError(f"`failures: {self.failures}` of the last {self.of} calls can never be; raise `of`")
        return self

    @property
    def last(self) -> int:
        """How many calls are looked at."""
        return self.of or self.failures


class RateRule(Part):
    """A token bucket: `calls` at once, refilled evenly, `calls` in every `per`."""

    calls: int = Field(ge=1, le=1_000_000)
    """so many calls"""
    per: Span
    """in each such time"""


class ProviderLimits(Part):
    """What is taken of one provider of models, by all aliases bound to it (`[providers.NAME]` in magsag.toml)."""

    breaker: BreakerRule | None = None
    """when no model of it is asked for a while"""
    rate: RateRule | None = None
    """how often its models may be asked"""
    concurrency: int | None = Field(default=None, ge=1, le=1000)
    """so many requests may be under way at once"""
