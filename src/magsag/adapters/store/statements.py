"""Reads the SQL of this folder: `sql/statements.sql` by name, `sql/migrations/` by number."""

import re
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

_SQL: Final = Path(__file__).with_name("sql")
_HEADING: Final = re.compile(r"^-- (\w+): .*$", re.MULTILINE)


class Migration(NamedTuple):
    """One numbered step of the schema."""

    n: int
    name: str
    script: str

    @property
    def checksum(self) -> str:
        """sha256 of the script, kept beside the data that it shaped."""
        return sha256(self.script.encode()).hexdigest()


@cache
def statements() -> Mapping[str, str]:
    """Every named statement."""
    return statements_of(_SQL)


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations of this version, in order."""
    return migrations_of(_SQL)


def statements_of(folder: Path) -> Mapping[str, str]:
    """The statements of a folder of SQL."""
    _, *parts = _HEADING.split((folder / "statements.sql").read_text(encoding="utf-8"))
    return {name: text.strip().rstrip(";") for name, text in zip(parts[::2], parts[1::2], strict=True)}


def migrations_of(folder: Path) -> tuple[Migration, ...]:
    """The migrations of a folder of SQL, in order."""
    found = sorted((folder / "migrations").glob("*.sql"))
    return tuple(
        Migration(int(path.stem[:4]), path.stem[5:], path.read_text(encoding="utf-8").replace("\r\n", "\n"))
        for path in found
    )
