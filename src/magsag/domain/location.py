"""Where a ledger is: a file, or a Postgres database. Decides how that is told without its password."""

import re
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode

POSTGRES: Final = ("postgresql://", "postgres://")
HIDDEN: Final = "***"
_SECRET: Final = re.compile("password", re.IGNORECASE)


def is_postgres(ledger: str) -> bool:
    """Whether this names a database, not a file."""
    return ledger.lower().startswith(POSTGRES)


def shown(ledger: str) -> str:
    """The same for people: passwords are hidden, whatever else is wrong with it."""
    if not is_postgres(ledger):
        return ledger
    scheme, _, rest = ledger.partition("://")
    place, mark, query = rest.partition("?")
    user, at, host = place.rpartition("@")
    if "@" in query and not at:
        return f"{scheme}://{HIDDEN}"  # a password with a question mark in it, perhaps
    name, colon, _ = user.partition(":")
    if mark:
        pairs = [(key, HIDDEN if _SECRET.search(key) else value) for key, value in parse_qsl(query, True)]
        query = urlencode(pairs, safe="/*:")
    return f"{scheme}://{name}{colon and ':' + HIDDEN}{at}{host}{mark}{query}"


def without_secrets(text: str, ledger: str) -> str:
    """A foreign message about a ledger, without what `shown` hides."""
    for secret in sorted(_secrets(ledger), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _secrets(ledger: str) -> set[str]:
    _, _, rest = ledger.partition("://")
    place, _, query = rest.partition("?")
    _, _, password = place.rpartition("@")[0].partition(":")
    found = {password, *(value for key, value in parse_qsl(query, True) if _SECRET.search(key))}
    return {form for secret in found if secret for form in (secret, unquote(secret))}
