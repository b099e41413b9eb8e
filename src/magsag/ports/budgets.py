"""Where budgets stand. They change in `Ledger.write` alone, with the intents and outcomes that say why.

A reservation of a `Write` is decided in the statement that writes its facts: all of its budgets, or none, and then the
write is declined with the `Shortfall`. Its behaviour: `magsag.testing.budgets_suite`.
"""

from collections.abc import Sequence
from typing import Protocol

from magsag.domain.budget import BudgetRow, Cap, Reservation
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId


@frozen
class KeptBudget:
    """A budget as it stands."""

    row: BudgetRow


@frozen
class KeptReservation:
    """What a begun step holds back."""

    reservation: Reservation


@frozen
class KeptCap:
    """A limit that somebody set, in force or not."""

    cap: Cap


BudgetPiece = KeptBudget | KeptReservation | KeptCap


class Budgets(Protocol):
    """The read side, and the caps that people set."""

    def budgets(self, runs: Sequence[RunId] = ()) -> list[BudgetRow]:
        """Budgets that were ever used, by id: those that runs share, and those of these runs."""

    def reservations(self) -> list[Reservation]:
        """What begun steps hold back, by run, step and budget."""

    def caps(self) -> list[Cap]:
        """Every limit that was ever set, the oldest first."""

    def newest_caps(self) -> list[Cap]:
        """Of each scope and unit the one that was set last, the oldest first."""

    def set_cap(self, cap: Cap) -> bool:
        """Put the next one on record, synced; False when another was set meanwhile, and `n` is no longer the next."""
