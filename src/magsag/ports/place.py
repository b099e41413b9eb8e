"""Where acts are performed. The gate judges, records intent and outcome; a place performs, here or elsewhere."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from magsag.domain.facts import Proposal
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId


@frozen
class ActCall:
    """One act that the gate has let through, or the lookup of one that may have happened."""

    run: RunId
    step: StepId
    attempt: int
    proposal: Proposal
    """what is called, with the effect that it has for this input"""
    key: str
    """the idempotency key"""
    input: Any
    is_lookup: bool = False


class Place(Protocol):
    """Performs acts."""

    def act(self, call: ActCall, here: Callable[[], Awaitable[object]]) -> Coroutine[Any, Any, object]:
        """Perform one act; `here` does it in this process. Gives and raises what the act does."""
