"""The SQL of the Postgres store: `sql/statements.sql` by name, `sql/migrations/` by number."""

from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from magsag.adapters.store.statements import Migration, migrations_of, statements_of

_SQL: Final = Path(__file__).with_name("sql")


_MARK: Final = "{v}"


@cache
def version() -> str:
    """What the names of this version's functions end in."""
    return sha256(_functions().encode()).hexdigest()[:12]


@cache
def functions() -> str:
    """The script that makes this version's functions."""
    return _functions().replace(_MARK, version())


@cache
def statements() -> Mapping[str, str]:
    """Every named statement."""
    return {name: text.replace(_MARK, version()) for name, text in statements_of(_SQL).items()}


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations of this version, in order."""
    return migrations_of(_SQL)


def _functions() -> str:
    return (_SQL / "functions.sql").read_text(encoding="utf-8").replace("\r\n", "\n")
