"""A store that breaks a promise on purpose, so that a suite or a proof can show that it would notice."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, cast

from magsag.domain.effects import Level
from magsag.ports.ledger import Declined, Store, Write, Written

INTENTS: Final = frozenset({"StepStarted"})


class ForgetfulStore:
    """Passes everything on to another store, but silently drops facts of some kinds: intents, by default."""

    def __init__(self, store: Store, kinds: frozenset[str] = INTENTS) -> None:
        self._store = store
        self._kinds = kinds

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        return self._store.write([self._without(item) for item in writes], level)

    def _without(self, item: Write) -> Write:
        return replace(item, facts=[fact for fact in item.facts if fact.kind not in self._kinds])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def forgetful(store: Store, kinds: frozenset[str] = INTENTS) -> Store:
    """The same store, but it forgets facts of these kinds."""
    return cast(Store, ForgetfulStore(store, kinds))
