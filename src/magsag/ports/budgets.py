"""Where budgets stand. They change in `Ledger.write` alone, with the intents and outcomes that say why.

A reservation of a `Write` is decided in the statement that writes its facts: all of its budgets, or none, and then the
write is declined with the `Shortfall`. Its behaviour: `magsag.testing.budgets_suite`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from magsag.domain.budget import BudgetRow, Cap, Reservation
from magsag.domain.ids import RunId


@dataclass(frozen=True, slots=True)
class KeptBudget:
    """A budget as it stands."""

    row: BudgetRow


@dataclass(frozen=True, slots=True)
class KeptReservation:
    """What a begun step holds back."""

    reservation: Reservation


@dataclass(frozen=True, slots=True)
class KeptCap:
    """A limit that somebody set, in force or not."""

    cap: Cap


BudgetPiece = KeptBudget | KeptReservation | KeptCap


class Budgets(Protocol):
    """The read side, and the caps that people set."""

    def budgets(self, runs: Sequence[RunId] | None = None) -> list[BudgetRow]:
        """All budgets by id, with the caps in force; with `runs` only those of these runs."""

    def reservations(self) -> list[Reservation]:
        """What begun steps hold back, by run, step and budget."""

    def caps(self) -> list[Cap]:
        """Every limit that was ever set, the oldest first."""

    def set_cap(self, cap: Cap) -> bool:
        """Put the next one on record, synced; False when another was set meanwhile, and `n` is no longer the next."""
