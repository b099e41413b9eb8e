"""An old copy of the ledger that is put back: what was anchored since is not done again behind anybody's back."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from magsag.adapters.store.sqlite import SqliteStore
from magsag.domain.errors import StoreBroken
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.ports.ledger import Change, Lease, Write
from magsag.testing.sample_runs import RUN, SYNCED, append, begin, done, end, ended, new_run, park, started

OTHER = RunId(f"{RUN}2")
GONE = "are gone, though runs have ended"
Lose = Callable[[Path], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def restored(path: Path) -> Iterator[SqliteStore]:
    """The ledger of a moment at which two runs were parked; one of them went on since."""
    with closing(SqliteStore(path)) as store:
        park(store, begin(store), due=5)
        park(store, begin(store, OTHER), due=5)
    copy = shutil.copy(path, path.with_name("old.db"))
    with closing(SqliteStore(path)) as store:
        lease = taken(store)
        append(store, lease, done("paid#1"))
        park(store, lease, due=9)
        end(store, begin(store, RunId("since")))
    path.with_name("ledger.db-wal").unlink(missing_ok=True)
    path.with_name("ledger.db-shm").unlink(missing_ok=True)
    shutil.move(copy, path)
    with closing(SqliteStore(path)) as store:
        yield store


def taken(store: SqliteStore, run: RunId = RUN) -> Lease:
    lease = store.acquire(run, store.owner(), 60)
    assert isinstance(lease, Lease)
    return lease


def test_a_run_that_went_on_since_is_not_driven(restored: SqliteStore) -> None:
    with pytest.raises(StoreBroken, match=rf"run {RUN} is not driven: the anchors hold fact 4 .* `magsag data accept`"):
        taken(restored)


def test_other_runs_and_new_ones_go_on_and_change_nothing_for_it(restored: SqliteStore) -> None:
    end(restored, taken(restored, OTHER))
    end(restored, begin(restored, RunId("new")))
    with pytest.raises(StoreBroken, match="is not driven"):
        taken(restored)


def test_a_person_lets_it_go_on_and_that_is_on_record(restored: SqliteStore, path: Path) -> None:
    assert restored.check() != []
    assert restored.accept("ann") == {RUN: 2, "since": 0}
    lines = [json.loads(line) for line in path.with_name("anchors.log").read_text().splitlines()]
    assert (lines[-2]["accepted"], lines[-2]["by"]) == ([[RUN, 2], ["since", 0]], "ann")
    assert restored.check() == []
    assert restored.accept("ann") == {}
    lease = taken(restored)
    append(restored, lease, done("other#1"))
    end(restored, lease)
    assert restored.check() == []


def test_what_was_accepted_is_seen_by_other_processes(restored: SqliteStore, path: Path) -> None:
    restored.accept("ann")
    with closing(SqliteStore(path)) as other:
        taken(other)


def test_a_tree_of_which_a_child_run_went_on_is_not_driven(path: Path) -> None:
    child = RunId(f"{RUN}.ask#1")
    with closing(SqliteStore(path)) as store:
        lease = begin(store)
        store.write([Write(child, RUN, [started(parent=RUN)], lease, new_run(child, None, root=RUN))], SYNCED)
    copy = shutil.copy(path, path.with_name("old.db"))
    with closing(SqliteStore(path)) as store:
        lease = taken(store)
        change = Change(RunStatus.SUCCEEDED, updated=10)
        store.write([Write(child, RUN, [ended(RunStatus.SUCCEEDED)], lease, change=change)], SYNCED)
    shutil.move(copy, path)
    with closing(SqliteStore(path)) as store, pytest.raises(StoreBroken, match=r"hold fact 2 of run .*ask#1"):
        taken(store)


def test_a_run_whose_facts_are_others_is_not_driven(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        park(store, begin(store), due=5)
        with store._database.writing(SYNCED) as connection:
            connection.execute("update facts set head = zeroblob(32) where seq = 2")
    with closing(SqliteStore(path)) as store, pytest.raises(StoreBroken, match="and the ledger other facts"):
        taken(store)


def test_a_new_run_under_the_name_of_a_vacuumed_one_is_driven(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        end(store, begin(store), updated=5)
        store.vacuum(20, dry_run=False)
        store.release(begin(store))
    with closing(SqliteStore(path)) as store:
        taken(store)


def test_a_line_that_was_changed_or_torn_off_is_no_word_on_a_run(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        park(store, begin(store), due=5)
    with path.with_name("anchors.log").open("ab") as file:
        file.write(b'{"n":9,"runs":[["%s",99,"00"]],"prev":"","hash":"wrong"}\n{"runs":[["%s",' % ((RUN.encode(),) * 2))
    with closing(SqliteStore(path)) as store:
        taken(store)


def rested(path: Path) -> Path:
    """A ledger with a run that has ended and one that is parked; its anchors."""
    with closing(SqliteStore(path)) as store:
        park(store, begin(store), due=5)
        end(store, begin(store, OTHER))
        end(store, begin(store, RunId("last")))
    return path.with_name("anchors.log")


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["gone", "emptied"])
def test_without_its_anchors_no_older_run_is_driven_before_somebody_accepts_that(path: Path, lose: Lose) -> None:
    lose(rested(path))
    with closing(SqliteStore(path)) as store:
        with pytest.raises(StoreBroken, match=GONE):
            taken(store)
        end(store, begin(store, RunId("new")))
    with closing(SqliteStore(path)) as store:
        with pytest.raises(StoreBroken, match=GONE):
            taken(store)
        assert store.accept("ann").keys() == {OTHER}
        taken(store)
        assert store.check() == []
        verified = store.verify()
        assert verified.anchors is not None
        assert verified.anchors.accepted == (("ann", 1),)
        assert store.accept("ann") == {}


def test_before_anything_has_ended_a_run_needs_no_anchors(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        park(store, begin(store), due=5)
    path.with_name("anchors.log").unlink()
    with closing(SqliteStore(path)) as store:
        taken(store)


def test_anchors_that_are_no_file_are_refused_and_not_read(path: Path) -> None:
    rested(path)
    with closing(SqliteStore(path, Path("/dev/zero"))) as store:
        for act in (store.check, store.describe, lambda: taken(store), lambda: end(store, begin(store, RunId("new")))):
            with pytest.raises(StoreBroken, match="this is no regular file"):
                act()
