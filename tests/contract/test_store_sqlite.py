"""The store in SQLite keeps what every store promises, with several store objects on one file."""

from pathlib import Path

import pytest

from magsag.adapters.store.sqlite import SqliteStore
from magsag.ports.ledger import Store
from magsag.testing.store_suite import OpenStore, StoreSuite


class TestSqlite(StoreSuite):
    @pytest.fixture
    def open_store(self, tmp_path: Path, request: pytest.FixtureRequest) -> OpenStore:
        def opened() -> Store:
            store = SqliteStore(tmp_path / "ledger.db")
            request.addfinalizer(store.close)
            return store

        return opened
