"""The gate's side of standing approvals: finds one that answers an ask. Records nothing itself.

What counts is the record: what one says, and that nobody revoked it, is read from the facts of the run that it was
made in. The row in the store says which to look at, and the intent's commit leans on it: whoever revokes it first wins.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from magsag.catalog.expressions import compile_rule_condition
from magsag.domain.condition import Condition, ConditionFailed, ConditionInvalid, Conditions
from magsag.domain.facts import StandingApproved, StandingRevoked
from magsag.domain.ids import RunId
from magsag.engine.chain import unseal
from magsag.policy.people import People
from magsag.policy.record import names_of
from magsag.policy.standing_approval import Wanted, answers
from magsag.ports.ledger import Store
from magsag.ports.standing_approvals import Leaning, StandingQuery, StandingRow
from magsag.services.gate.asking import asked_by, requesters
from magsag.services.gate.judging import record_about
from magsag.services.steps.attempt import Attempt

_ABOUT_STANDING: Final = frozenset({StandingApproved.__name__, StandingRevoked.__name__})


@dataclass(slots=True)
class _Origin:
    """What was approved beforehand in a run, and what of it was revoked, as far as it was read."""

    seq: int = 0
    standing: dict[str, StandingApproved] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)


class Covering:
    """Standing approvals for all runs of this process."""

    def __init__(self, store: Store, people: Callable[[], People], conditions: Conditions) -> None:
        self._store = store
        self._people = people
        self._conditions = conditions
        self._compiled: dict[str, Condition | None] = {}
        self._origins: dict[RunId, _Origin] = {}

    def find(self, attempt: Attempt) -> Leaning | None:
        """The oldest one that answers what the attempt's verdict asks; None when a person has to be asked."""
        query = StandingQuery(attempt.target.proposal.target, in_force_at=attempt.began, limit=None)
        rows = self._store.standing_approvals(query)
        if not rows:
            return None
        wanted = _wanted(attempt)
        found = next((row for row in rows if self._answers(row, wanted, attempt)), None)
        return None if found is None else Leaning(found.id, found.version, attempt.began)

    def _answers(self, row: StandingRow, wanted: Wanted, attempt: Attempt) -> bool:
        origin = self._origin(row.run)
        said = origin.standing.get(row.id)
        if said is None or row.id in origin.revoked:
            return False
        if not answers(said, row.run, wanted, self._people(), attempt.began):
            return False
        return not said.when or self._holds(said.when, attempt)

    def _origin(self, run: RunId) -> "_Origin":
        """What the facts of a run say; those that were looked at before are not read again."""
        origin = self._origins.setdefault(run, _Origin())
        for stored in self._store.read(run, origin.seq):
            fact = unseal(stored) if stored.kind in _ABOUT_STANDING else None
            if isinstance(fact, StandingApproved):
                origin.standing[fact.standing] = fact
            elif isinstance(fact, StandingRevoked):
                origin.revoked.add(fact.standing)
            origin.seq = stored.seq
        return origin

    def _holds(self, when: str, attempt: Attempt) -> bool:
        """A condition that cannot be evaluated does not hold: then a person is asked."""
        if when not in self._compiled:
            self._compiled[when] = self._compile(when)
        condition = self._compiled[when]
        try:
            return condition is not None and condition.holds(names_of(record_about(attempt, attempt.began), {}))
        except ConditionFailed:
            return False

    def _compile(self, when: str) -> Condition | None:
        try:
            return compile_rule_condition(when, [None], [], self._conditions)
        except ConditionInvalid:
            return None


def _wanted(attempt: Attempt) -> Wanted:
    assert attempt.verdict is not None
    seat, rule = attempt.seat, attempt.verdict.rule
    asked = asked_by(seat.targets.policies, rule)
    proposal, root = attempt.target.proposal, seat.leg.tree.root
    return Wanted(root, seat.targets.program, proposal, rule, asked, seat.environment, requesters(attempt))
