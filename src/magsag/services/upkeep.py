"""Keeping the ledger in order: what people ask of the store by hand. The store itself does the work."""

from collections.abc import Callable
from typing import Final

from magsag.domain.errors import Invalid
from magsag.domain.ids import RunId
from magsag.domain.sealed import Fault
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store, Vacuumed

_DAY: Final = 86_400_000_000
HOT_DAYS: Final = 7


class Upkeep:
    """The ledger as a thing to look after."""

    def __init__(self, make: Callable[[], Store], store: Callable[[], Store], clock: Clock) -> None:
        """`make` opens the ledger, or makes it; `store` raises Invalid where there is none."""
        self._make = make
        self._store = store
        self._clock = clock

    def open(self) -> dict[str, object]:
        """Open the ledger, make it when there is none, and describe it. Raises StoreBroken."""
        return self._make().describe()

    def check(self) -> list[Fault]:
        """Everything that is wrong with digests, chains, statuses and anchors."""
        return self._store().check()

    def accept(self, by: str) -> dict[RunId, int]:
        """Let runs go on though the anchors hold more of them: these, and up to which fact they hold."""
        return self._store().accept(by)

    def vacuum(self, hot_days: int, dry_run: bool) -> Vacuumed:
        """Remove run trees that ended before the last `hot_days` days, counted from midnight UTC."""
        if hot_days < 0:
            raise Invalid(f"--hot-days {hot_days}: days are counted from 0")
        now = self._clock.now()
        return self._store().vacuum(now - now % _DAY - hot_days * _DAY, dry_run)

    def backup(self, destination: str) -> None:
        """Write a consistent copy while others go on. Raises Invalid when the destination exists."""
        self._store().backup(destination)
