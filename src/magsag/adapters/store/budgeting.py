"""Budgets out, and caps in; the same on every database. How they change: `adapters.store.accounts`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, assert_never

from pydantic_core import to_json

from magsag.adapters.store.reading import Answers, closure_of
from magsag.domain.approval import Proof
from magsag.domain.budget import BudgetRow, Cap, Reservation
from magsag.domain.errors import LedgerClosed
from magsag.domain.ids import RunId
from magsag.policy.budget import day_of
from magsag.ports.budgets import BudgetPiece, KeptBudget, KeptCap, KeptReservation

_LAST: Final = 253_402_300_799_000_000
"""the last second of the year 9999: later ones have no date"""


class BudgetingPart:
    """What `ports.budgets.Budgets` reads."""

    _reads: Answers

    def budgets(self, runs: Sequence[RunId] = ()) -> list[BudgetRow]:
        return [BudgetRow(*row) for row in self._reads.all("budgets", (to_json(list(runs)),))]

    def reservations(self) -> list[Reservation]:
        return [Reservation(*row) for row in self._reads.all("reservations")]

    def caps(self) -> list[Cap]:
        return [cap_of(row) for row in self._reads.all("caps")]

    def newest_caps(self) -> list[Cap]:
        return [cap_of(row) for row in self._reads.all("newest_caps")]

    def _require_open(self) -> None:
        if (closure := closure_of(self._reads.one("standing"))) is not None:
            raise LedgerClosed(closure.why())


def first_day_kept(before: int) -> str:
    """The day that a time falls on (microseconds since 1970); budgets of earlier days go with a vacuum."""
    return day_of(max(0, min(before, _LAST)))


def cap_of(row: tuple[Any, ...]) -> Cap:
    """A row of `caps` in the order of the statements."""
    n, scope, unit, cap, at, by, proof, people, reason = row
    return Cap(n, scope, unit, cap, at, by, Proof(proof), people, reason)


def cap_values(cap: Cap) -> tuple[object, ...]:
    """The row again."""
    return cap.n, cap.scope, cap.unit, cap.cap, cap.at, cap.by, cap.proof.value, cap.people, cap.reason


def budget_values(row: BudgetRow) -> tuple[object, ...]:
    """A row of `budgets` in the order of the statements."""
    return row.id, row.scope, row.unit, row.run, row.cap, row.reserved, row.spent


def reservation_values(one: Reservation) -> tuple[object, ...]:
    """A row of `reservations` in the order of the statements."""
    return one.run, one.step, one.budget, one.amount


def budget_pieces(rows: Callable[[str], Iterable[tuple[Any, ...]]]) -> Iterator[BudgetPiece]:
    """All that budgets are made of; `rows` answers a named statement."""
    for row in rows("all_budgets"):
        yield KeptBudget(BudgetRow(*row))
    for row in rows("reservations"):
        yield KeptReservation(Reservation(*row))
    for row in rows("caps"):
        yield KeptCap(cap_of(row))


def kept_name(piece: BudgetPiece) -> str:
    """What its statement is called after `put_` or `take_`."""
    match piece:
        case KeptBudget():
            return "budget"
        case KeptReservation():
            return "reservation"
        case KeptCap():
            return "cap"
        case _:
            assert_never(piece)


def kept_values(piece: BudgetPiece) -> tuple[object, ...]:
    """Its row."""
    match piece:
        case KeptBudget(row):
            return budget_values(row)
        case KeptReservation(reservation):
            return reservation_values(reservation)
        case KeptCap(cap):
            return cap_values(cap)
        case _:
            assert_never(piece)
