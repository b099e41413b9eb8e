"""Brings a schema to this version, or says why it is left alone.

A fresh schema gets all migrations. A newer one, one whose migrations were changed and one that holds somebody else's
tables are refused and left as they are. Everything happens in one transaction under an advisory lock, so a migration
that fails has not happened and of two processes the second finds it done; no copy is made (`pg_dump` does that).
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import psycopg
from psycopg import sql

from magsag.adapters.store.migrations import State, refuse_changed
from magsag.adapters.store.postgres.statements import functions, migrations
from magsag.adapters.store.postgres.statements import version as functions_version
from magsag.adapters.store.postgres.target import Target
from magsag.adapters.store.statements import Migration
from magsag.domain.errors import StoreBroken

_TABLE: Final = """create table migrations(
    n int primary key,
    name text not null,
    checksum text not null,
    applied bigint not null,
    version text not null
)"""
_OURS: Final = frozenset({"migrations", "runs", "facts", "leases"})
_LOCK: Final = "select pg_advisory_xact_lock(hashtextextended('magsag migrations ' || %s, 0))"


def bring_up_to_date(
    connection: psycopg.Connection[Any],
    target: Target,
    version: Callable[[], str],
    known: Sequence[Migration] | None = None,
) -> None:
    """Raises StoreBroken for a schema that must be left alone."""
    wanted = migrations() if known is None else known
    if state_of(connection, target, wanted) is not State.CURRENT or not _has_functions(connection, target):
        migrate(connection, target, wanted, version)


def state_of(connection: psycopg.Connection[Any], target: Target, known: Sequence[Migration]) -> State:
    """Look without touching. Raises StoreBroken for a schema that must be left alone."""
    found = connection.execute("select tablename from pg_tables where schemaname = %s", (target.schema,))
    tables = {str(name) for (name,) in found}
    if not tables:
        return State.FRESH
    if not tables.issuperset(_OURS):
        raise StoreBroken(
            f"{target.shown}: the schema {target.schema} is not a MAGSAG ledger (tables: "
            f"{', '.join(sorted(tables)[:5])}); it was left as it is; choose another with ?schema=NAME"
        )
    applied = connection.execute("select n, checksum, version from migrations order by n").fetchall()
    refuse_changed(target.shown, applied, known)
    return State.CURRENT if len(applied) == len(known) else State.OLDER


def migrate(
    connection: psycopg.Connection[Any], target: Target, known: Sequence[Migration], version: Callable[[], str]
) -> None:
    """Apply what is missing; `version` names the magsag that does so."""
    with connection.transaction():
        connection.execute(_LOCK, (target.schema,))
        state = state_of(connection, target, known)
        if state is State.FRESH:
            connection.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(target.schema)))
            connection.execute(_TABLE)
        row = connection.execute("select count(*) from migrations").fetchone()
        assert row is not None
        for migration in known[row[0] :]:
            connection.execute(migration.script.encode())
            applied = (migration.n, migration.name, migration.checksum, time.time_ns() // 1000, version())
            connection.execute("insert into migrations values(%s, %s, %s, %s, %s)", applied)
        if not _has_functions(connection, target):
            connection.execute(functions().encode())


def _has_functions(connection: psycopg.Connection[Any], target: Target) -> bool:
    """Whether those of this version are there; of others there may be more."""
    name = f"commit_writes_{functions_version()}"
    look = "select 1 from pg_proc p join pg_namespace n on n.oid = p.pronamespace where proname = %s and nspname = %s"
    return connection.execute(look, (name, target.schema)).fetchone() is not None
