"""Records that acts put are bound by the facts that tell of them: whoever edits one is found, and nobody else."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.adapters.store.sqlite import SqliteStore
from magsag.domain.effects import Effect
from magsag.domain.facts import ParkedOn, RunStatus, StepSucceeded
from magsag.domain.ids import RunId, StepId
from magsag.domain.puts import IMPORTED, puts_of
from magsag.domain.sealed import Fault
from magsag.ports.ledger import Change, KeptRecord, Record, Store, Write
from magsag.services.keeping.audit_export import lines_of
from magsag.services.keeping.erasing import Erasing
from magsag.services.keeping.verify_export import judged
from magsag.services.proofs.audit import alone_on
from magsag.services.steps.records import told_of
from magsag.testing.clock import FrozenClock
from magsag.testing.sample_runs import RUN, SYNCED, begin, end, putting, sealed

OTHER, HOUR = RunId("other"), 3_600_000_000


def put(store: Store, run: RunId, key: str, value: bytes, at: int, *, is_told: bool = True) -> None:
    """A run whose act puts one record; `is_told`: as this version does it."""
    lease, record = begin(store, run), Record("local", key, value, at)
    intent, outcome = putting("put#1", record, at=at)
    if not is_told:
        outcome = sealed(StepSucceeded(at=at, step=StepId("put#1"), took=1, output=b"null"))
    store.write([Write(run, run, [intent, outcome], lease, records=[record])], SYNCED)
    end(store, lease)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two runs that put the same key, an hour apart, and one that put its own."""
    path = tmp_path / "ledger.db"
    with closing(SqliteStore(path)) as store:
        put(store, RUN, "shared", b"1", 5)
        put(store, OTHER, "shared", b"2", 5 + HOUR)
        put(store, RunId("third"), "own", b'{"sum":7}', 9)
    return path


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute(statement).rowcount, statement
        connection.commit()


def found(path: Path) -> tuple[list[Fault], list[str]]:
    """By the product, and by the verifier of an export."""
    with closing(SqliteStore(path)) as store:
        return store.check(), [what for _, _, what in alone_on(list(store.evidence()))]


