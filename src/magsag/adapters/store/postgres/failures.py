"""What Postgres's errors mean for people: what happened, to which ledger, and the next move."""

import re
from typing import Final

import psycopg

from magsag.domain.errors import LedgerClosed, StoreAway, StoreBroken

_AGAIN: Final = "then go on with --resume, nothing acknowledged is lost"
_OWN: Final = (
    "connect as the user who owns the schema, or let this one make its own (grant create on database); "
    "grants on somebody else's schema are not enough"
)
_MOVES: Final = (
    ("28", "it does not let us in", "check user, password and pg_hba.conf"),
    ("3D000", "there is no such database", "create it (createdb), or mend the DSN"),
    ("42501", "this user may not use it", _OWN),
    ("42P01", "its tables are not there, or this user may not see them", _OWN),
    ("3F000", "this user may not use its schema", _OWN),
    ("53100", "the disk of the server is full", f"free some space; {_AGAIN}"),
    ("53300", "the server has no connection left", "raise max_connections, or run fewer processes"),
    ("53", "the server is short of something", f"look at its log; {_AGAIN}"),
    ("55P03", "somebody kept it locked", "look at pg_stat_activity for a transaction that does not end"),
    ("57014", "the server took too long", "look at pg_stat_activity and the load of the server"),
    ("57P", "the server is being stopped or started", f"wait for it; {_AGAIN}"),
    ("25006", "it is read-only, a standby perhaps", "name the primary in the DSN (target_session_attrs=read-write)"),
    ("25P03", "this process stood still inside a transaction", "run it again"),
    ("58", "the disk of the server failed", f"look at its log; {_AGAIN}"),
    ("XX", "the server says that its data are damaged", "restore a backup; look at its log"),
)
_PASSING: Final = frozenset({"53300", "57P"})
"""what is over when the server is back"""
_CLOSED: Final = "MG001"
"""ours: the triggers of a ledger that was moved, `sql/functions.sql`"""
_REFUSALS: Final = (
    ("database .* does not exist", "3D000"),
    ("role .* (does not exist|is not permitted to log in)|authentication failed|pg_hba.conf", "28000"),
    ("no password supplied", "28P01"),
    ("too many (clients|connections)|connection slots", "53300"),
    ("the database system is", "57P03"),
)
"""a server that refuses a connection tells libpq the state, and libpq tells us the words alone"""
_UNREACHED: Final = "check that the server runs and that the address is right; " + _AGAIN


def broken(shown: str, error: psycopg.Error) -> StoreBroken:
    """Our error for a foreign one; raise it `from` the cause."""
    said = " ".join((error.diag.message_primary or str(error)).split()) or type(error).__name__
    state = error.sqlstate or _refusal(said)
    if state == _CLOSED:
        return LedgerClosed(f"{shown}: {said}")
    for prefix, what, move in _MOVES:
        if state.startswith(prefix):
            return (StoreAway if prefix in _PASSING else StoreBroken)(f"{shown}: {what} ({said}); {move}")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return StoreAway(f"{shown}: the server cannot be reached ({said}); {_UNREACHED}")
    return StoreBroken(f"{shown}: the store failed ({said}, {state or type(error).__name__}); run `magsag data check`")


def _refusal(said: str) -> str:
    """The SQLSTATE of a connection that was refused; empty where the words do not tell."""
    return next((state for words, state in _REFUSALS if re.search(words, said)), "")
