"""Where facts live. Adapters: `adapters.store`; their behaviour: `magsag.testing.store_suite`.

All methods are synchronous and thread-safe; a write may block for one disk sync, and whoever drives a loop
decides where to call it (`services.recording.recorder`). Times are microseconds since 1970 by the caller's clock,
except lease ends, which go by the store's clock. Every method raises StoreBroken when the store cannot be reached,
read or written; nothing of a failed call has happened. Once a ledger is closed (`Moving`), `write`, `acquire` and
`renew` raise LedgerClosed, which is one.

`root` is the run at the head of a tree; a lease covers the whole tree.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from magsag.domain.closure import Closure, Course
from magsag.domain.effects import Level
from magsag.domain.ids import RunId
from magsag.domain.sealed import Fault, Sealed, Stored
from magsag.ports.auditing import Audited
from magsag.ports.budgets import Budgets, KeptBudget, KeptCap, KeptReservation
from magsag.ports.measures import Measures
from magsag.ports.moving import AnchorLines, KeptBlob, KeptBundle, KeptRecord, KeptRun, KeptTicket, Moving, Piece
from magsag.ports.rows import (
    Change,
    Declined,
    Hit,
    Lease,
    NewRun,
    Occupied,
    Record,
    RunQuery,
    RunRow,
    TicketQuery,
    TicketRow,
    Vacuumed,
    Weight,
    Write,
    Written,
)
from magsag.ports.standing_approvals import StandingReads
from magsag.ports.throttles import Throttles

__all__ = [
    "AnchorLines",
    "Change",
    "Closure",
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
    "Store",
    "Stored",
    "TicketQuery",
    "TicketRow",
    "Tickets",
    "Upkeep",
    "Vacuumed",
    "Wakes",
    "Weight",
    "Write",
    "Written",
]


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


class Tickets(Protocol):
    """What asks opened and people decide. They change in `Ledger.write` alone, together with the fact that says why."""

    def ticket(self, id: str) -> TicketRow | None:
        """One ticket; None when there is none of that id."""

    def tickets(self, query: TicketQuery) -> list[TicketRow]:
        """Tickets that match, the oldest first."""


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

    def backup(self, destination: str) -> str:
        """Write a consistent copy while others go on; how to put it back. Raises Invalid where one exists."""

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


class Store(
    Ledger, Leases, Runs, Tickets, StandingReads, Budgets, Throttles, Measures, Wakes, Upkeep, Audited, Moving, Protocol
):
    """All of it; what `app` builds and services take a part of."""
