"""What people do with tickets: see them and decide them. Who may is judged here, where the decision is stored.

An answer is a fact in the chain of the run, appended whoever drives it, in one commit with the ticket's next version:
compare and set. Whoever loses reads again and is judged again. Driving the run on is the caller's next step.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from magsag.catalog.contracts import Contract
from magsag.domain import facts
from magsag.domain.approval import Acting, Answer, TicketState
from magsag.domain.effects import Level
from magsag.domain.errors import ErrorType, Invalid, Refused
from magsag.domain.facts import Proposal
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId
from magsag.domain.large import LARGE_BYTES
from magsag.domain.verdicts import APPROVE, START
from magsag.engine.chain import seal
from magsag.engine.run import Step
from magsag.policy.approval import Given, binding, decide, is_escalated
from magsag.policy.people import People
from magsag.ports.clock import Clock
from magsag.ports.ledger import Sealed, Store, TicketQuery, TicketRow, Write, Written
from magsag.ports.standing_approvals import StandingRow
from magsag.services.gate.given import encoded, fitting
from magsag.services.gate.untold import Untold
from magsag.services.people.answerable import why_unanswerable
from magsag.services.people.places import has_ended, require_known, require_open
from magsag.services.people.refusals import Refusals, Wanted, Who
from magsag.services.people.standing_approvals import Beforehand, StandingApprovals
from magsag.services.recording.known import the_one
from magsag.services.recording.large import plain
from magsag.services.steps.beginnings import read_run
from magsag.services.steps.bundles import Bundles
from magsag.services.steps.tickets import Kept, kept, next_row


@frozen
class TicketView:
    """A ticket as people see it; fields that a contract marks are masked, as in the record."""

    id: str
    run: RunId
    root: RunId
    step: StepId
    state: TicketState
    about: Kept
    expires: int
    is_escalated: bool
    arguments: Any = None
    """what the step would be done with; only where one ticket is shown"""
    changed: Any = None
    """what an approver put in their place"""
    question: str | None = None
    """what a program asks in its own words"""
    refused: tuple[facts.DecisionRefused, ...] = ()
    """whose word did not count; only where one ticket is shown"""
    deadline: int | None = None
    """when the time of its run is over, and it ends; only where one ticket is shown"""
    unanswerable: str | None = None
    """why nobody can finish it as people.yaml stands; only where one open ticket is shown"""


@frozen
class Decision:
    """What somebody says of a ticket."""

    by: Who
    answer: Answer
    reason: str = ""
    arguments: tuple[Any] | None = None
    """what is approved instead of the proposed arguments"""
    standing: Beforehand | None = None
    """what is approved besides, for acts to come"""


class Approvals:
    """The tickets of a ledger."""

    def __init__(
        self,
        store: Store,
        bundles: Bundles,
        people: Callable[[], People],
        clock: Clock,
        standing: StandingApprovals,
        untold: Untold,
    ) -> None:
        self._store = store
        self._refusals = Refusals(store, people, clock)
        self._standing = standing
        self._untold = untold
        self._bundles = bundles
        self._people = people
        self._clock = clock

    def list(self, query: TicketQuery) -> list[TicketView]:
        """Tickets that match, the oldest first, without their arguments."""
        return [self._asking(self._view(row)) for row in self._store.tickets(query)]

    def find(self, prefix: str) -> str:
        """The ticket that is meant by the beginning of its id. Raises Invalid."""
        found = self._store.tickets(TicketQuery(prefix=prefix, limit=5)) if prefix else []
        which = f"--run {prefix}" if prefix and self._store.row(RunId(prefix)) is not None else "--all"
        return the_one([row.id for row in found], prefix, "approval", f"magsag approval list {which}")

    def show(self, id: str) -> TicketView:
        """One ticket, with the arguments, and whose word did not count. Raises Invalid."""
        row = self._row(id)
        read, step = read_run(self._store, row.run), self._step(row.run, row.step, id)
        refused = tuple(one for one in read.refused if one.ticket == id) if read is not None else ()
        data = () if step is None else (step.input, step.changed)
        if read is not None and read.started is not None and row.step == START:
            data = (read.started.input, None)
        values = (plain(self._store, row.root, one) for one in data)
        view = self._view(row, *values)
        why = why_unanswerable(replace(view.about.ticket, state=view.state), read, self._people)
        deadline = read.started.deadline if read is not None and read.started is not None else None
        return _worded(replace(view, refused=refused, unanswerable=why, deadline=deadline))

    def _asking(self, view: TicketView) -> TicketView:
        """With the question while it is open, for which the run is read; other tickets say enough by their target."""
        if view.about.proposal.call != APPROVE or view.state is not TicketState.OPEN:
            return view
        if (step := self._step(view.run, view.step, view.id)) is None:
            return view
        asked = _worded(replace(view, arguments=plain(self._store, view.root, step.input)))
        return replace(view, question=asked.question)

    def _step(self, run: RunId, id: StepId, ticket: str) -> Step | None:
        """The step that a ticket is of, while it is its ticket."""
        read = read_run(self._store, run)
        step = read.steps.get(id) if read is not None else None
        return step if step is not None and step.ask is not None and step.ask.ticket == ticket else None

    def decide(self, id: str, said: Decision) -> TicketView:
        """Record an answer; the ticket after it. Raises Refused for one that does not count, Invalid.

        One that does not count is on record too.
        """
        row = self._row(id)
        run = self._store.row(row.run)
        when = said.standing.when if said.standing is not None else ""
        for what, value in (("the reason", said.reason), ("the arguments", said.arguments), ("--when", when)):
            self._untold.require(run.bundle if run is not None else "", value, what)
        wanted = Wanted(row.run, row.root, row.step, said.answer, ticket=id)
        with self._refusals.told(wanted, said.by) as by:
            return self._decided(id, said, by)

    def _decided(self, id: str, said: Decision, by: Acting) -> TicketView:
        people = self._people()
        while True:
            row = self._row(id)
            require_open(self._store, row.root)
            require_known(self._store, row.run, by)
            about = kept(row)
            arguments = self._arguments(row, about.proposal, said)
            bound = None if arguments is None else self._bound(row, about.proposal, arguments)
            now = self._clock.now()
            after = decide(about.ticket, people, Given(by, said.answer, now, said.reason, bound))
            fact = facts.ApprovalDecided(
                at=now,
                step=row.step,
                ticket=id,
                answer=said.answer,
                by=by.id,
                proof=by.proof,
                people=people.hash,
                reason=said.reason,
                binding=bound,
                input=arguments,
            )
            wake, decided = None if after.state is TicketState.OPEN else now, next_row(row, after)
            write = Write(row.run, row.root, [self._sealed(fact)], tickets=[decided], wake=wake)
            if said.standing is not None:
                made, standing = self._beforehand(row, about, said, said.standing, fact)
                write = replace(write, facts=[*write.facts, self._sealed(made)], standing=[standing])
            (answer,) = self._store.write([write], Level.SYNCED)
            if isinstance(answer, Written):
                return self._view(decided)

    def _sealed(self, fact: facts.Fact) -> Sealed:
        return seal(fact, self._clock.chance(16))

    def _beforehand(
        self, row: TicketRow, about: Kept, said: Decision, wanted: Beforehand, fact: facts.ApprovalDecided
    ) -> tuple[facts.StandingApproved, StandingRow]:
        if said.answer is Answer.DENY or said.arguments is not None:
            raise Invalid("a standing approval goes with a yes to what was asked: leave other arguments out")
        return self._standing.made(row, about, wanted, fact)

    def _row(self, id: str) -> TicketRow:
        """The ticket's row. Raises Invalid for an unknown one."""
        row = self._store.ticket(id)
        if row is None:
            raise Invalid(f"approval {id} is not in the ledger: `magsag approval list --all` shows those that are")
        return row

    def _view(self, row: TicketRow, arguments: object = None, changed: object = None) -> TicketView:
        about, state, now = kept(row), row.state, self._clock.now()
        if state in _UNDECIDED and has_ended(self._store, row):
            state = TicketState.ENDED
        elif state in _UNDECIDED and now >= row.expires:
            state = TicketState.EXPIRED
        late = is_escalated(about.ticket.ask, now)
        return TicketView(row.id, row.run, row.root, row.step, state, about, row.expires, late, arguments, changed)

    def _arguments(self, row: TicketRow, proposal: Proposal, said: Decision) -> bytes | None:
        """Other arguments as they are recorded: as the contract wants them, with its marked fields redacted."""
        if said.arguments is None:
            return None
        if proposal.call == APPROVE:
            raise Invalid("a program's question is answered with yes or no: leave other arguments out")
        if said.answer is Answer.DENY or row.step == START:
            what = "a denied step" if said.answer is Answer.DENY else "the start of a run"
            raise Invalid(f"{what} is done with no other arguments: leave them out")
        data, value = encoded(said.arguments[0], "the arguments")
        if len(data) > LARGE_BYTES:
            raise Invalid(f"arguments of {len(data):,} bytes cannot be put in: {LARGE_BYTES:,} are the most")
        contract = self._contract(row, proposal)
        return fitting(data, value, contract, "the arguments:", ErrorType.INPUT_CONTRACT)[0]

    def _contract(self, row: TicketRow, proposal: Proposal) -> Contract | None:
        """The input contract of what is called, in the catalog that the run is pinned to."""
        run = self._store.row(row.run)
        if run is None or proposal.target.partition(":")[0] not in _WITH_CONTRACTS:
            return None
        bundle = self._bundles.find(run.bundle)
        name: str | None = bundle.find(proposal.target).manifest.contracts.input
        return bundle.contract(name) if name is not None else None

    def _bound(self, row: TicketRow, proposal: Proposal, arguments: bytes) -> str:
        if row.salt is None:
            raise Refused(f"the arguments of approval {row.id} were erased: nothing can be approved in their place")
        return binding(row.salt, proposal.target, arguments)


_UNDECIDED: Final = frozenset({TicketState.OPEN, TicketState.APPROVED})
_WITH_CONTRACTS: Final = frozenset({"skill", "agent", "flow"})


def _worded(view: TicketView) -> TicketView:
    """With the question of a program; one that was erased says nothing."""
    said = view.arguments.get("question") if isinstance(view.arguments, dict) else None
    is_question = view.about.proposal.call == APPROVE and isinstance(said, str)
    return replace(view, question=said) if is_question else view
