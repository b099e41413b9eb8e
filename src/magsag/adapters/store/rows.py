"""Whether a run's row, and what hangs on it, is what its facts say; a part of `data check` and `audit verify`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from magsag.adapters.store.shelved import Shelf
from magsag.adapters.store.standing_approvals import check_standing
from magsag.adapters.store.tickets import Told, check_tickets, requesters_of_ticket
from magsag.domain.errors import Broken
from magsag.domain.facts import ENDS, Fact, ParkedOn, RunStatus, StepFailed, StepSucceeded
from magsag.domain.ids import TENANT, RunId, child_run_id
from magsag.domain.large import MARK_BYTES
from magsag.domain.sealed import Fault, Stored
from magsag.engine.chain import unseal
from magsag.engine.evolve import evolve
from magsag.engine.run import Run
from magsag.ports.ledger import RunRow
from magsag.ports.standing_approvals import StandingRow
from magsag.services.recording.parcel import marks

_SAME: Final = ("program", "bundle", "actor", "requester", "trace_id", "span_id", "parent")
"""what a run's row repeats of its first fact"""


@dataclass(slots=True)
class Seen:
    """What is known of all runs once each has been looked at."""

    rows: dict[RunId, RunRow] = field(default_factory=dict)
    ends: dict[RunId, set[str]] = field(default_factory=dict)
    """heads of child runs from their ends on: what is appended later may be told as well"""
    children: list[tuple[RunId, Stored, set[RunId], str]] = field(default_factory=list)
    """a run, its fact that tells a child's head, the runs that it may be, the head"""
    requesters: list[tuple[RunId, RunId, str, tuple[str, ...]]] = field(default_factory=list)
    """a run, its root, a ticket of it, and who may not decide that"""
    shelf: Shelf = field(default_factory=Shelf)
    """what they tell of records"""
    marks: dict[RunId, set[str]] = field(default_factory=dict)
    """the large values that payloads of a tree name"""

    def stayed(self, run: RunId, children: set[RunId]) -> bool:
        """Whether the child runs of one that was imported stayed in the ledger that it came from: detached ones do."""
        return self.rows[run].root in self.shelf.imported and not self.rows.keys() & children


def wrong_row(row: tuple[Any, ...]) -> Fault | None:
    """What stands in a row where nothing of ours would write it."""
    run, status, parked_on = row[0], row[10], row[11]
    if status not in set(RunStatus):
        return Fault(f"run {run}", f"its row has the unknown status {status!r}", run)
    if parked_on is not None and parked_on not in set(ParkedOn):
        return Fault(f"run {run}", f"its row is parked on {parked_on!r}, which is unknown", run)
    return None


def against_row(
    row: RunRow,
    facts: list[Stored],
    tickets: Sequence[tuple[Any, ...]],
    standing: Mapping[RunId, Sequence[StandingRow]],
    seen: Seen,
) -> Iterator[Fault]:
    """The row is what its facts say, and each fact may follow those before it."""
    where = f"run {row.run}"
    seq, head = (facts[-1].seq, facts[-1].head) if facts else (0, b"")
    if (row.seq, row.head) != (seq, head):
        said = f"its row ends at fact {row.seq}, its last fact is {seq}: facts were cut or added"
        yield Fault(where, said, row.run, min(row.seq, seq) + 1)
    run, told = Run(row.run), Told(row.run)
    for stored in facts:
        try:
            fact = unseal(stored)
            evolve(run, fact)
        except (Broken, LookupError, TypeError, ValueError) as error:
            said = f"it cannot stand here: {error}"
            yield Fault(f"{where}, fact {stored.seq}", said, row.run, stored.seq, stored.kind)
            return
        told.hear(stored.seq, fact)
        _note(seen, row, run, stored, fact)
    yield from _about_the_start(row, run)
    yield from _about_the_status(row, run)
    yield from check_tickets(told, run, tickets)
    for ticket in tickets:
        if (requesters := requesters_of_ticket(ticket)) is not None:
            seen.requesters.append((row.run, row.root, ticket[0], requesters))
    yield from check_standing(run, standing)


