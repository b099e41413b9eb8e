"""A SQLite ledger of a proof with which somebody tampers: rows are changed, looked at, and changed back.

One transaction for each trial, which is never committed. What the file of anchors holds is put back as well.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from magsag.adapters.store.checking import examine
from magsag.adapters.store.evidence import evidence
from magsag.adapters.store.sqlite import SqliteStore
from magsag.ports.auditing import Evidence, Verified
from magsag.services.proofs.edits import Anchored, Change, Drop, Edit, Excused

TABLES: Final[Mapping[str, str]] = {
    "run": "runs",
    "fact": "facts",
    "ticket": "approvals",
    "blob": "blobs",
    "bundle": "bundles",
    "record": "records",
}
_EXCUSES: Final = ("insert or ignore into unanchored(run) values (?)",)


class SqliteTrial:
    """`services.proofs.audit.Trial` on one file that nobody else writes meanwhile."""

    def __init__(self, store: SqliteStore) -> None:
        self._database = store._database
        self._anchors = store._anchors

    def tampered(self, edits: Sequence[Edit]) -> tuple[int, Verified, list[Evidence]]:
        """See `services.proofs.audit.Trial`."""
        sql = self._database.sql
        with self._database.lock, closing(sqlite3.connect(self._database.path, isolation_level=None)) as connection:
            connection.execute("begin immediate")

            def change(statement: str, values: tuple[Any, ...]) -> int:
                return connection.execute(statement, values).rowcount

            changed = applied(edits, change, "?", _EXCUSES)
            with anchored(self._anchors.path, edits) as altered:
                verified = examine(connection, sql, self._anchors, None)
                found = list(evidence(connection, sql, self._anchors))
            connection.execute("rollback")
        return changed + altered, verified, found


def applied(
    edits: Sequence[Edit], change: Callable[[str, tuple[Any, ...]], int], mark: str, excuses: Sequence[str]
) -> int:
    """Do the edits of rows; how many rows they were.

    `mark` is where a value goes in a statement; `excuses` are statements that note a run as owed, or as vacuumed.
    """
    count = 0
    for edit in edits:
        if isinstance(edit, Anchored):
            continue
        if isinstance(edit, Excused):
            count += sum(change(statement, (edit.run,)) for statement in excuses)
            continue
        where = " and ".join(f"{name} = {mark}" for name in edit.key)
        match edit:
            case Change(sort, key, values):
                columns = ", ".join(f"{name} = {mark}" for name in values)
                given = (*values.values(), *key.values())
                count += change(f"update {TABLES[sort]} set {columns} where {where}", given)
            case Drop(sort, key):
                count += change(f"delete from {TABLES[sort]} where {where}", tuple(key.values()))
    return count


@contextmanager
def anchored(path: Path, edits: Sequence[Edit]) -> Iterator[int]:
    """The file of anchors as the edits want it, while the block runs; how many changed it."""
    wanted = [edit for edit in edits if isinstance(edit, Anchored)]
    if not wanted:
        yield 0
        return
    before = path.read_bytes()
    try:
        if (data := wanted[-1].data) is None:
            path.unlink()
        else:
            path.write_bytes(data)
        yield int(wanted[-1].data != before)
    finally:
        path.write_bytes(before)
