"""Where facts live. Adapters: `adapters.store`; their behaviour: `magsag.testing.store_suite`.

All methods are synchronous and thread-safe; a write may block for one disk sync, and whoever drives a loop
decides where to call it (`services.recording.recorder`). Times are microseconds since 1970 by the caller's clock,
except lease ends, which go by the store's clock. Every method raises StoreBroken when the store cannot be reached,
read or written; nothing of a failed call has happened. Once a ledger is closed (`Moving`), `write`, `acquire` and
`renew` raise LedgerClosed, which is one.

`root` is the run at the head of a tree; a lease covers the whole tree.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from magsag.domain.approval import TicketState
from magsag.domain.budget import Balance, Reserve, Settle, Shortfall
from magsag.domain.effects import Level
from magsag.domain.facts import ParkedOn, RunStatus
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId
from magsag.domain.sealed import Fault, Sealed, Stored
from magsag.domain.standing import Course, Standing
from magsag.ports.auditing import Audited
from magsag.ports.budgets import BudgetPiece, Budgets, KeptBudget, KeptCap, KeptReservation
from magsag.ports.measures import Measures
from magsag.ports.standing_approvals import KeptStanding, Leaning, StandingReads, StandingRow
from magsag.ports.throttles import Throttles

__all__ = [
    "AnchorLines",
    "Change",
    "Course",
    "Declined",
    "Fault",
    "Hit",
    "KeptBlob",
    "KeptBudget",
    "KeptBundle",
    "KeptCap",
    "KeptRecord",
    "KeptReservation",
    "KeptRun",
    "KeptTicket",
    "Lease",
    "Leases",
    "Ledger",
    "Moving",
    "NewRun",
    "Occupied",
    "Piece",
    "Record",
    "RunQuery",
    "RunRow",
    "Runs",
    "Sealed",
    "Standing",
    "Store",
    "Stored",
    "TicketQuery",
    "TicketRow",
    "Tickets",
    "Upkeep",
    "Vacuumed",
    "Wakes",
    "Write",
    "Written",
]


@frozen
class Lease:
    """The right to drive a run tree. `fence` grows with each owner."""

    root: RunId
    owner: str
    fence: int
    wrested: bool = field(default=False, compare=False)
    """it had ended by the clock alone: whoever had it before is not known to be dead, and may still be acting"""


@frozen
class Occupied:
    """Somebody else holds the lease; `seconds` until it ends if it is not renewed."""

    owner: str
    seconds: float


@frozen
class NewRun:
    """The row of a run that comes into being with its first facts.

    With `owner` the lease of the new tree is taken in the same transaction (fence 1).
    """

    root: RunId
    parent: RunId | None
    program: str
    bundle: str
    tenant: str
    actor: str
    requester: str
    trace_id: str
    span_id: str
    created: int
    owner: str | None = None
    lease_seconds: float = 0.0


@frozen
class Change:
    """What the facts of a write change in the run's row."""

    status: RunStatus
    parked_on: ParkedOn | None = None
    due: int | None = None
    updated: int = 0


@frozen
class Record:
    """A row that an act puts into the store: the last one of a key counts."""

    tenant: str
    key: str
    value: bytes
    """JSON"""
    at: int


@frozen
class TicketRow:
    """A ticket as it stands (`services.steps.tickets`). Each version takes the place of the one before."""

    id: str
    run: RunId
    root: RunId
    step: StepId
    state: TicketState
    version: int
    """1 for a new one"""
    opened: int
    expires: int
    salt: bytes | None
    """of its binding; None once the arguments are erased"""
    body: bytes
    """the ticket as JSON"""


