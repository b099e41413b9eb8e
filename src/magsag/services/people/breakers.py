"""Closing a breaker by hand: who may is decided here, where it is recorded, by the people in force.

It stands in the run whose call had opened the breaker, as a fact like the opening itself, and beside the breaker as
long as that is not opened again. A run that is gone since holds nothing; then only the breaker says who it was.
"""

from collections.abc import Callable

from magsag.domain.approval import Acting, Proof
from magsag.domain.breaking import BreakerMoved, BreakerState
from magsag.domain.effects import Level
from magsag.domain.errors import Refused
from magsag.domain.ids import RunId, StepId
from magsag.engine.chain import seal
from magsag.policy.breaker import Breaker
from magsag.policy.people import People
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store, Write, Written
from magsag.services.gate.untold import Untold
from magsag.services.steps.attempt import called_by
from magsag.services.steps.throttles import ThrottleStates


class Breakers:
    """Breakers of a ledger, for people."""

    def __init__(
        self, store: Store, people: Callable[[], People], clock: Clock, untold: Untold, claims_count: bool = False
    ) -> None:
        """`claims_count`: somebody's word may close one, because the project says that this is development."""
        self._store = store
        self._people = people
        self._clock = clock
        self._untold = untold
        self._claims_count = claims_count

    def close(self, name: str, by: Acting, reason: str = "") -> RunId | None:
        """Close it for all processes; the run that says so, None where it was not open or that run is gone.

        Raises Refused for who may not, Invalid for a breaker that was never asked and for a reason that holds a secret.
        """
        people = self._people()
        people.person(by)
        if by.proof is Proof.CLAIM and not self._claims_count:
            raise Refused(
                f"--as {by.id}: for breakers a claim counts by the `environment` in magsag.toml, or by default, "
                "not by a flag or a variable: leave it out, or prove who you are"
            )
        self._require_untold(name, reason)
        before = ThrottleStates(self._store).reset(name, by.id)
        return self._told(name, before, by, people.hash, reason)

    def _require_untold(self, name: str, reason: str) -> None:
        """The reason goes into the run that had opened it; by then another one may have, which is one of today."""
        self._untold.require_today(reason, "the reason")
        opened_by = ThrottleStates(self._store).opened_by(name)
        row = self._store.row(called_by(opened_by)[0]) if opened_by else None
        if row is not None:
            self._untold.require(row.bundle, reason, "the reason")

    def _told(self, name: str, before: Breaker, by: Acting, people: str, reason: str) -> RunId | None:
        if not before.since or not before.opened_by:
            return None
        run, step = called_by(before.opened_by)
        row = self._store.row(run)
        if row is None:
            return None
        fact = BreakerMoved(
            at=self._clock.now(),
            step=StepId(step),
            name=name,
            state=BreakerState.CLOSED,
            reason=reason or "closed by hand",
            by=by.id,
            proof=by.proof,
            people=people,
        )
        write = Write(run, row.root, [seal(fact, self._clock.chance(16))])
        (answer,) = self._store.write([write], Level.SYNCED)
        return run if isinstance(answer, Written) else None
