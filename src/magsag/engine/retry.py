"""Whether and when a failed attempt is tried again. A decision is a value; chance is handed in."""

from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType
from magsag.domain.manifests.base import Retry

REPEATABLE = frozenset(
    {Effect.PURE, Effect.READ, Effect.IDEMPOTENT, Effect.TRANSACTIONAL, Effect.DELEGATE, Effect.WAIT}
)
"""kinds that may act again even if the attempt that failed did act"""
DID_NOT_ACT = frozenset({ErrorType.RATE_LIMIT, ErrorType.UNAVAILABLE})
"""errors by which a skill says that nothing happened; any other one leaves that open"""


def retry_delay(
    retry: Retry, effect: Effect, type: ErrorType, attempt: int, asked_seconds: float | None, chance: float
) -> float | None:
    """Seconds to wait before the next attempt, or None when there is none.

    `attempt` counts the attempts so far; `asked_seconds` is what the other side asked for (Retry-After);
    `chance` in [0, 1) spreads callers: full jitter over the upper half of an exponential backoff.
    """
    if attempt >= retry.attempts or type not in retry.on:
        return None
    if effect not in REPEATABLE and type not in DID_NOT_ACT:
        return None
    delay: float = min(retry.max_backoff, retry.backoff * 2 ** (attempt - 1))
    return max(asked_seconds or 0.0, delay * (0.5 + chance / 2))


def leaves_doubt(effect: Effect, type: ErrorType) -> bool:
    """Whether nobody can tell if the attempt acted: it ran out of time and may not be repeated."""
    return type is ErrorType.TIMEOUT and effect not in REPEATABLE
