"""Effect kinds: what repeating an act would do, and what that asks of the ledger."""

from enum import IntEnum, StrEnum
from typing import Final


class Effect(StrEnum):
    """What repeating an act would do. `delegate` and `wait` are the engine's own; nobody declares them."""

    PURE = "pure"
    READ = "read"
    IDEMPOTENT = "idempotent"
    TRANSACTIONAL = "transactional"
    RECONCILABLE = "reconcilable"
    UNREPEATABLE = "unrepeatable"
    DELEGATE = "delegate"
    WAIT = "wait"


DECLARABLE: Final = (
    Effect.PURE,
    Effect.READ,
    Effect.IDEMPOTENT,
    Effect.TRANSACTIONAL,
    Effect.RECONCILABLE,
    Effect.UNREPEATABLE,
)
EFFECTFUL: Final = frozenset(DECLARABLE) - {Effect.PURE, Effect.READ}
"""The four kinds that change something outside: their intent is synced before the act."""


class Level(IntEnum):
    """How far a fact must have gone before the run goes on."""

    KEPT = 0
    """in this process's memory"""
    WRITTEN = 1
    """committed: survives `kill -9`, seen by other processes"""
    SYNCED = 2
    """on the disk: survives power loss"""
