"""How a run stands, from the last fact by which it came to rest."""

from typing import Any

from magsag.domain import facts
from magsag.domain.errors import Invalid, StepFailed
from magsag.domain.facts import ParkReason, RunStatus
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.engine.chain import unseal
from magsag.ports.ledger import RunRow, Store
from magsag.services.recording.known import known_row
from magsag.services.recording.large import plain

_RESTS = frozenset({facts.RunEnded.__name__, facts.RunParked.__name__})


@frozen
class RunResult:
    """How a run stands: ended with an output or an error, parked with reasons, or running."""

    run: RunId
    status: RunStatus
    output: Any = None
    error: StepFailed | None = None
    reasons: tuple[ParkReason, ...] = ()


def result_of(store: Store, run: RunId) -> RunResult:
    """How a run stands. Raises Invalid for an unknown run."""
    row = known_row(store, run)
    return _told(store, row, _rest(store, run, row.seq - 1) or _rest(store, run, 0))


def _rest(store: Store, run: RunId, after: int) -> facts.RunEnded | facts.RunParked | None:
    """The last fact by which it came to rest; others may be appended behind it."""
    rest: facts.RunEnded | facts.RunParked | None = None
    for stored in store.read(run, after):
        if stored.kind in _RESTS and isinstance(fact := unseal(stored), facts.RunEnded | facts.RunParked):
            rest = fact
    return rest


def _told(store: Store, row: RunRow, last: facts.RunEnded | facts.RunParked | None) -> RunResult:
    """What it says; a parked run that is driven again waits for nothing."""
    if not isinstance(last, facts.RunEnded):
        waits = last is not None and row.status is RunStatus.PARKED
        return RunResult(row.run, row.status, reasons=last.reasons if last and waits else ())
    if last.output is None:
        raise Invalid(f"run {row.run} ended {row.status}; what it gave was erased: `magsag run show {row.run}`")
    value: Any = plain(store, row.root, last.output)
    if row.status in (RunStatus.SUCCEEDED, RunStatus.PARTIAL):
        return RunResult(row.run, row.status, output=value)
    error = StepFailed(value["type"], value["message"], value["details"], value["step"])
    return RunResult(row.run, row.status, error=error)
