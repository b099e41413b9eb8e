"""How a whole ledger moves into another store, piece by piece."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from magsag.domain.closure import Closure
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.domain.sealed import Stored
from magsag.ports.budgets import BudgetPiece
from magsag.ports.rows import (
    Record,
    RunRow,
    TicketRow,
)
from magsag.ports.standing_approvals import KeptStanding


@frozen
class AnchorLines:
    """Whole lines of the chain of anchors, as they stand."""

    data: bytes


@frozen
class KeptBundle:
    """A frozen catalog."""

    hash: str
    body: bytes


@frozen
class KeptRun:
    """A run with all its facts."""

    row: RunRow
    facts: Sequence[Stored]


@frozen
class KeptBlob:
    """A large value of a tree."""

    root: RunId
    id: str
    body: bytes


@frozen
class KeptRecord:
    """The last value of a key, and the run that put it."""

    record: Record
    run: RunId


@frozen
class KeptTicket:
    """A ticket as it stands."""

    ticket: TicketRow


Piece = AnchorLines | KeptBundle | KeptRun | KeptBlob | KeptRecord | KeptTicket | KeptStanding | BudgetPiece
"""what a ledger is made of; leases are not: they belong to processes"""


class Moving(Protocol):
    """The whole ledger on its way to another store (`services.keeping.moving`)."""

    def closure(self) -> Closure | None:
        """Why this ledger is closed; None for one in use."""

    def set_closure(self, closure: Closure | None, was: Closure | None) -> None:
        """Close the ledger or open it again, synced. Raises Invalid when its standing is no longer `was`.

        LEAVING raises Invalid while somebody's lease is in force. FILLING empties a ledger that was FILLING before,
        and raises Invalid for any other that holds something. Opening one that was filled anchors what is not.
        """

    def pieces(self) -> Iterator[Piece]:
        """All of it, in this order: anchors, bundles, runs, large values, records, tickets, standing approvals,
        budgets, reservations, caps.

        Each sort is in the order of the bytes of its keys. As of one moment.
        """

    def fill(self, pieces: Sequence[Piece]) -> None:
        """Put pieces of another ledger into a FILLING one, as they are, in one commit."""
