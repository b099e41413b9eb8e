"""How SQLite is told to keep a ledger. It may answer a wish with another mode and no error, so answers are read."""

import sqlite3
import time
from pathlib import Path

from magsag.adapters.store.failures import is_busy
from magsag.domain.errors import StoreBroken


def set_up(connection: sqlite3.Connection, path: Path, patience_seconds: float) -> None:
    """Write-ahead log, and `synchronous` at normal, after a look whether full is obeyed too. Raises StoreBroken."""
    _switch_to_log(connection, patience_seconds)
    expect(connection, path, "journal_mode", "wal")
    connection.execute("pragma wal_autocheckpoint = 1000")
    connection.execute("pragma fullfsync = on")  # macOS: without it a sync stops at the disk's own cache
    for name, answer in (("full", 2), ("normal", 1)):
        connection.execute(f"pragma synchronous = {name}")
        expect(connection, path, "synchronous", answer)


def expect(connection: sqlite3.Connection, path: Path, pragma: str, answer: object) -> None:
    """Raise StoreBroken when the pragma is not what it should be."""
    (actual,) = connection.execute(f"pragma {pragma}").fetchone()
    if actual != answer:
        raise StoreBroken(
            f"{path}: SQLite answers {pragma} = {actual} where {answer} was asked for; "
            "look at the disk and the rights of the folder; a network file system cannot hold a ledger"
        )


def _switch_to_log(connection: sqlite3.Connection, patience_seconds: float) -> None:
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            connection.execute("pragma journal_mode = wal").fetchall()
            return
        except sqlite3.Error as error:
            # Two processes that switch a fresh file at once are told so without the usual waiting.
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
