"""Fresh ledgers for trials: a file for each, or a schema of a Postgres database for each."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from magsag.ports.ledger import Store

OpenLedger = Callable[[str, Path], Store]
"""opens the ledger at a place; what this machine keeps of it goes into the folder"""
PREFIX: Final = "magsag_proof_"
"""of the schemas of proofs"""


class FileLedgers:
    """One SQLite file in the folder of each trial."""

    def __init__(self, open_ledger: OpenLedger) -> None:
        self._open = open_ledger

    def make(self, folder: Path) -> str:
        """Where the new ledger is; it is made when it is first opened."""
        return str(folder / "ledger.db")

    def open(self, ledger: str, folder: Path) -> Store:
        """Open it in this process."""
        return self._open(ledger, folder)

    def drop(self, ledger: str) -> None:
        """It goes with the folder of its trial."""


class SchemaLedgers:
    """One schema for each trial in a database that is already there."""

    def __init__(self, dsn: str, open_ledger: OpenLedger, drop: Callable[[str], None]) -> None:
        """`drop` removes the schema that a DSN names."""
        place, _, query = dsn.partition("?")
        kept = [pair for pair in query.split("&") if pair and not pair.startswith("schema=")]
        self._dsn = f"{place}?{'&'.join([*kept, 'schema='])}"
        self._token = os.urandom(4).hex()
        self._open = open_ledger
        self._drop = drop

    def make(self, folder: Path) -> str:
        """The DSN of a schema that does not exist yet."""
        return f"{self._dsn}{PREFIX}{self._token}_{folder.name.replace('-', '_')}"

    def open(self, ledger: str, folder: Path) -> Store:
        """Open it in this process."""
        return self._open(ledger, folder)

    def drop(self, ledger: str) -> None:
        """Remove the schema."""
        self._drop(ledger)
