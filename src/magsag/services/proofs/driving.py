"""What one process of a proof does: start the run, or go on with it, until it ends or waits for somebody."""

from typing import Any, Protocol

from magsag.domain.facts import ParkedOn, RunStatus
from magsag.services.proofs.bench import Desk, Said
from magsag.services.runs import Order, RunResult


class Later(Protocol):
    """A clock that can be put forward: a proof does not sleep for days."""

    def now(self) -> int:
        """Microseconds since 1970."""

    def put_forward(self, at: int) -> None:
        """Let it be so late."""


async def drive(desk: Desk, order: Order, clock: Later) -> Said:
    """The run's status and reasons, as JSON."""
    run = await desk.runs.start(order)
    while True:
        result = await desk.runs.resume(run)
        row = desk.store.row(run)
        if not _waits_for_time(result) or row is None or row.due is None or row.due <= clock.now():
            return _said(result)
        clock.put_forward(row.due)


def _waits_for_time(result: RunResult) -> bool:
    return result.status is RunStatus.PARKED and any(reason.on is ParkedOn.TIME for reason in result.reasons)


def _said(result: RunResult) -> dict[str, Any]:
    reasons = [{"on": one.on.value, "step": one.step, "reason": one.reason} for one in result.reasons]
    return {"status": result.status.value, "run": result.run, "reasons": reasons}
