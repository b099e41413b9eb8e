"""How runs begin, are found again, and park: the facts and rows that root and child runs share."""

from typing import Final

from magsag.domain import facts
from magsag.domain.errors import Invalid
from magsag.domain.ids import TENANT, RunId
from magsag.engine.chain import unseal_in
from magsag.engine.evolve import evolve
from magsag.engine.run import Run
from magsag.ports.ledger import Ledger, NewRun
from magsag.services.steps.seat import Seat

DAY: Final = 86_400_000_000
"""after this many microseconds a run that waits for others is looked at again even if nothing wakes it"""


def read_run(ledger: Ledger, id: RunId) -> Run | None:
    """Fold a run from the ledger; None when there is no such run."""
    run = Run(id)
    for stored in ledger.read(id):
        evolve(run, unseal_in(id, stored))
    return run if run.started is not None else None


def new_run(started: facts.RunStarted, root: RunId, owner: str | None = None, lease_seconds: float = 0.0) -> NewRun:
    """The row of a run that begins with this fact, in the tree of `root`; with `owner` it takes the lease.

    A fork keeps the time of the run that it goes back to, so that its program comes to the same; it was made later.
    """
    return NewRun(
        root=root,
        parent=started.parent,
        program=started.program,
        bundle=started.bundle,
        tenant=TENANT,
        actor=started.actor,
        requester=started.requester,
        trace_id=started.trace_id,
        span_id=started.span_id,
        created=started.forked_at or started.at,
        owner=owner,
        lease_seconds=lease_seconds,
    )


def parked(now: int, seat: Seat) -> facts.RunParked:
    """The fact that a run waits; it is due when the first of its reasons is over, or its time."""
    deadline = deadline_ahead(seat)
    dues = [now + DAY if reason.due is None else reason.due for reason in seat.reasons]
    due = min(dues if deadline is None else [*dues, deadline])
    return facts.RunParked(at=now, on=seat.reasons[0].on, due=due, reasons=tuple(seat.reasons))


def deadline_ahead(seat: Seat) -> int | None:
    """When the time of a run is over. One that was over as the leg began has been seen to: nobody waits for it."""
    deadline = started_of(seat.run).deadline
    return deadline if deadline is not None and deadline > seat.leg.began else None


def started_of(run: Run) -> facts.RunStarted:
    """The first fact of a run. Raises Invalid when the run is not in the ledger."""
    if run.started is None:
        raise Invalid(f"run {run.id} is not in the ledger")
    return run.started
