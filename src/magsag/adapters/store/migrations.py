"""Brings a database to this version's schema, or says why it is left alone.

A fresh file gets all migrations, an older one is copied first. A newer one, one whose migrations were changed and
one that is not ours are refused and left as they are. Two processes may open a file at once: the work happens under
the write lock, and whoever comes second finds it done.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from enum import Enum
from pathlib import Path
from typing import Final

from magsag.adapters.store.statements import Migration
from magsag.domain.errors import StoreBroken

_TABLE: Final = """create table migrations(
    n integer primary key,
    name text not null,
    checksum text not null,
    applied integer not null,
    version text not null
)"""
_OURS: Final = frozenset({"migrations", "runs", "facts", "leases"})


class State(Enum):
    """How a database stands to a list of migrations."""

    FRESH = "fresh"
    OLDER = "older"
    CURRENT = "current"


def state_of(connection: sqlite3.Connection, path: Path, known: Sequence[Migration]) -> State:
    """Look without touching. Raises StoreBroken for a database that must be left alone."""
    tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
    if not tables:
        return State.FRESH
    if not tables.issuperset(_OURS):
        raise StoreBroken(
            f"{path}: this database is not a MAGSAG ledger (tables: {', '.join(sorted(tables)[:5])}); "
            "it was left as it is; choose another file with --project or move it away"
        )
    applied = connection.execute("select n, checksum, version from migrations order by n").fetchall()
    refuse_changed(str(path), applied, known)
    return State.CURRENT if len(applied) == len(known) else State.OLDER


def refuse_changed(shown: str, applied: Sequence[tuple[int, str, str]], known: Sequence[Migration]) -> None:
    """Raise StoreBroken for a newer database, and for one that other migrations shaped."""
    for n, checksum, version in applied:
        if n > len(known):
            raise StoreBroken(
                f"{shown}: written by magsag {version} (schema {n}, this version knows {len(known)}); "
                f"install magsag {version} or newer"
            )
        if checksum != known[n - 1].checksum:
            raise StoreBroken(
                f"{shown}: migration {n} is not the one that shaped this database; "
                f"install the magsag that wrote it ({version}), or restore a backup"
            )


def migrate(connection: sqlite3.Connection, path: Path, known: Sequence[Migration], version: Callable[[], str]) -> None:
    """Apply what is missing, in one transaction; `version` names the magsag that does so."""
    connection.execute("begin immediate")
    try:
        state = state_of(connection, path, known)
        if state is State.FRESH:
            connection.execute(_TABLE)
        (done,) = connection.execute("select count(*) from migrations").fetchone()
        if state is State.OLDER:
            _copy(path, path.with_name(f"{path.name}.before-{done + 1}"))
        for migration in known[done:]:
            for statement in _split(migration.script):
                connection.execute(statement)
            row = (migration.n, migration.name, migration.checksum, time.time_ns() // 1000, version())
            connection.execute("insert into migrations values(?, ?, ?, ?, ?)", row)
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:
            connection.execute("rollback")
        raise


def _copy(source: Path, destination: Path) -> None:
    """A consistent copy of what was committed; an unfinished one never has the final name."""
    part = destination.with_name(destination.name + ".part")
    part.unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(part)) as new:
        old.backup(new)
    os.replace(part, destination)


def _split(script: str) -> Iterator[str]:
    """The statements of a script, without their comments' own lines."""
    statement = ""
    for line in script.splitlines(keepends=True):
        if line.startswith("--") and not statement.strip():
            continue
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
