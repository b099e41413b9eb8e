"""What an auditor takes along: every row as it stands, read without believing any of it."""

from collections.abc import Iterator, Mapping
from typing import Final

from magsag.adapters.store.anchors import Anchors
from magsag.adapters.store.checking import Reads
from magsag.adapters.store.claims import lines_at
from magsag.ports.auditing import Evidence

_RUN: Final = (
    "run", "root", "parent", "program", "bundle", "tenant", "actor", "requester", "trace_id", "span_id", "status",
    "parked_on", "due", "created", "updated", "seq", "head",
)  # fmt: skip
_FACT: Final = ("kind", "body", "digest", "salt", "input", "output", "seq", "head")
_TICKET: Final = ("id", "run", "root", "step", "state", "version", "opened", "expires", "salt", "body")
_STANDING: Final = ("id", "run", "root", "step", "target", "revoked", "version", "made", "until")


def evidence(
    connection: Reads, sql: Mapping[str, str], anchors: Anchors, mine: tuple[str, ...] = ()
) -> Iterator[Evidence]:
    """All rows of one moment. The caller has begun a transaction that has read nothing yet."""
    with anchors.still():
        connection.execute(sql["begin_view"]).fetchall()
        lines = lines_at(anchors.path)
    if lines is not None:
        yield Evidence("anchors", {"lines": lines})
    for (run,) in connection.execute(sql["owed_anchors"], mine).fetchall():
        yield Evidence("owed", {"run": run})
    for (run,) in connection.execute(sql["vacuumed_elsewhere"], mine).fetchall():
        yield Evidence("vacuumed", {"run": run})
    for row in connection.execute(sql["every_run"]).fetchall():
        yield Evidence("run", dict(zip(_RUN, row, strict=True)))
    for run, kind, *fact in connection.execute(sql["every_fact"]):
        values = dict(zip(_FACT, (kind.decode("utf-8", "replace"), *fact), strict=True))
        yield Evidence("fact", {"run": run, **values})
    for row in connection.execute(sql["pieces_tickets"]):
        yield Evidence("ticket", dict(zip(_TICKET, row, strict=True)))
    for row in connection.execute(sql["pieces_standing_approvals"]):
        yield Evidence("standing", dict(zip(_STANDING, row, strict=True)))
    for root, id, body in connection.execute(sql["every_blob"]):
        if root:
            yield Evidence("blob", {"root": root, "id": id, "body": body})
    for hash, body in connection.execute(sql["every_bundle"]):
        yield Evidence("bundle", {"hash": hash, "body": body})
