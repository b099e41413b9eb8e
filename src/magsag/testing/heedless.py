"""A store that forgets what people answered, so that a proof can show that it would notice."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from magsag.domain.effects import Level
from magsag.ports.ledger import Declined, Store, Write, Written


class HeedlessStore:
    """Passes everything on to another store, but changes no ticket once it is open."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        return self._store.write([self._without(item) for item in writes], level)

    def _without(self, item: Write) -> Write:
        return replace(item, tickets=[ticket for ticket in item.tickets if ticket.version == 1])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def heedless(store: Store) -> Store:
    """The same store, but every ticket stays as it was opened."""
    return cast(Store, HeedlessStore(store))
