"""The store in memory keeps what every store promises."""

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.errors import Invalid
from magsag.ports.ledger import Store
from magsag.testing.sample_runs import RUN, OpenStore, append, begin, done
from magsag.testing.store_suite import StoreSuite


class TestMemory(StoreSuite):
    @pytest.fixture
    def open_store(self) -> OpenStore:
        store = MemoryStore()
        return lambda: store


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_memory_refuses_a_backup(store: Store) -> None:
    with pytest.raises(Invalid, match="cannot be copied"):
        store.backup("copy.db")


def test_a_changed_payload_in_memory_is_found(store: Store) -> None:
    fact = done("a#1")
    append(store, begin(store), fact)
    fact.output = b'"other"'
    assert [fault.what for fault in store.check()] == ["the output does not match its commitment: it was changed"]


def test_a_run_of_one_memory_is_unknown_to_another(store: Store) -> None:
    begin(store)
    assert MemoryStore().row(RUN) is None