CHANGES = {
    "another value": ("update records set value = '{\"sum\":8}' where key = 'own'", "third", "it was changed"),
    "another time": ("update records set updated = 10 where key = 'own'", "third", "it was changed"),
    "another run": ("update records set run = 'other' where key = 'own'", "other", "whose acts did not"),
    "a run that is not there": ("update records set run = 'ghost' where key = 'own'", "ghost", "is not in the ledger"),
    "deleted": ("delete from records where key = 'own'", "third", "it was deleted"),
    "another key": ("update records set key = 'mine' where key = 'own'", "third", "it was deleted"),
    "added": ("insert into records values('local', 'new', '1', 'third', 9)", "third", "whose acts did not"),
    "put back": (
        f"update records set value = '1', run = '{RUN}', updated = 5 where key = 'shared'", "other", "changed back",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_it_finds(path: Path, name: str) -> None:
    assert found(path) == ([], [])
    statement, run, what = CHANGES[name]
    change(path, statement)
    faults, alone = found(path)
    assert any(fault.run == run and what in fault.what for fault in faults), faults
    assert all(fault.where.startswith("record ") for fault in faults), "no other part of the judgement sees it"
    assert alone


@pytest.mark.parametrize(
    "take",
    [
        lambda store: Erasing(store, FrozenClock()).erase(RunId("third"), "ann"),
        lambda store: store.vacuum(1 << 60, dry_run=False),
    ],
    ids=["erased", "vacuumed"],
)
def test_records_of_runs_that_were_erased_or_vacuumed_are_no_fault(path: Path, take: Callable[[Store], object]) -> None:
    with closing(SqliteStore(path)) as store:
        take(store)
    assert found(path) == ([], [])
    change(path, "update records set value = '9' where key = 'own'")
    assert found(path) == ([], []), "nothing tells of it any more"


def test_records_of_earlier_versions_are_no_fault(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "ledger.db")) as store:
        put(store, RUN, "key", b"1", 5, is_told=False)
    assert found(tmp_path / "ledger.db") == ([], [])


def test_who_puts_first_and_commits_last_is_no_fault() -> None:
    store = MemoryStore()
    lease, record = begin(store), Record("local", "key", b"1", 5)
    put(store, OTHER, "key", b"2", 5 + HOUR)
    intent, outcome = putting("put#1", record, at=6 + HOUR)
    store.write([Write(RUN, RUN, [intent, outcome], lease, records=[record])], SYNCED)
    assert store.check() == []


def test_a_part_of_a_ledger_lacks_records_that_others_put_since(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        lines = [*lines_of(store.evidence(lambda rows: {RUN})), {"sort": "about", "whole": False}]
    assert judged(json.loads(json.dumps(lines)), path.with_name("anchors.log").read_bytes())[0] == []


def test_no_value_of_a_record_is_in_an_export_and_no_hash_of_one_that_was_erased(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        Erasing(store, FrozenClock()).erase(RunId("third"), "ann")
        told = {line["key"]: line for line in lines_of(store.evidence()) if line["sort"] == "record"}
    assert sorted(told["own"]) == ["key", "run", "sort", "tenant", "updated"]
    assert sorted(told["shared"]) == ["key", "run", "sha256", "sort", "tenant", "updated"]
    assert told["shared"]["sha256"] not in (sha256(b"2").hexdigest(), sha256(b"1").hexdigest())


def test_equal_values_have_hashes_of_their_own() -> None:
    chance = iter([b"a" * 16, b"b" * 16])
    told = told_of(Effect.TRANSACTIONAL, [Record("local", key, b"1", 5) for key in "xy"], lambda _: next(chance))
    one, other = puts_of(told or b"")
    assert one.sha256 != other.sha256
    assert one.is_of(5, b"1")
    assert not one.is_of(5, b"2")
    early = b'[{"tenant":"local","key":"x","at":5,"sha256":"%s"}]' % sha256(b"1").hexdigest().encode()
    assert puts_of(early)[0].is_of(5, b"1"), "what the first version told is held against the record still"
    with pytest.raises(ValueError, match="hex"):
        puts_of(early.replace(b"}", b',"salt":"no"}'))


FORGED = "insert into records values('imported', 'third', '9999', 'third', 9)"


def test_a_forged_note_of_an_import_is_told_and_does_not_count_against_a_copy(path: Path) -> None:
    copy = path.with_name("copy.log")
    copy.write_bytes(path.with_name("anchors.log").read_bytes())
    change(path, "delete from records where key = 'own'")
    change(path, FORGED)
    with closing(SqliteStore(path)) as store:
        vouching = store.verify().anchors
        assert vouching is not None
        assert vouching.noted == 1
        whats = [fault.what for fault in store.verify(copy=copy).faults]
        lines = json.loads(json.dumps(list(lines_of(store.evidence()))))
    assert ["only a row of the ledger says" in whats[0], "it was deleted" in whats[1]] == [True, True]
    own = copy.read_bytes()
    assert judged(lines, own)[1]["noted"] == 1
    assert [what for *_, what in judged(lines, own, own)[0]] == [
        "only the export says that it was imported", "the record own that it put is gone",
    ]  # fmt: skip


def test_an_import_stands_among_the_anchors_until_it_is_vacuumed(tmp_path: Path) -> None:
    """What the run itself puts here afterwards is looked for; what it came with is not."""
    path = tmp_path / "ledger.db"
    copy = path.with_name("anchors.log")
    with closing(SqliteStore(path)) as store:
        record, note = Record("local", "there", b"1", 2), Record(IMPORTED, RUN, b"3", 2)
        lease = begin(store)
        store.write([Write(RUN, RUN, putting("put#1", record), lease)], SYNCED)
        store.write(
            [Write(RUN, RUN, [], lease, change=Change(RunStatus.PARKED, ParkedOn.TIME, 5, 3), records=[note])], SYNCED
        )
        assert b'"imported":[["%s",3]]' % RUN.encode() in copy.read_bytes()
        found = store.verify(copy=copy)
        assert found.anchors is not None
        assert (found.anchors.noted, [fault for fault in found.faults if "record" in fault.where]) == (0, [])
        end(store, lease)
        store.vacuum(1 << 60, dry_run=False)
        assert [piece for piece in store.pieces() if isinstance(piece, KeptRecord)] == []
        put(store, RUN, "here", b"1", 5)
    change(path, "delete from records where key = 'here'")
    change(path, f"insert into records values('imported', '{RUN}', '3', '{RUN}', 9)")
    with closing(SqliteStore(path)) as store:
        assert "it was deleted" in store.verify(copy=copy).faults[-1].what


def test_an_odd_note_of_an_import_is_a_fault_and_no_end_of_the_verifier(path: Path) -> None:
    change(path, "insert into records values('imported', 'third', 'many', 'third', 9)")
    assert found(path)[1] == ["a note that it was imported tells no number of facts: it was changed"]
