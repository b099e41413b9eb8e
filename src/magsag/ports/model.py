"""A model API, as the gate sees it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from magsag.domain.frozen import frozen
from magsag.domain.price import Price
from magsag.policy.throttle import Declared


@frozen
class ModelReply:
    """One completed answer."""

    text: str
    model: str
    provider: str
    input_tokens: int
    output_tokens: int


class ModelProvider(Protocol):
    """Answers requests. Raises Retryable(rate_limit | unavailable | timeout), StepFailed for the rest."""

    @property
    def name(self) -> str:
        """The provider's name, as it stands in every output, e.g. `scripted`."""

    async def complete(self, model: str, request: Mapping[str, Any]) -> ModelReply:
        """Answer `{messages: [{role, content}], ...}` with the given model."""


class BoundModel(NamedTuple):
    """What an alias stands for."""

    provider: ModelProvider
    model: str
    priced: Callable[[], Price | None] = lambda: None
    """the price of its tokens on this day; None when nobody has said"""
    throttled: Declared | None = None
    """breaker, rate and concurrency of the provider, which all its models share"""
