"""Small runs to write to a store: facts, rows and leases that hold together, for suites and proofs."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Final

from magsag.domain.approval import ApprovalRule, Ask, TicketState
from magsag.domain.effects import Effect, Level
from magsag.domain.facts import (
    CancelRequested,
    Decision,
    Fact,
    ParkedOn,
    ParkReason,
    Proposal,
    RunEnded,
    RunParked,
    RunStarted,
    RunStatus,
    StepDone,
    StepHeld,
    StepStarted,
    StepSucceeded,
    Verdict,
)
from magsag.domain.ids import RunId, StepId
from magsag.engine.chain import seal
from magsag.policy.approval import binding, opened
from magsag.ports.ledger import Change, Declined, Fault, Lease, NewRun, Record, Sealed, Store, TicketRow, Write, Written
from magsag.ports.standing_approvals import StandingRow
from magsag.services.steps.records import told_of
from magsag.services.steps.tickets import Kept, Place, first_row

OpenStore = Callable[[], Store]
"""another opening of the same data"""
WRITTEN, SYNCED = Level.WRITTEN, Level.SYNCED
RUN: Final = RunId("0193run")
ELSEWHERE: Final = "another-machine:1:abc"
"""an owner whose process nobody here can look at"""
_SALTS: Final = count(1)
_PROPOSAL: Final = Proposal("skill", "skill:look-up@1.0.0", Effect.READ)
_VERDICT: Final = Verdict(Decision.ALLOW, "built-in:read", "built-in", "", "0" * 64)


def sealed(fact: Fact) -> Sealed:
    """A fact ready to be written, under a salt of its own."""
    return seal(fact, next(_SALTS).to_bytes(16, "big"))


def started(
    words: str = "hello", continues: RunId | None = None, *, parent: RunId | None = None, at: int = 1
) -> Sealed:
    """How a run begins."""
    fact = RunStarted(
        at=at, program="agent:greeter@1.0.0", bundle="bundle-1", actor="ann", requester="ben",
        environment="development", mode="implement", seed="0" * 32, trace_id="1" * 32, span_id="2" * 16,
        continues=continues, parent=parent, input=f'{{"words":"{words}"}}'.encode(),
    )  # fmt: skip
    return sealed(fact)


def done(name: str, words: str = "found") -> Sealed:
    """A step that was one fact."""
    return sealed(
        StepDone(
            at=2, step=StepId(name), proposal=_PROPOSAL, verdict=_VERDICT, attempt=1, took=5,
            input=b"{}", output=f'"{words}"'.encode(),
        )
    )  # fmt: skip


def putting(step: str, *records: Record, at: int = 2) -> list[Sealed]:
    """An act that puts records, as the product tells of it: its intent and its outcome."""
    proposal = Proposal("skill", "skill:record-put@1.0.0", Effect.TRANSACTIONAL)
    intent = StepStarted(
        at=at, step=StepId(step), proposal=proposal, verdict=_VERDICT, attempt=1, key="k", act_by=9, input=b"{}"
    )
    outcome = StepSucceeded(
        at=at, step=StepId(step), took=1, input=told_of(Effect.TRANSACTIONAL, records, bytes), output=b"null"
    )
    return [sealed(intent), sealed(outcome)]


def ended(status: RunStatus = RunStatus.SUCCEEDED) -> Sealed:
    """How a run ends."""
    return sealed(RunEnded(at=3, status=status, output=b'"fine"'))


def parked(due: int) -> Sealed:
    """How a run waits."""
    reason = ParkReason(ParkedOn.TIME, StepId("sleep#1"), "until later")
    return sealed(RunParked(at=3, on=ParkedOn.TIME, due=due, reasons=(reason,)))


def new_run(
    run: RunId, owner: str | None, *, root: RunId | None = None, created: int = 1, seconds: float = 60
) -> NewRun:
    """The row of a run; without `root` it is one."""
    return NewRun(
        root=root or run, parent=root, program="agent:greeter@1.0.0", bundle="bundle-1", tenant="local", actor="ann",
        requester="ben", trace_id="1" * 32, span_id="2" * 16, created=created, owner=owner, lease_seconds=seconds,
    )  # fmt: skip


def ticket(id: str = "t1", *, run: RunId = RUN, version: int = 1, state: TicketState = TicketState.OPEN) -> TicketRow:
    """A ticket of a run's step; its body is its version."""
    salt = None if state is TicketState.SPENT else b"s" * 16
    return TicketRow(id, run, run, StepId("pay#1"), state, version, 2, 9_000_000, salt, b"%d" % version)


