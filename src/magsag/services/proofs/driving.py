"""What one process of a proof does: start the run, or go on with it, until it ends or waits for a person.

It waits for no time: the clock is put forward. Signals come as `proof.yaml` says.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from magsag.domain.facts import ParkedOn, ParkReason, RunStatus, SignalReceived
from magsag.domain.ids import RunId
from magsag.engine.chain import unseal
from magsag.services.proofs.bench import Desk, Said
from magsag.services.runs import Order, RunResult

BY: Final = "proof"
"""who signals, and who ends doubts"""
_PASSING: Final = frozenset({ParkedOn.TIME, ParkedOn.EVENT, ParkedOn.CHILD})
Signals = Mapping[str, Sequence[Any]]
"""event -> its payloads: the first wait gets the first, and the last one is told again and again"""


class Later(Protocol):
    """A clock that can be put forward."""

    def now(self) -> int:
        """Microseconds since 1970."""

    def put_forward(self, at: int) -> None:
        """Let it be so late."""


async def drive(desk: Desk, order: Order, clock: Later, signals: Signals) -> Said:
    """The run's status and reasons, as JSON."""
    run = await desk.runs.start(order)
    while True:
        result = await desk.runs.resume(run)
        if not _goes_on(desk, result, clock, signals):
            return _said(result)


def _goes_on(desk: Desk, result: RunResult, clock: Later, signals: Signals) -> bool:
    """Let happen what the run waits for; whether that is possible."""
    if result.status is not RunStatus.PARKED or any(reason.on not in _PASSING for reason in result.reasons):
        return False
    told = [reason for reason in result.reasons if _signalled(desk, result.run, reason, signals)]
    if told:
        return True
    row = desk.store.row(result.run)
    dues = [reason.due for reason in result.reasons if reason.due is not None]
    due = min(dues) if dues else row.due if row is not None and _waits_for_time(result) else None
    if due is None or due <= clock.now():
        return False
    clock.put_forward(due)
    return True


def _signalled(desk: Desk, root: RunId, reason: ParkReason, signals: Signals) -> bool:
    """Tell a run what it waits for, as often as it was not told before."""
    if reason.event is None or reason.event not in signals:
        return False
    owner = reason.run or root
    facts = (unseal(stored) for stored in desk.store.read(owner))
    heard = sum(isinstance(fact, SignalReceived) and fact.event == reason.event for fact in facts)
    payloads = signals[reason.event]
    desk.events.signal(owner, reason.event, payloads[min(heard, len(payloads) - 1)], BY)
    return True


def _waits_for_time(result: RunResult) -> bool:
    return any(reason.on is ParkedOn.TIME for reason in result.reasons)


def _said(result: RunResult) -> Said:
    reasons = [
        {"on": one.on.value, "step": one.step, "reason": one.reason, "event": one.event} for one in result.reasons
    ]
    return {"status": result.status.value, "run": result.run, "reasons": reasons}
