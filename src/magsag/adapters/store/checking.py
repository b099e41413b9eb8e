"""`data check`: everything the ledger claims, verified against itself and against its anchors. Reads only."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

from magsag.adapters.store.anchors import Anchors, Claims
from magsag.adapters.store.reading import run_row
from magsag.adapters.store.standing_approvals import check_standing, standing_row
from magsag.adapters.store.tickets import check_tickets
from magsag.domain.errors import Broken
from magsag.domain.facts import ENDS, ParkedOn, RunStatus
from magsag.domain.ids import RunId
from magsag.domain.sealed import Fault, Stored
from magsag.engine.chain import is_blob, unseal, verify
from magsag.engine.run import Run, evolve
from magsag.ports.ledger import RunRow
from magsag.ports.standing_approvals import StandingRow

_SAME: Final = ("program", "bundle", "actor", "requester", "trace_id", "span_id")
"""what a run's row repeats of its first fact"""
_BUNDLE: Final = re.compile(r"[0-9a-f]{64}")
_COMMITTED_BLOB: Final = re.compile(r"[0-9a-f]{32}-[0-9a-f]{64}")


class Rows(Protocol):
    """What a statement answers."""

    def __iter__(self) -> Iterator[tuple[Any, ...]]: ...

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All of them."""


class Reads(Protocol):
    """A connection to any database."""

    def execute(self, query: str, parameters: tuple[Any, ...] = (), /) -> Rows:
        """The rows of a statement."""


def check(
    connection: Reads,
    sql: Mapping[str, str],
    anchors: Anchors,
    heard: Callable[[int], None] | None,
    mine: tuple[str, ...] = (),
) -> list[Fault]:
    """All faults of one moment. The caller has begun a transaction that has read nothing yet.

    `mine` is how a ledger with several files of anchors calls this one.
    """
    with anchors.still():
        connection.execute(sql["begin_view"]).fetchall()
        claims = anchors.claims()
    claims.vacuumed.update(run for (run,) in connection.execute(sql["vacuumed_elsewhere"], mine))
    faults = [Fault("the file", what) for (what,) in connection.execute(sql["integrity"]) if what != "ok"]
    faults += claims.faults
    faults += _foreign(connection, sql)
    faults += _changed_bundles(connection, sql)
    owed = {run for (run,) in connection.execute(sql["owed_anchors"], mine)}
    tickets: dict[str, list[tuple[Any, ...]]] = {}
    for ticket in connection.execute(sql["pieces_tickets"]):
        tickets.setdefault(ticket[1], []).append(ticket)
    standing: dict[RunId, list[StandingRow]] = {}
    for found_standing in map(standing_row, connection.execute(sql["pieces_standing_approvals"])):
        standing.setdefault(found_standing.run, []).append(found_standing)
    runs: dict[RunId, RunRow] = {}
    looked_at = 0
    for row in connection.execute(sql["every_run"]).fetchall():
        if (wrong := _wrong_row(row)) is not None:
            faults.append(wrong)
            continue
        run = runs[row[0]] = run_row(row)
        found = connection.execute(sql["facts_to_check"], (run.run,))
        facts = [Stored(kind.decode("utf-8", "replace"), *fact) for kind, *fact in found]
        faults += verify(run.run, facts)
        faults += _against_row(run, facts, tickets, standing)
        faults += _against_anchors(run, facts, claims, run.run in owed)
        looked_at += len(facts)
        if heard is not None:
            heard(looked_at)
    faults += _missing(runs, claims, owed, anchors)
    return faults


def _foreign(connection: Reads, sql: Mapping[str, str]) -> Iterator[Fault]:
    """Rows that belong to nothing, and large values that are not what their names commit to."""
    for what, name in (("facts", "foreign_facts"), ("large values", "foreign_blobs")):
        for run, count in connection.execute(sql[name]):
            yield Fault(f"run {run}", f"{count} {what}, but no such run: the run was deleted, or these were added", run)
    for root, id, body in connection.execute(sql["every_blob"]):
        if _COMMITTED_BLOB.fullmatch(id) and not is_blob(id, body):
            yield Fault(f"run {root}, large value {id[:12]}", "it does not match its name: it was changed", root)


def _changed_bundles(connection: Reads, sql: Mapping[str, str]) -> Iterator[Fault]:
    """Frozen catalogs that are not what their hash says: runs would go on with other code."""
    from magsag.catalog.frozen import content_hash, thaw  # only a check pays for it

    for hash, body in connection.execute(sql["every_bundle"]):
        if not _BUNDLE.fullmatch(str(hash)):
            continue
        try:
            is_whole = content_hash(thaw(bytes(body))) == hash
        except (Broken, TypeError):
            is_whole = False
        if not is_whole:
            yield Fault(f"bundle {hash[:12]}", "it does not match its hash: it was changed; restore a backup")


def _wrong_row(row: tuple[Any, ...]) -> Fault | None:
    run, status, parked_on = row[0], row[10], row[11]
    if status not in set(RunStatus):
        return Fault(f"run {run}", f"its row has the unknown status {status!r}", run)
    if parked_on is not None and parked_on not in set(ParkedOn):
        return Fault(f"run {run}", f"its row is parked on {parked_on!r}, which is unknown", run)
    return None


def _against_row(
    row: RunRow,
    facts: list[Stored],
    tickets: Mapping[str, Sequence[tuple[Any, ...]]],
    standing: Mapping[RunId, Sequence[StandingRow]],
) -> Iterator[Fault]:
    """The row is what its facts say, and each fact may follow those before it."""
    where = f"run {row.run}"
    seq, head = (facts[-1].seq, facts[-1].head) if facts else (0, b"")
    if (row.seq, row.head) != (seq, head):
        yield Fault(where, f"its row ends at fact {row.seq}, its last fact is {seq}: facts were cut or added", row.run)
    run = Run(row.run)
    for fact in facts:
        try:
            evolve(run, unseal(fact))
        except (Broken, LookupError, TypeError, ValueError) as error:
            yield Fault(f"{where}, fact {fact.seq}", f"it cannot stand here: {error}", row.run)
            return
    for name in _SAME if run.started is not None else ():
        said, began = getattr(row, name), getattr(run.started, name)
        if said != began:
            yield Fault(where, f"its row has {name} {said!r}, it was started with {began!r}", row.run)
    is_root = row.parent is None or (run.started is not None and run.started.lineage is not None)
    if (row.root == row.run) != is_root:
        yield Fault(where, f"its row stands in the tree of {row.root} with the parent {row.parent}", row.run)
    if row.status is RunStatus.PARKED:
        parked = run.parked
        is_as_said = parked is not None and row.parked_on is parked.on and row.due is not None
        if parked is None or not is_as_said or (row.due or 0) > parked.due:  # whoever was woken is due earlier
            yield Fault(where, "its row is parked on something else than its facts say", row.run)
    if run.ended is not None and row.status is not run.status:
        yield Fault(where, f"its row says {row.status}, its facts say {run.status}", row.run)
    if run.ended is None and row.status in ENDS:
        yield Fault(where, f"its row says {row.status}, its facts hold no end", row.run)
    yield from check_tickets(run, tickets)
    yield from check_standing(run, standing)


def _against_anchors(row: RunRow, facts: list[Stored], claims: Claims, owed: bool) -> Iterator[Fault]:
    """What was anchored once is still there; what has ended was anchored."""
    if row.run in claims.vacuumed:
        return  # a new run under an old name that has not come to rest yet, or a vacuum that failed after its line
    where = f"run {row.run}"
    anchored = claims.runs.get(row.run, [])
    for seq, head in anchored:
        if seq > len(facts):
            what = f"the ledger is behind its anchors: fact {seq} was anchored, the last is {len(facts)}"
            yield Fault(where, f"{what}; the tail was cut, or an old copy was put back", row.run)
            return
        if facts[seq - 1].head.hex() != head:
            yield Fault(
                where, f"the chain up to fact {seq} is not the one that was anchored: it was rewritten", row.run
            )
            return
    if row.status not in ENDS or owed or not claims.exists:
        return
    end = max((fact.seq for fact in facts if fact.kind == "RunEnded"), default=0)
    if not any(seq >= end for seq, _ in anchored):
        yield Fault(where, "it has ended, and no anchor says so: lines were cut from the anchors", row.run)


def _missing(runs: Mapping[RunId, RunRow], claims: Claims, owed: set[RunId], anchors: Anchors) -> Iterator[Fault]:
    if not claims.exists and any(row.status in ENDS and row.run not in owed for row in runs.values()):
        yield Fault(
            str(anchors.path), "the anchors are missing, though runs have ended; restore the file from a backup"
        )
    for run in claims.runs:
        if claims.runs[run] and run not in runs and run not in claims.vacuumed:
            yield Fault(f"run {run}", "it was anchored, and the ledger does not hold it: it was deleted", run)
