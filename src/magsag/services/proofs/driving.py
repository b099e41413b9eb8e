"""What one process of a proof does: start the run, or go on with it, until it ends or waits for a person.

It waits for no time: the clock is put forward. Signals come as `proof.yaml` says.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from magsag.domain.facts import ParkedOn, ParkReason, SignalReceived
from magsag.domain.ids import RunId
from magsag.engine.chain import unseal
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Order
from magsag.services.proofs.bench import Desk, Said

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
        waits = list(_waits(desk, result))
        if not _goes_on(desk, waits, clock, signals):
            return {"status": result.status.value, "reasons": [_said(root, reason) for root, reason in waits]}


def _waits(desk: Desk, result: RunResult) -> Iterator[tuple[RunId, ParkReason]]:
    """What is waited for, each with the tree in which it waits: a detached child run is a tree of its own."""
    for reason in result.reasons:
        if reason.on is ParkedOn.CHILD and reason.run is not None:
            below = list(_waits(desk, desk.runs.result(reason.run)))
            yield from below or [(result.run, reason)]
        else:
            yield result.run, reason


def _goes_on(desk: Desk, waits: Sequence[tuple[RunId, ParkReason]], clock: Later, signals: Signals) -> bool:
    """Let happen what is waited for; whether that is possible. What a person decides goes first."""
    if any(reason.on not in _PASSING for _, reason in waits):
        return False
    told = [_signalled(desk, reason.run or root, reason, signals) for root, reason in waits]
    if any(told):
        return True
    dues = [reason.due for _, reason in waits if reason.due is not None]
    if not dues or min(dues) <= clock.now():
        return False
    clock.put_forward(min(dues))
    return True


def _signalled(desk: Desk, run: RunId, reason: ParkReason, signals: Signals) -> bool:
    """Tell a run what it waits for; whether `signals` says it."""
    if reason.event is None or reason.event not in signals:
        return False
    facts = (unseal(stored) for stored in desk.store.read(run))
    heard = sum(isinstance(fact, SignalReceived) and fact.event == reason.event for fact in facts)
    payloads = signals[reason.event]
    desk.events.signal(run, reason.event, payloads[min(heard, len(payloads) - 1)], BY)
    return True


def _said(root: RunId, reason: ParkReason) -> Said:
    return {"run": root, "on": reason.on.value, "step": reason.step, "reason": reason.reason, "event": reason.event}
