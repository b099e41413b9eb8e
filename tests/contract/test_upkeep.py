"""`data vacuum`: what goes by age, what goes by size, and what never goes."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from magsag.adapters.store.sqlite import SqliteStore
from magsag.domain.errors import Invalid
from magsag.domain.ids import RunId
from magsag.ports.ledger import RunQuery
from magsag.services.keeping.upkeep import Shrunk, Upkeep, now_and_then
from magsag.testing.clock import FrozenClock
from magsag.testing.sample_runs import append, begin, done, end, park

DAY = 86_400_000_000
NOON = 100 * DAY + DAY // 2


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """Twenty runs of half a megabyte, one a day, the last two days ago; a parked one that continues the first."""
    with closing(SqliteStore(tmp_path / "ledger.db")) as store:
        for number in range(20):
            lease = begin(store, RunId(f"run{number:02}"))
            append(store, lease, done("a#1", "x" * 500_000), run=lease.root)
            end(store, lease, updated=NOON - (21 - number) * DAY)
        park(store, begin(store, RunId("parked"), continues=RunId("run00")), due=9)
        yield store


def vacuum(
    store: SqliteStore, hot_days: int, max_megabytes: int | None = None, dry_run: bool = False, now: int = NOON
) -> Shrunk:
    upkeep = Upkeep(lambda: store, lambda: store, FrozenClock(now))
    return upkeep.vacuum(hot_days, dry_run, max_megabytes)


def left(store: SqliteStore) -> list[str]:
    return sorted(row.run for row in store.rows(RunQuery(limit=None)))


def digest(store: SqliteStore) -> str:
    return hashlib.sha256(Path(str(store.describe()["location"])).read_bytes()).hexdigest()


def test_what_is_older_than_the_hot_days_goes(store: SqliteStore) -> None:
    shrunk = vacuum(store, 10)
    assert (shrunk.removed.runs, shrunk.fits) == (10, True)
    assert left(store) == ["parked", "run00", *(f"run{number}" for number in range(11, 20))]
    assert store.check() == []


def test_just_after_midnight_the_last_hour_stays(store: SqliteStore) -> None:
    """A process may have put a bundle before midnight, and begin a run with it now."""
    now = 100 * DAY + DAY // 1440
    assert vacuum(store, 0, dry_run=True, now=now).removed.cutoff == now - DAY // 24


def test_the_oldest_go_until_it_fits_and_no_more(store: SqliteStore) -> None:
    shrunk = vacuum(store, 365, 5)
    assert (shrunk.fits, 4_000_000 < shrunk.bytes <= 5_000_000) == (True, True)
    assert left(store)[:2] == ["parked", "run00"]
    assert left(store)[-1] == "run19"
    assert len(left(store)) >= 9
    assert store.check() == []


def test_a_ledger_that_fits_loses_nothing(store: SqliteStore) -> None:
    assert vacuum(store, 365, 50).removed.runs == 0


def test_what_is_needed_stays_even_if_it_does_not_fit(store: SqliteStore) -> None:
    shrunk = vacuum(store, 365, 0)
    assert (shrunk.fits, left(store)) == (False, ["parked", "run00"])
    assert store.check() == []


def test_what_was_touched_in_the_last_hour_stays(store: SqliteStore) -> None:
    end(store, begin(store, RunId("fresh")), updated=NOON - 1_000_000)
    vacuum(store, 365, 0)
    assert left(store) == ["fresh", "parked", "run00"]


@pytest.mark.parametrize("most", [None, 5, 0])
def test_a_dry_run_foretells_it_and_changes_no_byte(store: SqliteStore, most: int | None) -> None:
    before = digest(store)
    told = vacuum(store, 10, most, dry_run=True)
    assert digest(store) == before
    done = vacuum(store, 10, most)
    assert abs(done.removed.runs - told.removed.runs) <= 1
    assert told.fits == done.fits


def test_a_word_is_said_now_and_then() -> None:
    said: list[str] = []
    hear = now_and_then("verified", said.append)
    for facts in (10, 49_999, 50_000, 60_000, 120_000):
        hear(facts)
    assert said == ["verified 50,000 facts", "verified 120,000 facts"]


def test_days_are_counted_from_nought(store: SqliteStore) -> None:
    with pytest.raises(Invalid, match="--hot-days"):
        vacuum(store, -1)
