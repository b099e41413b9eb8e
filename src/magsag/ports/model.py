"""A model API, as the gate sees it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
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
