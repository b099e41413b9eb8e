"""A ledger moves from file to file: what is refused, and what a kill in the middle leaves."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.adapters.store.postgres.store import PostgresStore
from magsag.adapters.store.sqlite import SqliteStore
from magsag.domain.errors import Invalid, LedgerClosed, Refused
from magsag.domain.ids import RunId
from magsag.ports.ledger import Closure, Course, KeptRecord, Lease, Store
from magsag.services.keeping.moving import Moved, Moving
from magsag.services.keeping.tallies import SORTS, tally
from magsag.testing.clock import FrozenClock
from magsag.testing.moving_suite import FILLING, fill, furnish
from magsag.testing.sample_runs import begin


@pytest.fixture
def source(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "old/ledger.db")) as store:
        furnish(store)
        yield store


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "new/ledger.db"


def moving(source: Store) -> Moving:
    return Moving(lambda: source, lambda name: SqliteStore(Path(name)), FrozenClock())


def move(source: Store, place: Path) -> Moved:
    return moving(source).migrate(str(place), lambda _: None)


def drives(store: Store, run: str = "parked") -> bool:
    """Whether somebody could drive a run of it."""
    try:
        lease = store.acquire(RunId(run), store.owner(), 60)
    except LedgerClosed:
        return False
    assert isinstance(lease, Lease)
    store.release(lease)
    return True


def opened(place: Path) -> SqliteStore:
    return SqliteStore(place)


def test_the_new_ledger_holds_the_same_and_drives_alone(source: SqliteStore, place: Path) -> None:
    moved = move(source, place)
    assert [tally.count for tally in moved.tallies.values()] == [3, 2, 4, 11, 1, 1, 1, 1, 1, 1, 1]
    with closing(opened(place)) as target:
        assert (drives(source), drives(target)) == (False, True)
        assert target.check() == []
        assert tally(target.pieces())["facts"] == moved.tallies["facts"]
    assert source.check() == []


def test_a_ledger_goes_on_moving_from_place_to_place(source: SqliteStore, place: Path, tmp_path: Path) -> None:
    move(source, place)
    with closing(opened(place)) as second:
        move(second, tmp_path / "third/ledger.db")
        assert not drives(second)
    with closing(opened(tmp_path / "third/ledger.db")) as third:
        assert (drives(third), third.check()) == (True, [])


@pytest.mark.needs("postgres")
def test_a_ledger_that_went_through_postgres_is_the_same(source: SqliteStore, dsn: str, tmp_path: Path) -> None:
    def opened_by(name: str) -> Store:
        return PostgresStore(name, tmp_path / "anchors") if "://" in name else SqliteStore(Path(name))

    def ignore(_: str) -> None:
        pass

    first = Moving(lambda: source, opened_by, FrozenClock()).migrate(dsn, ignore)
    with closing(opened_by(dsn)) as between:
        second = Moving(lambda: between, opened_by, FrozenClock()).migrate(str(tmp_path / "back/ledger.db"), ignore)
        assert second.tallies == first.tallies
        assert (drives(source), drives(between), between.check()) == (False, False, [])
    with closing(opened(tmp_path / "back/ledger.db")) as third:
        assert (drives(third), third.check(), tally(third.pieces())) == (True, [], first.tallies)


def test_a_place_that_holds_something_is_refused_and_nothing_changes(source: SqliteStore, place: Path) -> None:
    with closing(opened(place)) as other:
        begin(other)
    beside = source.describe()["location"]
    for taken in (place, Path(str(beside)), Path(str(beside)).with_name("second.db")):
        with pytest.raises(Invalid, match=r"name (another one|a file that does not exist yet)"):
            move(source, taken)
        assert drives(source)


def test_a_ledger_with_faults_stays_where_it_is(source: SqliteStore, place: Path) -> None:
    with closing(sqlite3.connect(str(source.describe()["location"]))) as connection:
        connection.execute("update facts set output = '{}' where kind = 'RunEnded'")
        connection.commit()
    with pytest.raises(Refused, match="commitment"):
        move(source, place)
    assert drives(source)


def test_a_ledger_in_which_a_run_is_driven_stays_open(source: SqliteStore, place: Path) -> None:
    lease = source.acquire(RunId("parked"), "elsewhere:1:x", 60)
    assert isinstance(lease, Lease)
    with pytest.raises(Invalid, match="run parked is being driven by elsewhere:1:x"):
        move(source, place)
    assert source.holds(lease)


def test_what_breaks_on_the_way_leaves_the_old_ledger_as_it_was(source: SqliteStore, place: Path) -> None:
    def interrupt(words: str) -> None:
        if words.startswith("comparing"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        moving(source).migrate(str(place), interrupt)
    with closing(opened(place)) as target:
        assert (drives(source), drives(target)) == (True, False)
        with pytest.raises(LedgerClosed, match="not whole"):
            move(target, place.with_name("third.db"))
    move(source, place)
    with closing(opened(place)) as target:
        assert (drives(source), drives(target)) == (False, True)


@pytest.mark.parametrize("course", [Course.LEAVING, Course.LEFT])
@pytest.mark.parametrize("pieces", [0, 5, 99])
def test_a_move_that_was_killed_is_done_again(source: SqliteStore, place: Path, course: Course, pieces: int) -> None:
    with closing(opened(place)) as target:
        target.set_closure(FILLING, None)
        target.fill(list(source.pieces())[:pieces])
    source.set_closure(Closure(course, str(place), 2), None)
    if course is Course.LEFT:
        with pytest.raises(LedgerClosed, match="was moved"):
            moving(source).cancel()
    move(source, place)
    with closing(opened(place)) as target:
        assert (drives(source), drives(target), target.check()) == (False, True, [])


def test_a_move_that_was_killed_is_cancelled(source: SqliteStore, place: Path) -> None:
    source.set_closure(Closure(Course.LEAVING, str(place), 2), None)
    assert moving(source).cancel().elsewhere == str(place)
    assert drives(source)
    with pytest.raises(Invalid, match="no move to cancel"):
        moving(source).cancel()


def test_a_ledger_that_was_moved_away_moves_nowhere_else(source: SqliteStore, place: Path, tmp_path: Path) -> None:
    move(source, place)
    for to in (place, tmp_path / "third/ledger.db"):
        with pytest.raises(LedgerClosed, match="was moved to"):
            move(source, to)


def test_a_target_that_holds_something_else_does_not_open(source: SqliteStore, place: Path) -> None:
    """Somebody writes into the new file while it is filled."""

    def disturb(words: str) -> None:
        if words.startswith("comparing"):
            with closing(sqlite3.connect(place)) as connection:
                connection.execute("update records set value = '2'")
                connection.commit()

    with pytest.raises(Exception, match="nothing was moved"):
        moving(source).migrate(str(place), disturb)
    with closing(opened(place)) as target:
        assert (drives(source), drives(target)) == (True, False)


def test_runs_in_memory_are_not_moved(place: Path) -> None:
    with pytest.raises(Invalid, match="in memory"):
        move(MemoryStore(), place)


def test_what_ended_without_an_anchor_is_anchored_where_it_arrives(place: Path) -> None:
    with closing(opened(place)) as target:
        fill(target, furnish(MemoryStore()))
        target.set_closure(None, FILLING)
        assert target.check() == []


def test_a_tally_sees_every_sort(source: SqliteStore) -> None:
    pieces = list(source.pieces())
    whole = tally(pieces)
    assert list(whole) == list(SORTS)
    for piece in pieces:
        rest = [other for other in pieces if other is not piece]
        assert tally(rest) != whole
    others = [KeptRecord(piece.record, RunId("other")) if isinstance(piece, KeptRecord) else piece for piece in pieces]
    assert tally(others)["records"].count == 1
    assert tally(others) != whole
