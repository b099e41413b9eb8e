"""Stores that keep no budget, so that a proof can show that it would notice."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, cast

from magsag.domain.budget import Reserve
from magsag.domain.effects import Level
from magsag.ports.ledger import Declined, Store, Write, Written

_ENDLESS: Final = 1 << 60


class SpendthriftStore:
    """Passes everything on to another store, but takes from budgets without asking what is left."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        return self._store.write([self._unchecked(item) for item in writes], level)

    def _unchecked(self, item: Write) -> Write:
        return replace(item, reserves=[self._endless(one) for one in item.reserves])

    def _endless(self, one: Reserve) -> Reserve:
        return replace(one, budget=replace(one.budget, cap=_ENDLESS))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class LeakyStore(SpendthriftStore):
    """Asks what is left, but forgets to settle what has ended."""

    def _unchecked(self, item: Write) -> Write:
        return replace(item, settles=())


def spendthrift(store: Store) -> Store:
    """The same store, but no reservation is ever refused."""
    return cast(Store, SpendthriftStore(store))


def leaky(store: Store) -> Store:
    """The same store, but nothing that was held back is ever given back."""
    return cast(Store, LeakyStore(store))