@dataclass(slots=True)
class Write:
    """Facts of one run, proposed together: all of them or none.

    `lease` is checked in the writing statement. Without one (a signal, a cancel request) the facts are
    appended whoever drives. `release` gives the lease back with the same commit.
    """

    run: RunId
    root: RunId
    facts: Sequence[Sealed]
    lease: Lease | None = None
    create: NewRun | None = None
    change: Change | None = None
    release: bool = False
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    """large values by id, kept once per run tree"""
    records: Sequence[Record] = ()
    """what a transactional act puts into the store, in order: it is there if and only if the facts are"""
    tickets: Sequence[TicketRow] = ()
    """tickets opened or changed: the write is declined when one of them does not follow the version that stands"""
    standing: Sequence[StandingRow] = ()
    """standing approvals made or revoked, declined as tickets are"""
    leans: Sequence[Leaning] = ()
    """standing approvals that its intents go by: the write is declined when one of them is not in force"""
    wake: int | None = None
    """the tree wants a leg: if its root is parked it is due at this time (microseconds since 1970) at the latest; if it
    is being driven, its next park is, since its driver may not hear of these facts before it parks"""
    reserves: Sequence[Reserve] = ()
    """what its intent takes from budgets: all of it, or the write is declined"""
    settles: Sequence[Settle] = ()
    """what outcomes give back to budgets; one that nobody holds back is passed over"""
    under: Lease | None = None
    """another tree's lease, which is checked as `lease` is: whoever lost that tree has no say in this one either"""


@frozen
class Written:
    """The facts are in; `seq` is that of the last one, `head` the chain after it."""

    seq: int
    head: bytes
    balances: tuple[Balance, ...] = ()
    """of the budgets that it took from"""


@frozen
class Declined:
    """This write alone was dropped: no lease, a run that exists, or does not, a changed ticket, too little budget."""

    why: str
    """`lease`, `exists`, `unknown`, `approval` (also a standing one), `budget`"""
    short: Shortfall | None = None
    """of `budget`: which one, and what is left of it"""


class Ledger(Protocol):
    """Facts in, facts out."""

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        """Commit the writes in one transaction; a declined one leaves nothing, its siblings stand. Answers in order.

        Level.WRITTEN survives the process, Level.SYNCED also power loss, together with all written before.
        """

    def read(self, run: RunId, after: int = 0) -> list[Stored]:
        """The facts of a run with seq > after, in order; empty for an unknown run."""

    def blob(self, root: RunId, id: str) -> bytes:
        """A large value of a run tree. Raises StoreBroken when it is not there."""

    def record(self, tenant: str, key: str) -> bytes | None:
        """The value of a tenant's key as it was last put; None when it never was."""

    def seqs(self, roots: Sequence[RunId]) -> dict[RunId, int]:
        """The last seq of each of these root runs, for noticing what others appended."""

    def put_bundle(self, hash: str, body: bytes) -> None:
        """Keep a frozen catalog under its content hash; known hashes are left alone."""

    def bundle(self, hash: str) -> bytes | None:
        """The frozen catalog of that hash."""


class Leases(Protocol):
    """Who drives which tree."""

    def owner(self) -> str:
        """This store's own name for leases; asking for it takes the lock that tells others it is alive."""

    def acquire(self, root: RunId, owner: str, seconds: float) -> Lease | Occupied:
        """Take a free, ended or dead owner's lease with the next fence; an owner gets its own again.

        An owner on this machine whose process is gone is seen by the lock that the kernel dropped. Raises StoreBroken
        for a tree of which the anchors hold more than the ledger: an old copy was put back.
        """

    def renew(self, owner: str, seconds: float) -> None:
        """Prolong all leases of this owner."""

    def holds(self, lease: Lease) -> bool:
        """Whether this lease is still the one in force and has not ended."""

    def release(self, lease: Lease) -> None:
        """Give it back; no error when it is lost already."""


@frozen
class RunRow:
    """A run as lists show it."""

    run: RunId
    root: RunId
    parent: RunId | None
    program: str
    bundle: str
    tenant: str
    actor: str
    requester: str
    trace_id: str
    span_id: str
    status: RunStatus
    parked_on: ParkedOn | None
    due: int | None
    created: int
    updated: int
    seq: int
    head: bytes


@frozen
class RunQuery:
    """Which runs to list; what is None does not narrow. Newest first."""

    root: RunId | None = None
    roots_only: bool = True
    program: str | None = None
    """exact reference without version, e.g. `agent:offer-orchestrator-mag`"""
    status: RunStatus | None = None
    parked_on: ParkedOn | None = None
    since: int | None = None
    limit: int | None = 50


