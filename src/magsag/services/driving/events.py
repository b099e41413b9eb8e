"""Signals: what anybody may tell a run, whoever drives it.

A signal is a fact of the run that it is told to, appended without a lease; it wakes the tree. Which wait it satisfies
is the run's own matter (`services.gate.waiting`). Driving the run on is the caller's next step.
"""

from magsag.domain.effects import Level
from magsag.domain.errors import Invalid
from magsag.domain.facts import ENDS, SignalReceived
from magsag.domain.ids import RunId
from magsag.domain.waits import event_named
from magsag.engine.chain import seal
from magsag.ports.clock import Clock
from magsag.ports.ledger import Declined, RunRow, Store, Write
from magsag.services.driving.drive import Drive
from magsag.services.gate.given import encoded
from magsag.services.gate.untold import Untold
from magsag.services.recording.known import known_row
from magsag.services.recording.large import set_apart


class Events:
    """Tells runs of events."""

    def __init__(self, store: Store, drive: Drive, clock: Clock, untold: Untold) -> None:
        self._store = store
        self._drive = drive
        self._clock = clock
        self._untold = untold

    def signal(self, run: RunId, event: str, payload: object, by: str) -> RunId:
        """Put a signal on record, synced, and wake the run; the root run of its tree, which can be driven on then.

        Raises Invalid for an unknown or ended run, a name that is none, and a payload that is no JSON or
        holds a secret.
        """
        row = self._row(run)
        what = f"payload of the signal {event_named(event)}"
        data, value = encoded(payload, what)
        self._untold.require(row.bundle, value, what)
        data, blobs = set_apart(data, self._clock)
        fact = SignalReceived(at=self._clock.now(), event=event, by=by, input=data)
        write = Write(run, row.root, [seal(fact, self._clock.chance(16))], blobs=blobs, wake=fact.at)
        (answer,) = self._store.write([write], Level.SYNCED)
        if isinstance(answer, Declined):
            raise Invalid(f"run {run} was removed meanwhile")
        self._drive.forget(row.root)
        return row.root

    def _row(self, run: RunId) -> RunRow:
        row = known_row(self._store, run)
        if row.status in ENDS:
            raise Invalid(f"run {run} has ended already: {row.status}; nothing in it waits any more")
        return row
