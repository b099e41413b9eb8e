"""Puts on record that somebody's word did not count: of tickets and standing approvals, in the run that they are of.

It is the fact of a run like what counts, appended whoever drives, and it wakes nobody. It holds no words of whoever was
refused: a closed list says why, and a claim is named only where it is an entry of people.yaml. How often the same is
told again: `policy.refusals`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from magsag.domain.approval import Acting, RefusedFor
from magsag.domain.effects import Level
from magsag.domain.errors import Invalid, Refused
from magsag.domain.facts import DecisionRefused
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId
from magsag.engine.chain import seal, unseal
from magsag.policy.people import People, Unproven
from magsag.policy.refusals import is_news
from magsag.ports.clock import Clock
from magsag.ports.ledger import Declined, Store, Write

Who = Acting | Unproven
"""whoever wants to decide"""


@frozen
class Wanted:
    """What somebody wants to decide."""

    run: RunId
    root: RunId
    step: StepId
    answer: str
    """`approve`, `deny`, `revoke`"""
    ticket: str | None = None
    standing: str | None = None


class Refusals:
    """Words that did not count, in one ledger."""

    def __init__(self, store: Store, people: Callable[[], People], clock: Clock) -> None:
        self._store = store
        self._people = people
        self._clock = clock

    @contextmanager
    def told(self, wanted: Wanted, who: Who) -> Iterator[Acting]:
        """Who it is, for the block that decides; a Refused that leaves it is on record before it is raised."""
        try:
            if isinstance(who, Unproven):
                raise who.refused
            yield who
        except Refused as refused:
            self._tell(wanted, who, refused.why)
            raise

    def _tell(self, wanted: Wanted, who: Who, why: str) -> None:
        people = self._people()
        known, claimed = (who.known, who.claimed) if isinstance(who, Unproven) else (who, None)
        fact = DecisionRefused(
            at=self._clock.now(),
            step=wanted.step,
            wanted=wanted.answer,
            refused_for=RefusedFor(why or RefusedFor.OTHER),
            by=known.id,
            proof=known.proof,
            people=people.hash,
            ticket=wanted.ticket,
            standing=wanted.standing,
            claimed=claimed if claimed in people.by_id else None,
        )
        if is_news(fact, self._before(wanted.run)):
            sealed = seal(fact, self._clock.chance(16))
            (answer,) = self._store.write([Write(wanted.run, wanted.root, [sealed])], Level.SYNCED)
            if isinstance(answer, Declined):
                raise Invalid(f"run {wanted.run} was removed meanwhile: nothing was decided")

    def _before(self, run: RunId) -> list[DecisionRefused]:
        told = (stored for stored in self._store.read(run) if stored.kind == DecisionRefused.__name__)
        return [fact for fact in map(unseal, told) if isinstance(fact, DecisionRefused)]