@frozen
class Hit:
    """Where a search found its words."""

    run: RunId
    seq: int
    kind: str
    text: str
    """the matching part, shortened"""


class Runs(Protocol):
    """The read side: rows and search."""

    def row(self, run: RunId) -> RunRow | None:
        """One run's row."""

    def named(self, prefix: str) -> list[RunId]:
        """At most ten root runs whose id starts with the prefix."""

    def rows(self, query: RunQuery) -> list[RunRow]:
        """Runs that match, newest first; the whole tree oldest first when `query.root` is given."""

    def due(self, now: int, limit: int) -> list[RunId]:
        """Root runs that want a leg and have no live driver: running without one, or parked and due."""

    def search(self, words: str, limit: int) -> list[Hit]:
        """Full-text search over bodies and payloads; all words must occur."""


@frozen
class Vacuumed:
    """What a vacuum removed, or would remove."""

    runs: int
    facts: int
    bundles: int
    cutoff: int
    dry_run: bool


@frozen
class TicketQuery:
    """Which tickets; what is None does not narrow. The oldest first."""

    root: RunId | None = None
    prefix: str | None = None
    """how the id begins"""
    waiting: bool = False
    """only open ones, of trees that have not ended"""
    limit: int | None = 50


class Tickets(Protocol):
    """What asks opened and people decide. They change in `Ledger.write` alone, together with the fact that says why."""

    def ticket(self, id: str) -> TicketRow | None:
        """One ticket; None when there is none of that id."""

    def tickets(self, query: TicketQuery) -> list[TicketRow]:
        """Tickets that match, the oldest first."""


@frozen
class Weight:
    """What a run tree takes."""

    root: RunId
    updated: int
    bytes: int
    """about; what the backend adds is estimated"""


class Upkeep(Protocol):
    """Keeping the store itself in order."""

    def describe(self) -> dict[str, object]:
        """Backend, location, schema version, counts, `bytes` in use, journal mode: for `doctor` and `data init`."""

    def check(self, heard: Callable[[int], None] | None = None) -> list[Fault]:
        """All faults of `Audited.verify`; `heard` is told after each run how many facts have been looked at."""

    def accept(self, by: str) -> dict[RunId, int]:
        """Let runs go on from what the ledger holds of them, though the anchors hold more: the runs, and up to where.

        It is on record among the anchors, with who said so. Empty when the anchors hold.
        """

    def vacuum(self, before: int, dry_run: bool) -> Vacuumed:
        """Remove ended run trees last touched before a time (`engine.keeping`), and bundles that no run needs."""

    def weights(self) -> list[Weight]:
        """The trees that a vacuum could remove, the least recently touched first."""

    def erase(self, root: RunId, tombstones: Mapping[RunId, Mapping[int, Sealed]], at: int) -> bool:
        """Take away the payloads and salts of facts of an ended tree, by run and seq, and the tree's large values.

        Each fact is told by its tombstone, a sealed `PayloadErased`, appended to its run in the same transaction. No
        search finds what was removed. `at` is when the rows were touched. False when old bytes may still stand in the
        files, because others were at work: the next vacuum overwrites them. Raises Invalid, and nothing is erased, when
        a run is not there.
        """

    def backup(self, destination: str) -> None:
        """Write a consistent copy while others go on. Raises Invalid when the destination exists."""

    def close(self) -> None:
        """Let go of files and locks; calling it twice is fine."""


class Wakes(Protocol):
    """Hints that a run may want a leg. They may be lost and may come for nothing: `due` alone decides."""

    def wait(self, seconds: float) -> bool:
        """Block until something was written, or the time is over; whether something was.

        Counted is what others wrote since the last call ended; what this store object wrote itself may count too.
        The first call begins to listen and answers True at once. One thread at a time; it keeps no other from
        the store while it waits.
        """


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

    def standing(self) -> Standing | None:
        """Why this ledger is closed; None for one in use."""

    def stand(self, standing: Standing | None, was: Standing | None) -> None:
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


class Store(
    Ledger, Leases, Runs, Tickets, StandingReads, Budgets, Throttles, Measures, Wakes, Upkeep, Audited, Moving, Protocol
):
    """All of it; what `app` builds and services take a part of."""
