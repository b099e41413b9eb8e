"""A model API, as the gate sees it."""

from collections.abc import Mapping
from typing import Any, Protocol

from magsag.domain.frozen import frozen


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
