"""The store in Postgres keeps what every store promises, with several store objects on one schema, and its own."""

from pathlib import Path

import pytest

from magsag.adapters.store.postgres.store import PostgresStore
from magsag.ports.ledger import Store
from magsag.testing.sample_runs import OpenStore
from magsag.testing.store_suite import StoreSuite

pytestmark = pytest.mark.needs("postgres")


class TestPostgres(StoreSuite):
    @pytest.fixture
    def open_store(self, dsn: str, tmp_path: Path, request: pytest.FixtureRequest) -> OpenStore:
        def opened() -> Store:
            store = PostgresStore(dsn, tmp_path)
            request.addfinalizer(store.close)
            return store

        return opened
