"""What people do with standing approvals: make one with an answer, see them, end them. Who may is judged here.

Each is a fact in the chain of the run whose ticket was answered, in one commit with its row: compare and set. What one
covers is found at the gate (`services.gate.covering`).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from magsag.catalog.expressions import compile_rule_condition, counted_refs
from magsag.domain import facts
from magsag.domain.approval import Acting, Proof, Reach, RefusedFor
from magsag.domain.condition import ConditionInvalid, Conditions
from magsag.domain.effects import Level
from magsag.domain.errors import Invalid, Refused
from magsag.domain.frozen import frozen
from magsag.domain.ids import run_id
from magsag.domain.verdicts import APPROVE, START
from magsag.engine.chain import seal
from magsag.policy.people import DEVELOPMENT, People
from magsag.policy.standing_approval import require_answerable
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store, TicketRow, Write, Written
from magsag.ports.standing_approvals import StandingQuery, StandingRow
from magsag.services.gate.untold import Untold
from magsag.services.people.refusals import Refusals, Wanted, Who
from magsag.services.recording.known import the_one
from magsag.services.steps.beginnings import read_run, started_of
from magsag.services.steps.bundles import Bundles
from magsag.services.steps.tickets import Kept

LONGEST_SECONDS: Final = 30 * 86_400.0
"""nobody's word stands longer than this many seconds"""


@frozen
class Beforehand:
    """What somebody approves besides the act that was asked about."""

    reach: Reach
    seconds: float
    when: str = ""


@frozen
class StandingView:
    """A standing approval as people see it."""

    id: str
    said: facts.StandingApproved
    run: str
    is_revoked: bool
    is_over: bool
    """its time is"""


class StandingApprovals:
    """The standing approvals of a ledger."""

    def __init__(
        self,
        store: Store,
        bundles: Bundles,
        people: Callable[[], People],
        conditions: Conditions,
        clock: Clock,
        untold: Untold,
    ) -> None:
        self._store = store
        self._untold = untold
        self._bundles = bundles
        self._people = people
        self._conditions = conditions
        self._clock = clock
        self._refusals = Refusals(store, people, clock)

    def made(
        self, ticket: TicketRow, about: Kept, wanted: Beforehand, given: facts.ApprovalDecided
    ) -> tuple[facts.StandingApproved, StandingRow]:
        """What goes on record together with an answer. Raises Refused, Invalid."""
        if about.proposal.call == APPROVE or ticket.step == START:
            raise Invalid("a program's question and the start of a run are answered each time: leave --standing out")
        require_answerable(about.ticket.ask.rule, about.verdict.rule)
        if not 0 < wanted.seconds <= LONGEST_SECONDS:
            raise Invalid("a standing approval ends: give it more than nothing and at most 30 days")
        run = read_run(self._store, ticket.run)
        if run is None:
            raise Invalid(f"run {ticket.run} is not in the ledger")
        self._require_condition(wanted.when, about, started_of(run).bundle)
        until = given.at + int(wanted.seconds * 1e6)
        id = run_id(given.at // 1000, self._clock.chance(7))
        fact = facts.StandingApproved(
            at=given.at,
            step=ticket.step,
            standing=id,
            ticket=ticket.id,
            reach=wanted.reach,
            program=about.program,
            proposal=about.proposal,
            rule=about.verdict.rule,
            environment=started_of(run).environment,
            until=until,
            by=given.by,
            proof=given.proof,
            people=given.people,
            when=wanted.when,
            reason=given.reason,
        )
        target = about.proposal.target
        return fact, StandingRow(id, ticket.run, ticket.root, ticket.step, target, False, 1, given.at, until)

    def list(self, every: bool = False, limit: int | None = None) -> list[StandingView]:
        """Those in force, or all that there are, the oldest first."""
        at = None if every else self._clock.now()
        return [self._view(row) for row in self._store.standing_approvals(StandingQuery(in_force_at=at, limit=limit))]

    def find(self, prefix: str) -> str:
        """The one that is meant by the beginning of its id. Raises Invalid."""
        found = self._store.standing_approvals(StandingQuery(prefix=prefix, limit=5)) if prefix else []
        return the_one([row.id for row in found], prefix, "standing approval", "magsag approval standing list --all")

    def revoke(self, id: str, who: Who, reason: str = "") -> StandingView:
        """End it now; anybody in people.yaml may, since that takes a right away. Raises Refused, Invalid.

        That somebody may not is on record too.
        """
        row = self._row(id)
        run = self._store.row(row.run)
        self._untold.require(run.bundle if run is not None else "", reason, "the reason")
        with self._refusals.told(Wanted(row.run, row.root, row.step, "revoke", standing=id), who) as by:
            return self._revoked(id, by, reason)

    def _revoked(self, id: str, by: Acting, reason: str) -> StandingView:
        people = self._people()
        while True:
            row = self._row(id)
            people.person(by)
            self._require_known(row, by)
            if row.is_revoked:
                raise Refused(f"standing approval {id} was revoked already", RefusedFor.REVOKED)
            now = self._clock.now()
            if now >= row.until:
                raise Refused(f"standing approval {id} is over already: its time was up", RefusedFor.LATE)
            fact = facts.StandingRevoked(
                at=now, step=row.step, standing=id, by=by.id, proof=by.proof, people=people.hash, reason=reason
            )
            after = replace(row, is_revoked=True, version=row.version + 1)
            write = Write(row.run, row.root, [seal(fact, self._clock.chance(16))], standing=[after])
            (answer,) = self._store.write([write], Level.SYNCED)
            if isinstance(answer, Written):
                return self._view(after)

    def _row(self, id: str) -> StandingRow:
        found = self._store.standing_approvals(StandingQuery(prefix=id, limit=1))
        if not found or found[0].id != id:
            raise Invalid(f"standing approval {id} is not in the ledger")
        return found[0]

    def _require_known(self, row: StandingRow, by: Acting) -> None:
        """A claim counts where the run is. Raises Refused."""
        environment = self._view(row).said.environment
        if by.proof is Proof.CLAIM and environment != DEVELOPMENT:
            said = f"{by.id} is known by a claim, which counts in {DEVELOPMENT} only, not in {environment}"
            raise Refused(said, RefusedFor.CLAIM)

    def _view(self, row: StandingRow) -> StandingView:
        run = read_run(self._store, row.run)
        said = run.standing.get(row.id) if run is not None else None
        if run is None or said is None:
            raise Invalid(f"standing approval {row.id} is on no record: run `magsag data check`")
        return StandingView(row.id, said, row.run, row.id in run.revoked, self._clock.now() >= said.until)

    def _require_condition(self, when: str, about: Kept, bundle: str) -> None:
        """It compiles, and fits the input of what was asked about. Raises Invalid."""
        if not when:
            return
        found, schema = self._bundles.find(bundle), None
        if about.proposal.target.partition(":")[0] in ("skill", "agent", "flow"):
            name: str | None = found.find(about.proposal.target).manifest.contracts.input
            schema = found.schema(name) if name is not None else None
        try:
            condition = compile_rule_condition(when, [schema], [], self._conditions)
            counted = counted_refs(condition)
        except ConditionInvalid as error:
            raise Invalid(f"--when, column {error.column}: {error}") from None
        if counted:
            raise Invalid("--when: a standing approval counts nothing; leave run.count and run.after to the policy")
