"""The bundle that a run is pinned to: found, lost, or not the one that its hash names."""

from pathlib import Path

import pytest

from magsag.adapters.conditions import CelConditions
from magsag.adapters.store.memory import MemoryStore
from magsag.catalog.bundle import Bundle
from magsag.catalog.load import load
from magsag.domain.errors import Invalid, StoreBroken
from magsag.services.steps.bundles import Bundles
from magsag.testing import FrozenClock

CONDITIONS = CelConditions()
SHIPPED = Path(__file__).parents[2] / "catalog"


def thaw(data: bytes) -> Bundle:
    return Bundle.from_bytes(data, CONDITIONS)


def gone() -> Bundle:
    raise Invalid("the catalog is gone")


def test_a_kept_bundle_is_found_without_todays_catalog() -> None:
    store, bundle = MemoryStore(), load(SHIPPED, CONDITIONS).bundle
    Bundles(lambda: bundle, store, thaw, FrozenClock()).keep(bundle)
    assert Bundles(gone, store, thaw, FrozenClock()).find(bundle.hash).hash == bundle.hash


def test_a_process_that_lives_long_puts_again_what_a_vacuum_has_removed() -> None:
    store, bundle, clock = MemoryStore(), load(SHIPPED, CONDITIONS).bundle, FrozenClock()
    bundles = Bundles(lambda: bundle, store, thaw, clock)
    bundles.keep(bundle)
    assert store.vacuum(clock.now(), dry_run=False).bundles == 1
    clock.advance(60)
    bundles.keep(bundle)
    assert store.bundle(bundle.hash) is not None


def test_a_bundle_that_the_store_has_lost_is_said() -> None:
    with pytest.raises(StoreBroken, match="restore a backup"):
        Bundles(gone, MemoryStore(), thaw, FrozenClock()).find("0" * 64)


def test_another_bundle_under_a_runs_hash_runs_no_code() -> None:
    store, bundle = MemoryStore(), load(SHIPPED, CONDITIONS).bundle
    store.put_bundle("0" * 64, bundle.to_bytes())
    with pytest.raises(StoreBroken, match="does not match its hash"):
        Bundles(gone, store, thaw, FrozenClock()).find("0" * 64)
