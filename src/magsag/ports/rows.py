"""What goes into a ledger and comes out of it: leases, writes and their answers, rows and questions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from magsag.domain.approval import TicketState
from magsag.domain.budget import Balance, Reserve, Settle, Shortfall
from magsag.domain.facts import ParkedOn, RunStatus
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId
from magsag.domain.sealed import Sealed
from magsag.ports.standing_approvals import Leaning, StandingRow


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


@frozen
class Weight:
    """What a run tree takes."""

    root: RunId
    updated: int
    bytes: int
    """about; what the backend adds is estimated"""
