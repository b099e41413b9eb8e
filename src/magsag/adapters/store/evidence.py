"""What an auditor takes along: every row as it stands, read without believing any of it."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, Final

from magsag.adapters.store.anchors import Anchors
from magsag.adapters.store.claims import lines_at
from magsag.adapters.store.reading import Reads
from magsag.domain.ids import RunId
from magsag.ports.auditing import Chosen, Evidence

_RUN: Final = (
    "run", "root", "parent", "program", "bundle", "tenant", "actor", "requester", "trace_id", "span_id", "status",
    "parked_on", "due", "created", "updated", "seq", "head",
)  # fmt: skip
_FACT: Final = ("kind", "body", "digest", "salt", "input", "output", "seq", "head")
_TICKET: Final = ("id", "run", "root", "step", "state", "version", "opened", "expires", "salt", "body")
_RECORD: Final = ("tenant", "key", "value", "run", "updated")
_STANDING: Final = ("id", "run", "root", "step", "target", "revoked", "version", "made", "until")


def evidence(
    connection: Reads,
    sql: Mapping[str, str],
    anchors: Anchors,
    mine: tuple[str, ...] = (),
    chosen: Chosen | None = None,
) -> Generator[Evidence, None, None]:
    """The rows of one moment, tree by tree. The caller has begun a transaction that has read nothing yet."""
    with anchors.still():
        connection.execute(sql["begin_view"]).fetchall()
        lines = lines_at(anchors.path)
    if lines is not None:
        yield Evidence("anchors", {"lines": lines})
    rows: list[dict[str, Any]] = [
        dict(zip(_RUN, row, strict=True)) for row in connection.execute(sql["every_run"]).fetchall()
    ]
    every = list(dict.fromkeys(row["root"] for row in rows))
    roots = None if chosen is None else chosen(rows)
    meant = set(every if roots is None else roots)
    yield from _beside(connection, sql, mine, rows, None if roots is None else meant)
    tickets = _by_run(_TICKET, connection.execute(sql["pieces_tickets"]))
    standing = _by_run(_STANDING, connection.execute(sql["pieces_standing_approvals"]))
    records = _by_run(_RECORD, connection.execute(sql["pieces_records"]))
    runs: dict[RunId, list[dict[str, Any]]] = {}
    for row in rows:
        runs.setdefault(row["root"], []).append(row)
    for root in (root for root in every if root in meant):
        yield from (Evidence("run", row, root) for row in runs[root])
        for row in runs[root]:
            yield from _facts(connection, sql, row["run"], root)
            yield from (Evidence("ticket", one, root) for one in tickets.pop(row["run"], ()))
            yield from (Evidence("standing", one, root) for one in standing.pop(row["run"], ()))
            yield from (Evidence("record", one, root) for one in records.pop(row["run"], ()))
        yield from _blobs(connection, sql, root, root)
    if roots is None:
        yield from _strayed(connection, sql, set(every), {"ticket": tickets, "standing": standing, "record": records})


def _beside(
    connection: Reads,
    sql: Mapping[str, str],
    mine: tuple[str, ...],
    rows: Iterable[Mapping[str, Any]],
    meant: set[RunId] | None,
) -> Iterator[Evidence]:
    """What is of no tree: notes about anchors, and bundles."""
    runs = None if meant is None else {row["run"] for row in rows if row["root"] in meant}
    wanted = None if meant is None else {row["bundle"] for row in rows if row["root"] in meant}
    for sort, name in (("owed", "owed_anchors"), ("vacuumed", "vacuumed_elsewhere")):
        for (run,) in connection.execute(sql[name], mine).fetchall():
            if runs is None or run in runs:
                yield Evidence(sort, {"run": run})
    for hash, body in connection.execute(sql["every_bundle"]):
        if wanted is None or hash in wanted:
            yield Evidence("bundle", {"hash": hash, "body": body})


def _strayed(
    connection: Reads,
    sql: Mapping[str, str],
    roots: set[RunId],
    others: Mapping[str, Mapping[str, list[dict[str, Any]]]],
) -> Iterator[Evidence]:
    """Rows of runs and trees that are not there."""
    for run, _ in connection.execute(sql["foreign_facts"]).fetchall():
        yield from _facts(connection, sql, run, None)
    for sort, of in others.items():
        yield from (Evidence(sort, values) for found in of.values() for values in found)
    for (root,) in connection.execute(sql["blob_roots"]).fetchall():
        if root not in roots:
            yield from _blobs(connection, sql, root, None)


def _facts(connection: Reads, sql: Mapping[str, str], run: RunId, root: RunId | None) -> Iterator[Evidence]:
    for kind, *fact in connection.execute(sql["facts_to_check"], (run,)).fetchall():
        values = dict(zip(_FACT, (kind.decode("utf-8", "replace"), *fact), strict=True))
        yield Evidence("fact", {"run": run, **values}, root)


def _blobs(connection: Reads, sql: Mapping[str, str], root: RunId, tree: RunId | None) -> Iterator[Evidence]:
    for of, id, body in connection.execute(sql["blobs_of"], (root,)).fetchall():
        yield Evidence("blob", {"root": of, "id": id, "body": body}, tree)


def _by_run(names: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        values = dict(zip(names, row, strict=True))
        found.setdefault(values["run"], []).append(values)
    return found
