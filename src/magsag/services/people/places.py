"""Whether the run that a ticket is of can still be decided about, and who counts as known there."""

from magsag.domain.approval import Acting, Proof, RefusedFor
from magsag.domain.errors import Refused
from magsag.domain.facts import ENDS
from magsag.domain.ids import RunId
from magsag.policy.people import DEVELOPMENT
from magsag.ports.ledger import Store, TicketRow
from magsag.services.steps.beginnings import read_run, started_of


def require_open(store: Store, root: RunId) -> None:
    """Raises Refused once the tree has ended."""
    row = store.row(root)
    if row is None or row.status in ENDS:
        how = row.status if row else "it is gone"
        raise Refused(f"run {root} has ended already: {how}; magsag run show {root}", RefusedFor.ENDED)


def require_known(store: Store, run: RunId, by: Acting) -> None:
    """A claim counts by where the run is, not by what whoever claims calls the place where they sit. Raises Refused."""
    if by.proof is not Proof.CLAIM:
        return
    begun = read_run(store, run)
    environment = started_of(begun).environment if begun is not None else "no known environment"
    if environment != DEVELOPMENT:
        said = f"--as {by.id}: a claim counts in {DEVELOPMENT} only, and run {run} is in {environment}"
        raise Refused(said, RefusedFor.CLAIM)


def has_ended(store: Store, row: TicketRow) -> bool:
    """Whether nobody will ask for the ticket any more; the store keeps what was open then."""
    runs = [store.row(run) for run in dict.fromkeys((row.run, row.root))]
    return any(run is None or run.status in ENDS for run in runs)
