"""Fresh ledgers for trials: a file for each."""

from collections.abc import Callable
from pathlib import Path

from magsag.ports.ledger import Store


class FileLedgers:
    """One SQLite file in the folder of each trial."""

    def __init__(self, open_store: Callable[[str], Store]) -> None:
        self._open_store = open_store

    def make(self, folder: Path) -> str:
        """Where the new ledger is; it is made when it is first opened."""
        return str(folder / "ledger.db")

    def open(self, ledger: str) -> Store:
        """Open it in this process."""
        return self._open_store(ledger)

    def drop(self, ledger: str) -> None:
        """It goes with the folder of its trial."""