def across(seen: Seen, blobs: Iterable[tuple[str, str, bytes]]) -> Iterator[Fault]:
    """What only shows when all runs are known: parents, children, and large values that are gone."""
    for row in seen.rows.values():
        above = seen.rows.get(row.parent) if row.parent is not None else None
        if row.root != row.run and (above is None or above.root != row.root):
            yield Fault(f"run {row.run}", f"its parent {row.parent} is not in the tree of {row.root}", row.run)
    for run, stored, children, head in seen.children:
        if not any(head in seen.ends.get(child, ()) for child in children) and not seen.stayed(run, children):
            said = "its child run is not there, or did not end with the chain that this fact tells: it was rewritten"
            yield Fault(f"run {run}, fact {stored.seq}", said, run, stored.seq, stored.kind)
    for run, tree, ticket, requesters in seen.requesters:
        began = seen.rows.get(tree)
        if began is not None and requesters != tuple(dict.fromkeys((began.actor, began.requester))):
            said = "its requesters are not those who started the run: they were changed"
            yield Fault(f"run {run}, approval {ticket}", said, run)
    there: dict[str, set[str]] = {}
    for root, id, body in blobs:
        there.setdefault(root, set()).add(id)
        if MARK_BYTES in body:
            seen.marks.setdefault(RunId(root), set()).update(marks((body,)))
    for root, wanted in seen.marks.items():
        for id in sorted(wanted - there.get(root, set())):
            yield Fault(f"run {root}, large value {id[:12]}", "a fact names it, and it is gone: it was deleted", root)


def _note(seen: Seen, row: RunRow, run: Run, stored: Stored, fact: Fact) -> None:
    """Keep what other runs tell about this one, and it about them."""
    seen.shelf.hear(run, row.root, stored, fact)
    if run.ended is not None and row.parent is not None:
        seen.ends.setdefault(row.run, set()).add(stored.head.hex())
    if isinstance(fact, StepSucceeded | StepFailed) and fact.child_head is not None:
        attempts = range(1, max(1, run.steps[fact.step].attempt) + 1)
        children = {child_run_id(row.run, fact.step, attempt) for attempt in attempts}
        seen.children.append((row.run, stored, children, fact.child_head))
    for data in (stored.input, stored.output):
        if data is not None and MARK_BYTES in data:
            with suppress(ValueError, TypeError):  # one that was changed is told by its commitment
                seen.marks.setdefault(row.root, set()).update(marks((data,)))


def _about_the_start(row: RunRow, run: Run) -> Iterator[Fault]:
    where, started = f"run {row.run}", run.started
    if started is None:
        yield Fault(where, "its facts hold no start", row.run)
        return
    for name in _SAME:
        said, began = getattr(row, name), getattr(started, name)
        if said != began:
            yield Fault(where, f"its row has {name} {said!r}, it was started with {began!r}", row.run)
    if row.created != (started.forked_at or started.at):
        yield Fault(where, "its row says that it was created at another time than it was started", row.run)
    if row.tenant != TENANT:
        yield Fault(where, f"its row has tenant {row.tenant!r}, this version knows {TENANT!r}", row.run)
    if (row.root == row.run) != (row.parent is None or started.lineage is not None):
        yield Fault(where, f"its row stands in the tree of {row.root} with the parent {row.parent}", row.run)


def _about_the_status(row: RunRow, run: Run) -> Iterator[Fault]:
    where, ended = f"run {row.run}", run.ended
    if row.status is RunStatus.PARKED:
        parked = run.parked
        is_as_said = parked is not None and row.parked_on is parked.on and row.due is not None
        if parked is None or not is_as_said or (row.due or 0) > parked.due:  # whoever was woken is due earlier
            yield Fault(where, "its row is parked on something else than its facts say", row.run)
    elif row.parked_on is not None:
        yield Fault(where, f"its row says {row.status}, and parked on {row.parked_on}", row.run)
    if ended is None and row.status in ENDS:
        yield Fault(where, f"its row says {row.status}, its facts hold no end", row.run)
    if ended is None:
        return
    if row.status is not run.status:
        yield Fault(where, f"its row says {row.status}, its facts say {run.status}", row.run)
    if row.due is not None:
        yield Fault(where, "it has ended, and its row wants it to be looked at again", row.run)
