"""What every store must do. An adapter's tests subclass StoreSuite and say how its store is opened:

    class TestMine(StoreSuite):
        @pytest.fixture
        def open_store(self, tmp_path):
            return lambda: MyStore(tmp_path / "ledger")

Each call of `open_store` gives a store on the same data, as another process would open it. A store that cannot
be opened twice gives the same object again.
"""

from collections.abc import Iterator

import pytest

from magsag.ports.ledger import Store
from magsag.testing.budgets_suite import BudgetsSuite
from magsag.testing.facts_suite import DecliningSuite, FactsSuite, RecordsSuite
from magsag.testing.leases_suite import LeasesSuite, WakesSuite, WakingSuite
from magsag.testing.measures_suite import MeasuresSuite
from magsag.testing.moving_suite import MovingSuite
from magsag.testing.runs_suite import RunsSuite
from magsag.testing.sample_runs import OpenStore
from magsag.testing.standing_suite import StandingSuite
from magsag.testing.throttles_suite import ThrottlesSuite
from magsag.testing.tickets_suite import TicketsSuite
from magsag.testing.upkeep_suite import UpkeepSuite


class StoreSuite(
    BudgetsSuite,
    FactsSuite,
    DecliningSuite,
    RecordsSuite,
    LeasesSuite,
    WakingSuite,
    RunsSuite,
    WakesSuite,
    UpkeepSuite,
    MovingSuite,
    TicketsSuite,
    ThrottlesSuite,
    StandingSuite,
    MeasuresSuite,
):
    """All of it. Subclasses give the fixture `open_store`."""

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Iterator[Store]:
        """A store, closed afterwards."""
        store = open_store()
        yield store
        store.close()
