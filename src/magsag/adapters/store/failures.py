"""What SQLite's errors mean for people: what happened, to which file, and the next move."""

import sqlite3
from pathlib import Path
from typing import Final

from magsag.domain.errors import LedgerClosed, StoreBroken

_MOVES: Final = (
    ("SQLITE_FULL", "the disk is full", "free some space; then go on with --resume, nothing acknowledged is lost"),
    (
        "SQLITE_IOERR",
        "the disk failed or is full",
        "look at free space, quota and the system log; then go on with --resume",
    ),
    ("SQLITE_CANTOPEN", "it cannot be opened", "check that its folder exists and that you may write there"),
    (
        "SQLITE_READONLY",
        "it may not be written",
        "check the rights of the file and its folder, or use another --project",
    ),
    ("SQLITE_PERM", "it may not be opened", "check the rights of the file and its folder"),
    ("SQLITE_NOTADB", "it is no SQLite database", "move it away or restore a backup; it was left as it is"),
    ("SQLITE_CORRUPT", "it is damaged", "restore a backup; `magsag data check` says what can still be read"),
    ("SQLITE_BUSY", "another process kept it locked", "see who holds it (`fuser` on the file), or try again"),
    ("SQLITE_LOCKED", "another process kept it locked", "see who holds it (`fuser` on the file), or try again"),
)
_CLOSED: Final = "SQLITE_CONSTRAINT_TRIGGER"
"""the only triggers are those of a ledger that was moved: `adapters.store.closing`"""
_MEDIA: Final = ("SQLITE_IOERR", "SQLITE_FULL", "SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_CANTOPEN", "SQLITE_READONLY")


def broken(path: Path, error: Exception) -> StoreBroken:
    """Our error for a foreign one; raise it `from` the cause."""
    name = _name(error)
    if name == _CLOSED:
        return LedgerClosed(f"{path}: {error}")
    for prefix, what, move in _MOVES:
        if name.startswith(prefix):
            return StoreBroken(f"{path}: {what} ({error}, {name}); {move}")
    return StoreBroken(f"{path}: the store failed ({error}, {name or type(error).__name__}); run `magsag data check`")


def no_access(path: Path, error: OSError) -> StoreBroken:
    """Our error for a file beside the database that could not be used."""
    reason = error.strerror or str(error)
    return StoreBroken(f"{path}: {reason}; check the rights of the file and its folder, and the space on the disk")


def require_file(path: Path) -> None:
    """Raise StoreBroken for what is there and no file: a device or a pipe may never end."""
    if path.exists() and not path.is_file():
        raise StoreBroken(f"{path}: this is no regular file; name one in [audit] anchors (magsag config show)")


def held_elsewhere(path: Path) -> StoreBroken:
    """Our error for a file beside the database that another process does not let go of."""
    move = "see who holds it (`fuser` on the file) and whether that is stopped, or try again"
    return StoreBroken(f"{path}: another process kept it locked; {move}")


def leaves_doubt(error: BaseException) -> bool:
    """Whether the connection should not be trusted after this."""
    return isinstance(error, sqlite3.Error) and _name(error).startswith(_MEDIA)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether trying again may help."""
    return _name(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _name(error: Exception) -> str:
    return str(getattr(error, "sqlite_errorname", ""))