def standing(id: str = "s1", *, run: RunId = RUN, version: int = 1, until: int = 9_000_000) -> StandingRow:
    """A standing approval of a run's step; from its second version on it is revoked."""
    return StandingRow(id, run, run, StepId("pay#1"), "skill:pay@1.0.0", version > 1, version, 2, until)


def asked(run: RunId = RUN) -> tuple[Sealed, TicketRow]:
    """A step that waits for people, and its ticket, as the product writes them."""
    salt, step = b"s" * 16, StepId("pay#1")
    verdict = Verdict(Decision.ASK, "ask-first", "offers.yaml:3", "", "0" * 64)
    ask = Ask("t1", ApprovalRule(), 2, binding(salt, _PROPOSAL.target, b"{}"))
    fact = StepHeld(at=2, step=step, proposal=_PROPOSAL, verdict=verdict, attempt=1, ask=ask, input=b"{}")
    about = Kept(opened(ask, ("ann", "ben")), _PROPOSAL, verdict, "agent:greeter@1.0.0")
    return sealed(fact), first_row(Place(run, run, step), about, salt)


def faults(store: Store) -> list[Fault]:
    """What a check finds, but that no fact knows the tickets of these samples."""
    return [fault for fault in store.check() if "no fact knows it" not in fault.what]


def begin(
    store: Store, run: RunId = RUN, *, created: int = 1, owner: str | None = None, continues: RunId | None = None
) -> Lease:
    """Create a run with one fact and its lease."""
    owner, first = owner or store.owner(), started(continues=continues, at=created)
    (answer,) = store.write([Write(run, run, [first], create=new_run(run, owner, created=created))], WRITTEN)
    assert isinstance(answer, Written), answer
    return Lease(run, owner, 1)


def append(store: Store, lease: Lease | None, *facts: Sealed, run: RunId = RUN, level: Level = WRITTEN) -> Written:
    """Append facts and expect them to be taken."""
    (answer,) = store.write([Write(run, lease.root if lease else run, facts, lease)], level)
    assert isinstance(answer, Written), answer
    return answer


def end(store: Store, lease: Lease, *, run: RunId | None = None, updated: int = 10) -> None:
    """End a run and give its lease back."""
    run = run or lease.root
    change = Change(RunStatus.SUCCEEDED, updated=updated)
    store.write([Write(run, lease.root, [ended()], lease, change=change, release=run == lease.root)], SYNCED)


def park(store: Store, lease: Lease, due: int) -> None:
    """Park a run and give its lease back."""
    change = Change(RunStatus.PARKED, ParkedOn.TIME, due, updated=10)
    store.write([Write(lease.root, lease.root, [parked(due)], lease, change=change, release=True)], SYNCED)


def record(key: str, value: bytes) -> Record:
    """What an act of the tenant `local` puts."""
    return Record("local", key, value, at=2)


def put(store: Store, lease: Lease, *records: Record) -> None:
    """The outcome of an act, with what it puts."""
    (answer,) = store.write([Write(RUN, RUN, [done(f"put-{records[0].key}")], lease, records=records)], WRITTEN)
    assert isinstance(answer, Written)


def wake(store: Store, run: RunId, at: int) -> None:
    """What somebody appends without a lease, to be looked at by a leg."""
    (answer,) = store.write([Write(run, RUN, [sealed(CancelRequested(at=9, by="ann"))], wake=at)], SYNCED)
    assert isinstance(answer, Written)


def at_once(open_store: OpenStore, item: Write) -> list[Written | Declined]:
    """What eight openings of the data answer who all write the same at the same time."""
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda store: store.write([item], WRITTEN), [open_store() for _ in range(8)])
        return [answer for told in answers for answer in told]
