"""The Postgres store: one schema, this machine's anchors, one lock per process. Put together here from parts."""

import socket
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg import sql

from magsag.adapters.store.anchors import Anchors
from magsag.adapters.store.migrations import State
from magsag.adapters.store.postgres.capping import CappingPart
from magsag.adapters.store.postgres.connection import PATIENCE_SECONDS, connect
from magsag.adapters.store.postgres.database import Database
from magsag.adapters.store.postgres.erasing import ErasingPart
from magsag.adapters.store.postgres.failures import broken
from magsag.adapters.store.postgres.leasing import LeasingPart
from magsag.adapters.store.postgres.measuring import MeasuresInPostgres
from magsag.adapters.store.postgres.migrations import state_of
from magsag.adapters.store.postgres.moving import MovingPart
from magsag.adapters.store.postgres.owner import Owner
from magsag.adapters.store.postgres.searching import SearchingPart
from magsag.adapters.store.postgres.statements import migrations
from magsag.adapters.store.postgres.target import target_of
from magsag.adapters.store.postgres.throttling import ThrottlingPart
from magsag.adapters.store.postgres.upkeep import UpkeepPart
from magsag.adapters.store.postgres.writing import WritingPart
from magsag.adapters.store.reading import ReadingPart
from magsag.adapters.store.sqlite import installed_version
from magsag.adapters.store.standing_approvals import StandingPart


def is_there(dsn: str) -> bool:
    """Whether the schema holds something already; makes nothing. Raises StoreBroken, Invalid."""
    target = target_of(dsn)
    try:
        with connect(target) as connection:
            return state_of(connection, target, migrations()) is not State.FRESH
    except psycopg.Error as error:
        raise broken(target.shown, error) from error


def drop_schema(dsn: str) -> None:
    """Remove the ledger that a DSN names, with all that is in it. Raises StoreBroken, Invalid."""
    target = target_of(dsn)
    try:
        with connect(target) as connection:
            connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(target.schema)))
    except psycopg.Error as error:
        raise broken(target.shown, error) from error


class PostgresStore(
    WritingPart,
    ReadingPart,
    StandingPart,
    SearchingPart,
    LeasingPart,
    UpkeepPart,
    ErasingPart,
    MovingPart,
    ThrottlingPart,
    MeasuresInPostgres,
    CappingPart,
):
    """All of `ports.ledger.Store` in one schema, for any number of processes on any number of machines."""

    def __init__(
        self,
        dsn: str,
        folder: Path,
        version: Callable[[], str] = installed_version,
        patience_seconds: float = PATIENCE_SECONDS,
        anchors: Path | None = None,
    ) -> None:
        """Open or create the ledger; this machine's anchors are kept in `folder`, or in `anchors`. Raises StoreBroken,
        Invalid.

        `patience_seconds` is how long a lock is waited for; a server that is silent for three times as long is given
        up.
        """
        database = Database(target_of(dsn), version, patience_seconds)
        ((ledger,),) = database.change("ledger_id")
        path = anchors.absolute() if anchors else folder.absolute() / f"anchors-{ledger[:8]}.log"
        super().__init__(database, Anchors(path, patience_seconds), f"{socket.gethostname()}:{path}", Owner(database))
