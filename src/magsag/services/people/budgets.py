"""Budgets as people see and set them: caps for the organisation and its days, and where every budget stands.

Whether somebody may set a cap is decided here, where it is recorded, by the people in force.
"""

from collections.abc import Callable

from magsag.domain.approval import Acting, Proof
from magsag.domain.budget import SET_BY_PEOPLE, BudgetRow, BudgetScope, Cap, Unit
from magsag.domain.errors import Invalid, Refused
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.domain.manifests.budget import smallest
from magsag.policy.budget import WARN_AT, day_in, day_of, is_warned
from magsag.policy.people import People
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store
from magsag.services.gate.untold import Untold

_NONE = "none"


@frozen
class BudgetView:
    """A budget as it stands. Amounts are integers of the smallest part of the unit; `cap` None: without a limit."""

    id: str
    scope: str
    unit: str
    run: RunId | None
    cap: int | None
    reserved: int
    spent: int

    @property
    def left(self) -> int | None:
        """What may still be held back; 0 where more was used than a cap that was lowered since."""
        return None if self.cap is None else max(0, self.cap - self.reserved - self.spent)

    @property
    def state(self) -> str:
        """`ok`, `warned` from the warn threshold on, `used up`, `no cap`."""
        if self.cap is None:
            return "no cap"
        if self.left == 0:
            return "used up"
        return "warned" if is_warned(self._row(), WARN_AT) else "ok"

    def _row(self) -> BudgetRow:
        return BudgetRow(self.id, self.scope, self.unit, self.run, self.cap or 0, self.reserved, self.spent)


class BudgetBook:
    """Budgets of a ledger."""

    def __init__(
        self, store: Store, people: Callable[[], People], clock: Clock, untold: Untold, claims_count: bool = False
    ) -> None:
        """`claims_count`: somebody's word may set caps, because the project says that this is development."""
        self._untold = untold
        self._claims_count = claims_count
        self._store = store
        self._people = people
        self._clock = clock

    def show(self, past: bool = False) -> list[BudgetView]:
        """Where the budgets stand that runs share, by id. Those of one run: `services.insight.allowances`.

        Those of days before today only when something is held back of them still, or with `past`.

        Caps that people set are the newest ones, also where nothing was taken from them yet.
        """
        today = day_of(self._clock.now())
        rows = self._store.budgets()
        found = {row.id: view_of(row) for row in rows if past or row.reserved or day_in(row) in (None, today)}
        for (scope, unit), cap in self._newest().items():
            id = f"{scope}/{unit}" if scope == BudgetScope.ORGANISATION else f"{scope}/{today}/{unit}"
            row = found.get(id)
            if row is not None or cap.cap is not None:
                used = (row.reserved, row.spent) if row is not None else (0, 0)
                found[id] = BudgetView(id, scope, unit, None, cap.cap, *used)
        return [found[id] for id in sorted(found)]

    def set(self, scope: str, unit: str, cap: str, by: Acting, reason: str = "") -> Cap:
        """Put a new cap on record: a number of the unit, or `none`. Raises Invalid, Refused for who may not."""
        if scope not in SET_BY_PEOPLE:
            stands = f"the cap of scope {scope} stands in the agent's manifest, under `budget:`"
            what = stands if scope in set(BudgetScope) else f"{scope} is no scope of a budget"
            raise Invalid(f"{what}; here you set {' or '.join(SET_BY_PEOPLE)}, e.g. `magsag budget set day usd 5`")
        if unit not in set(Unit):
            raise Invalid(f"{unit} is no unit: write one of {', '.join(Unit)}")
        try:
            amount = None if cap == _NONE else smallest(unit, cap)
        except ValueError as error:
            raise Invalid(f"{error}, or `none` to take the limit away") from None
        people = self._people()
        people.cap_setter(by)
        self._require_proof(by, scope, unit)
        self._untold.require_today(reason, "the reason")
        while True:
            number = len(self._store.caps()) + 1
            made = Cap(number, scope, unit, amount, self._clock.now(), by.id, by.proof, people.hash, reason)
            if self._store.set_cap(made):
                return made

    def history(self) -> list[Cap]:
        """Every cap that was ever set, the oldest first."""
        return self._store.caps()

    def _require_proof(self, by: Acting, scope: str, unit: str) -> None:
        """Caps hold for everybody's runs: whoever claims does not say where they are, nor undoes what others proved."""
        if by.proof is not Proof.CLAIM:
            return
        if not self._claims_count:
            raise Refused(
                f"--as {by.id}: for caps a claim counts by the `environment` in magsag.toml, or by default, "
                "not by a flag or a variable: leave it out, or prove who you are"
            )
        before = self._newest().get((scope, unit))
        if before is not None and before.proof is not Proof.CLAIM:
            who = f"{before.by} set the cap of {scope} {unit} and proved it by {before.proof}"
            raise Refused(f"--as {by.id}: {who}: a claim does not change that")

    def _newest(self) -> dict[tuple[str, str], Cap]:
        return {(cap.scope, cap.unit): cap for cap in self._store.newest_caps()}


def view_of(row: BudgetRow) -> BudgetView:
    """A budget as people see it."""
    return BudgetView(row.id, row.scope, row.unit, row.run, None if row.cap < 0 else row.cap, row.reserved, row.spent)
