"""Closing a breaker by hand: who may is decided here, where it is recorded, by the people in force.

It stands in the run whose call had opened the breaker, as a fact like the opening itself, and beside the breaker as
long as that is not opened again. A run that is gone since holds nothing; then only the breaker says who it was. The
fact comes first: nothing is closed that nobody has signed for.
"""

from collections.abc import Callable

from magsag.domain.approval import Acting, Proof
from magsag.domain.breaking import BreakerMoved, BreakerState
from magsag.domain.effects import Level
from magsag.domain.errors import Refused, StoreBroken
from magsag.domain.ids import RunId, StepId
from magsag.engine.chain import seal
from magsag.policy.breaker import Breaker
from magsag.policy.people import People
from magsag.ports.clock import Clock
from magsag.ports.ledger import RunRow, Store, Write, Written
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
        """Close it for all processes; the run that says so, None where that run is gone.

        Raises Refused for who may not, Invalid for a breaker that was never asked or is not open, and for a reason
        that holds a secret.
        """
        people = self._people()
        people.person(by)
        if by.proof is Proof.CLAIM and not self._claims_count:
            raise Refused(
                f"--as {by.id}: for breakers a claim counts by the `environment` in magsag.toml, or by default, "
                "not by a flag or a variable: leave it out, or prove who you are"
            )
        states = ThrottleStates(self._store)
        breaker = states.to_close(name)
        row = self._store.row(called_by(breaker.opened_by)[0]) if breaker.opened_by else None
        self._require_untold(row, reason)
        run = None if row is None else self._told(name, row, breaker, by, people.hash, reason)
        states.reset(name, by.id)
        return run

    def _require_untold(self, row: RunRow | None, reason: str) -> None:
        """The reason goes into the run that had opened it."""
        self._untold.require_today(reason, "the reason")
        if row is not None:
            self._untold.require(row.bundle, reason, "the reason")

    def _told(self, name: str, row: RunRow, breaker: Breaker, by: Acting, people: str, reason: str) -> RunId | None:
        """Before it is closed: a process that dies in between leaves an open breaker, which somebody closes again."""
        fact = BreakerMoved(
            at=self._clock.now(),
            step=StepId(called_by(breaker.opened_by)[1]),
            name=name,
            state=BreakerState.CLOSED,
            reason=reason or "closed by hand",
            by=by.id,
            proof=by.proof,
            people=people,
        )
        (answer,) = self._store.write([Write(row.run, row.root, [seal(fact, self._clock.chance(16))])], Level.SYNCED)
        if isinstance(answer, Written):
            return row.run
        if answer.why == "unknown":
            return None  # it went just now, by a vacuum
        raise StoreBroken(f"run {row.run} did not take down that the breaker of {name} is closed ({answer.why})")
