"""Which database and schema a DSN names, and how connections to it are made.

    postgresql://user@host/database?schema=team_a

`schema` is ours (default `magsag`), so that several ledgers share a database; the rest is libpq's.
"""

import re
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from magsag.domain.errors import Invalid
from magsag.domain.frozen import frozen
from magsag.domain.location import is_postgres, shown, without_secrets

DEFAULT_SCHEMA: Final = "magsag"
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,39}")
_ALIVE: Final = {
    "connect_timeout": "10",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "application_name": "magsag",
}
"""a server that is gone without a word is noticed in seconds; what the DSN says goes first"""


@frozen
class Target:
    """A place for one ledger."""

    shown: str
    """for people: without a password"""
    schema: str
    parameters: dict[str, Any]
    """what libpq is told"""
    plain: str
    """for the tools of the server: neither password nor schema"""


def target_of(dsn: str) -> Target:
    """Raises Invalid for what is no DSN, without its password."""
    if not is_postgres(dsn):
        raise Invalid(f"{shown(dsn)} is no DSN of Postgres; write postgresql://USER@HOST/DATABASE")
    place, _, query = dsn.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    schema = dict(pairs).get("schema", DEFAULT_SCHEMA)
    if not _SCHEMA.fullmatch(schema) or schema.startswith("pg_"):
        raise Invalid(f"{shown(dsn)}: schema={schema} is no name for a ledger; use small letters, digits and _")
    rest = urlencode([pair for pair in pairs if pair[0] != "schema"])
    try:
        given = conninfo_to_dict(f"{place}?{rest}" if rest else place)
    except (ProgrammingError, UnicodeError) as error:
        raise Invalid(f"{shown(dsn)}: {without_secrets(str(error).strip(), dsn)}") from None
    for port in str(given.get("port") or "").split(","):
        if port and not (port.isdecimal() and 0 < int(port) < 1 << 16):
            raise Invalid(f"{shown(dsn)}: port {without_secrets(port, dsn)} is none; write a number from 1 to 65535")
    plain = {key: str(value) for key, value in given.items() if "password" not in key}
    return Target(shown(dsn), schema, {**_ALIVE, **given}, make_conninfo(**plain))
