"""`data check` and `audit verify`: everything the ledger claims, held against itself and its anchors. Reads only."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from magsag.adapters.store.accounting import charging, check_budgets
from magsag.adapters.store.anchored import against_anchors, missing, reach
from magsag.adapters.store.anchors import Anchors
from magsag.adapters.store.claims import Claims
from magsag.adapters.store.glance import can_be_written
from magsag.adapters.store.reading import Reads, run_row
from magsag.adapters.store.rows import Seen, across, against_row, wrong_row
from magsag.adapters.store.shelved import check_records
from magsag.adapters.store.standing_approvals import standing_row
from magsag.domain.errors import Broken
from magsag.domain.ids import RunId
from magsag.domain.sealed import Fault, Stored
from magsag.engine.chain import is_blob, verify
from magsag.engine.charging import Charges
from magsag.ports.auditing import Reach, Verified, Vouching
from magsag.ports.standing_approvals import StandingRow

_BUNDLE: Final = re.compile(r"[0-9a-f]{64}")
_COMMITTED_BLOB: Final = re.compile(r"[0-9a-f]{32}-[0-9a-f]{64}")


def examine(
    connection: Reads,
    sql: Mapping[str, str],
    anchors: Anchors,
    heard: Callable[[int], None] | None,
    mine: tuple[str, ...] = (),
    copy: Path | None = None,
) -> Verified:
    """All faults of one moment. The caller has begun a transaction that has read nothing yet.

    `mine` is how a ledger with several files of anchors calls this one; `copy` is a copy of it from elsewhere.
    """
    claims = _claims(connection, sql, anchors, mine, copy)
    faults = [Fault("the file", what) for (what,) in connection.execute(sql["integrity"]) if what != "ok"]
    faults += claims.faults
    owed = {run for (run,) in connection.execute(sql["owed_anchors"], mine)}
    tickets, standing = _approvals(connection, sql)
    seen, reaches, charges, looked_at = Seen(), list[Reach](), Charges(), 0
    for values in connection.execute(sql["every_run"]).fetchall():
        if (wrong := wrong_row(values)) is not None:
            faults.append(wrong)
            continue
        row = seen.rows[values[0]] = run_row(values)
        found = connection.execute(sql["facts_to_check"], (row.run,))
        facts = [Stored(kind.decode("utf-8", "replace"), *fact) for kind, *fact in found]
        faults += verify(row.run, facts)
        faults += against_row(row, facts, tickets.pop(row.run, ()), standing, seen)
        faults += against_anchors(row, facts, claims, row.run in owed)
        charges.add(row.run, charging(facts))
        reaches.append(reach(row, facts, claims))
        looked_at += len(facts)
        if heard is not None:
            heard(looked_at)
    faults += _foreign(connection, sql, tickets)
    faults += _changed_bundles(connection, sql, seen)
    faults += check_budgets(connection.execute(sql["all_budgets"]), connection.execute(sql["reservations"]), charges)
    records = connection.execute(sql["pieces_records"]).fetchall()
    faults += seen.shelf.note(records, claims, copy is not None)
    faults += across(seen, _readable(connection.execute(sql["every_blob"])))
    faults += check_records(records, seen.shelf, seen.rows, claims)
    faults += missing(seen.rows, claims, owed, anchors.path, copy is not None)
    lacking = sum(reach.run in owed and reach.anchored < reach.facts for reach in reaches)
    return Verified(faults, reaches, _vouching(claims, copy or anchors.path, lacking, seen.shelf.noted))


def _claims(
    connection: Reads, sql: Mapping[str, str], anchors: Anchors, mine: tuple[str, ...], copy: Path | None
) -> Claims:
    """What the anchors claim, as of the moment at which the view of the ledger begins."""
    with anchors.still():
        connection.execute(sql["begin_view"]).fetchall()
        claims = anchors.claims(copy)
    claims.excused.update({run for (run,) in connection.execute(sql["vacuumed_elsewhere"], mine)} - claims.vacuumed)
    claims.reused.update(run for (run,) in connection.execute(sql["vacuumed_and_there"], mine))
    return claims


def _approvals(
    connection: Reads, sql: Mapping[str, str]
) -> tuple[dict[str, list[tuple[Any, ...]]], dict[RunId, list[StandingRow]]]:
    """Rows of tickets and of standing approvals, by run."""
    tickets: dict[str, list[tuple[Any, ...]]] = {}
    for ticket in connection.execute(sql["pieces_tickets"]):
        tickets.setdefault(ticket[1], []).append(ticket)
    standing: dict[RunId, list[StandingRow]] = {}
    for row in map(standing_row, connection.execute(sql["pieces_standing_approvals"])):
        standing.setdefault(row.run, []).append(row)
    return tickets, standing


def _readable(blobs: Iterable[tuple[str, str, bytes]]) -> Iterator[tuple[str, str, bytes]]:
    """Large values; one that was changed tells no others."""
    for root, id, body in blobs:
        yield root, id, bytes(body) if is_blob(id, bytes(body)) else b""


def _foreign(
    connection: Reads, sql: Mapping[str, str], tickets: Mapping[str, list[tuple[Any, ...]]]
) -> Iterator[Fault]:
    """Rows that belong to nothing, and large values that are not what their names commit to."""
    counts = {"facts": "foreign_facts", "large values": "foreign_blobs"}
    found = [(run, count, what) for what, name in counts.items() for run, count in connection.execute(sql[name])]
    for run, count, what in [*found, *((run, len(rows), "approvals") for run, rows in tickets.items())]:
        yield Fault(f"run {run}", f"{count} {what}, but no such run: the run was deleted, or these were added", run)
    for root, id, body in connection.execute(sql["every_blob"]):
        if _COMMITTED_BLOB.fullmatch(id) and not is_blob(id, body):
            yield Fault(f"run {root}, large value {id[:12]}", "it does not match its name: it was changed", root)


def _changed_bundles(connection: Reads, sql: Mapping[str, str], seen: Seen) -> Iterator[Fault]:
    """Frozen catalogs that are not what their hash says, or are gone: runs would go on with other code."""
    from magsag.catalog.frozen import content_hash, thaw  # only a check pays for it

    there: set[str] = set()
    for hash, body in connection.execute(sql["every_bundle"]):
        there.add(str(hash))
        if not _BUNDLE.fullmatch(str(hash)):
            continue
        try:
            is_whole = content_hash(thaw(bytes(body))) == hash
        except (Broken, TypeError):
            is_whole = False
        if not is_whole:
            yield Fault(f"bundle {hash[:12]}", "it does not match its hash: it was changed; restore a backup")
    wanted = {row.bundle for row in seen.rows.values() if _BUNDLE.fullmatch(row.bundle)}
    for hash in sorted(wanted - there):
        yield Fault(f"bundle {hash[:12]}", "runs were started with it, and it is gone: it was deleted")


def _vouching(claims: Claims, path: Path, lacking: int, noted: int) -> Vouching:
    accepted = tuple(claims.accepted)
    excused = len(claims.excused & claims.runs.keys())
    counts = (claims.lines, claims.head, claims.at, len(claims.vacuumed), excused, accepted)
    last = (can_be_written(path), lacking, noted)
    return Vouching(str(path), claims.exists, *counts, *last, copied=claims.copied)
