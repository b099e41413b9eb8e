"""`check` finds every tampering that is tried here: with the ledger, with its anchors, with both out of step."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from magsag.adapters.conditions import CelConditions
from magsag.adapters.store.sqlite import SqliteStore
from magsag.catalog.bundle import Bundle
from magsag.catalog.findings import Notes
from magsag.catalog.survey import survey
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.engine.chain import blob_id, link
from magsag.ports.ledger import Change, Lease, Store, Write
from magsag.testing.forgetful import forgetful
from magsag.testing.sample_runs import RUN, SYNCED, append, begin, done, end, ended, new_run, park, started

OTHER = RunId("0194other")
BLOB = blob_id(b"s" * 16, b"large")
GONE = "it was anchored, and the ledger does not hold it: it was deleted, unless another ledger writes to this file too"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Path:
    """A ledger with an ended, a parked and a running run."""
    with closing(SqliteStore(path)) as store:
        lease = begin(store)
        append(store, lease, *(done(f"step#{number}") for number in range(4)))
        store.write([Write(RUN, RUN, [done("large#1")], lease, blobs={BLOB: b"large"})], SYNCED)
        end(store, lease)
        park(store, begin(store, OTHER), due=5)
        append(store, begin(store, RunId("running")), done("a#1"), run=RunId("running"))
        bundle = Bundle(survey({"contracts/a.schema.json": b"{}"}, Notes("")), CelConditions())
        store.put_bundle(bundle.hash, bundle.to_bytes())
    return path


def test_the_ledger_of_these_tests_is_clean(ledger: Path) -> None:
    assert whats(ledger) == []


CHANGES = {
    "a changed body": ("update facts set body = body || ' ' where run = :run and seq = 2", "not match its digest"),
    "a changed output": (
        "update facts set output = '\"other\"' where run = :run and seq = 3",
        "the output does not match its commitment",
    ),
    "a changed input": (
        "update facts set input = cast('1' as blob) where run = :run and seq = 1",
        "the input does not match its commitment",
    ),
    "another salt": (
        "update facts set salt = randomblob(16) where run = :run and seq = 1",
        "the input does not match its commitment",
    ),
    "a payload taken out": (
        "update facts set input = null, output = null, salt = null where run = :run and seq = 3",
        "no PayloadErased",
    ),
    "a deleted fact": ("delete from facts where run = :run and seq = 3", "facts are missing or were moved"),
    "a cut tail": ("delete from facts where run = :run and seq = 7", "facts were cut or added"),
    "swapped facts": (
        "update facts set seq = -seq where run = :run and seq in (2, 3);"
        "update facts set seq = 5 + seq where run = :run and seq in (-2, -3)",
        "the chain is broken",
    ),
    "a moved fact": ("update facts set seq = 17 where run = :run and seq = 3", "should stand here"),
    "a changed kind": (
        "update facts set kind = 'StepFailed' where run = :run and seq = 3",
        "the row says 'StepFailed'",
    ),
    "another head in the row": ("update runs set head = zeroblob(32) where run = :run", "its row ends at fact 7"),
    "another head in the chain": (
        "update facts set head = zeroblob(32) where run = :run and seq = 3",
        "the chain is broken",
    ),
    "another status": ("update runs set status = 'failed' where run = :run", "its facts say succeeded"),
    "a status that does not exist": ("update runs set status = 'fine' where run = :run", "unknown status 'fine'"),
    "an unknown reason": ("update runs set parked_on = 'lunch' where run = '0194other'", "parked on 'lunch'"),
    "an end without a fact": ("update runs set status = 'succeeded' where run = 'running'", "facts hold no end"),
    "a deleted run": ("delete from runs where run = :run", "no such run"),
    "a run deleted with its facts": (
        "delete from facts where run = :run; delete from runs where run = :run",
        "it was deleted",
    ),
    "a fact of no run": ("update facts set run = 'ghost' where run = :run and seq = 7", "no such run"),
    "another program in the row": ("update runs set program = 'agent:other@1.0.0' where run = :run", "has program"),
    "another catalog in the row": ("update runs set bundle = 'bundle-2' where run = :run", "it was started with"),
    "another time to wake": ("update runs set due = 6 where run = '0194other'", "parked on something else"),
    "a run moved to another tree": ("update runs set root = 'running' where run = :run", "in the tree of running"),
    "a body that is no object": ("update facts set body = '3' where run = :run and seq = 3", "a fact is damaged"),
    "a kind that is no text": ("update facts set kind = x'ff' where run = :run and seq = 3", "the row says"),
    "a changed catalog": ("update bundles set body = x'00'", "it does not match its hash"),
    "another catalog under its hash": (
        "update bundles set hash = '0' || substr(hash, 2)",
        "it does not match its hash",
    ),
    "a changed large value": ("update blobs set body = 'small'", "it does not match its name"),
    "a large value of no run": ("update blobs set root = 'ghost'", "no such run"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_check_finds(ledger: Path, name: str) -> None:
    statements, what = CHANGES[name]
    for statement in statements.split(";"):
        change(ledger, statement.strip().replace(":run", f"'{RUN}'"))
    assert any(what in found for found in whats(ledger)), whats(ledger)


def test_a_tail_cut_with_the_row_to_match_is_found_by_the_anchors(ledger: Path) -> None:
    change(ledger, f"delete from facts where run = '{RUN}' and seq >= 6")
    change(ledger, f"""update runs set status = 'running', seq = 5,
        head = (select head from facts where run = '{RUN}' and seq = 5) where run = '{RUN}'""")  # fmt: skip
    assert whats(ledger) == [
        "the ledger is behind its anchors: fact 7 was anchored, the last is 5; "
        "the tail was cut, or an old copy was put back"
    ]


def test_a_chain_rewritten_to_the_end_is_found_by_the_anchors(ledger: Path) -> None:
    with closing(SqliteStore(ledger)) as store:
        facts = store.read(RUN)
    facts[2:4] = facts[3:1:-1]
    head = b""
    for seq, fact in enumerate(facts, 1):
        head = link(head, fact.digest)
        change(ledger, f"""update facts set kind = ?, body = ?, digest = ?, salt = ?, input = ?, output = ?, head = ?
            where run = '{RUN}' and seq = {seq}""",
            (fact.kind, fact.body, fact.digest, fact.salt, fact.input, fact.output, head))  # fmt: skip
    change(ledger, f"update runs set head = ? where run = '{RUN}'", (head,))
    assert whats(ledger) == ["the chain up to fact 7 is not the one that was anchored: it was rewritten"]


def test_an_old_copy_of_the_ledger_is_found_behind_its_anchors(path: Path, ledger: Path) -> None:
    shutil.copy(ledger, path.with_name("old.db"))
    with closing(SqliteStore(ledger)) as store:
        end(store, begin(store, RunId("later")))
    shutil.copy(path.with_name("old.db"), ledger)
    assert whats(ledger) == [GONE]


def test_a_fact_that_may_not_follow_is_found(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        append(store, begin(store), done("same#1"), done("same#1"))
        assert "it cannot stand here: StepDone cannot follow succeeded" in store.check()[0].what


def test_a_store_that_forgets_ends_is_found(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        broken: Store = forgetful(store, frozenset({"RunEnded"}))
        end(broken, begin(broken))
        assert [fault.what for fault in store.check()] == ["its row says succeeded, its facts hold no end"]


ANCHORS: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "a changed head": (lambda lines: [lines[0].replace('",', '0",', 1), *lines[1:]], "its hash does not match"),
    "a changed time": (lambda lines: [lines[0].replace('"at":', '"at":1'), *lines[1:]], "its hash does not match"),
    "a line taken out": (lambda lines: lines[1:], "lines before this one are missing"),
    "swapped lines": (lambda lines: lines[::-1], "lines before this one are missing"),
    "a cut tail": (lambda lines: [], "it has ended, and no anchor says so"),
    "a line that is no JSON": (lambda lines: [*lines, "nonsense\n"], "its hash does not match"),
}


@pytest.mark.parametrize("name", ANCHORS)
def test_check_finds_in_the_anchors(ledger: Path, name: str) -> None:
    edit, what = ANCHORS[name]
    anchors = ledger.with_name("anchors.log")
    anchors.write_text("".join(edit(anchors.read_text().splitlines(keepends=True))))
    with closing(SqliteStore(ledger)) as store:
        # The last end is known to be owed until the next commit, so let there be one.
        end(store, begin(store, RunId("next")))
        assert any(what in fault.what for fault in store.check()), store.check()


@pytest.mark.parametrize(
    "content", ['{"runs":3}', '{"n":2,"prev":"","runs":[[1]]}', '{"n":1,"prev":"","vacuumed":[[]]}']
)
def test_a_line_of_another_form_is_found_though_its_hash_is_right(ledger: Path, content: str) -> None:
    digest = sha256(content.encode()).hexdigest()
    with ledger.with_name("anchors.log").open("a", encoding="utf-8") as anchors:
        anchors.write(f'{content[:-1]},"hash":"{digest}"}}\n')
    assert "this line was changed: its hash does not match" in whats(ledger)


def test_missing_anchors_are_found(ledger: Path) -> None:
    ledger.with_name("anchors.log").rename(ledger.with_name("elsewhere.log"))
    (what,) = whats(ledger)
    assert what.startswith("the anchors are missing, though runs have ended; restore the file from a backup; if it is")


def test_checking_writes_nothing(ledger: Path) -> None:
    ledger.with_name("anchors.log").unlink()
    before = ledger.read_bytes()
    whats(ledger)
    assert ledger.read_bytes() == before
    assert not ledger.with_name("anchors.log").exists()


def test_one_line_holds_all_runs_that_came_to_rest_in_a_commit(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        leases = [begin(store, RunId(f"run{number}")) for number in range(3)]
        change = Change(RunStatus.SUCCEEDED, updated=9)
        store.write([Write(own.root, own.root, [ended()], own, None, change, True) for own in leases], SYNCED)
        lines = [json.loads(line) for line in path.with_name("anchors.log").read_text().splitlines()]
        assert [[run for run, _, _ in line["runs"]] for line in lines] == [["run0", "run1", "run2"]]
        assert store.check() == []


def test_anchors_can_live_elsewhere(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "ledger.db", anchors=tmp_path / "far" / "anchors.log")) as store:
        end(store, begin(store))
        assert store.check() == []
    assert (tmp_path / "far" / "anchors.log").exists()
    assert not (tmp_path / "anchors.log").exists()


def test_two_stores_append_to_one_chain_of_anchors(path: Path) -> None:
    with closing(SqliteStore(path)) as one, closing(SqliteStore(path)) as two:
        for number in range(6):
            store = (one, two)[number % 2]
            end(store, begin(store, RunId(f"run{number}")))
        assert one.check() == []


def test_an_end_whose_line_was_lost_in_a_crash_is_anchored_by_the_next_one(ledger: Path) -> None:
    anchors = ledger.with_name("anchors.log")
    with closing(SqliteStore(ledger)) as store:
        end(store, begin(store, RunId("crashed")))
    anchors.write_text("".join(anchors.read_text().splitlines(keepends=True)[:-1]))
    assert whats(ledger) == []
    with closing(SqliteStore(ledger)) as store:
        end(store, begin(store, RunId("next")))
    assert {run for run, _, _ in json.loads(anchors.read_text().splitlines()[-1])["runs"]} >= {"crashed", "next"}
    assert whats(ledger) == []


def test_a_line_torn_by_a_crash_is_dropped_by_the_next_one(ledger: Path) -> None:
    anchors = ledger.with_name("anchors.log")
    anchors.write_text(anchors.read_text() + '{"n":3,"at":17')
    assert whats(ledger) == []
    with closing(SqliteStore(ledger)) as store:
        end(store, begin(store, RunId("next")))
    assert whats(ledger) == []
    assert '"at":17{' not in anchors.read_text()


def test_a_long_line_of_anchors_is_read_back(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        lease = begin(store)
        children = [RunId(f"{RUN}.map#{number}") for number in range(2000)]
        change = Change(RunStatus.SUCCEEDED, updated=9)
        writes = [
            Write(c, RUN, [started(parent=RUN), ended()], lease, new_run(c, None, root=RUN), change) for c in children
        ]
        store.write(writes, SYNCED)
        end(store, lease)
    with closing(SqliteStore(path)) as store:
        end(store, begin(store, RunId("next")))
        assert store.check() == []


def test_vacuum_leaves_a_line_that_names_what_went(ledger: Path) -> None:
    with closing(SqliteStore(ledger)) as store:
        store.vacuum(20, dry_run=False)
        assert store.check() == []
    assert json.loads(ledger.with_name("anchors.log").read_text().splitlines()[-1])["vacuumed"] == [RUN]


def test_a_vacuumed_run_without_that_line_is_found(ledger: Path) -> None:
    anchors = ledger.with_name("anchors.log")
    before = anchors.read_text()
    with closing(SqliteStore(ledger)) as store:
        store.vacuum(20, dry_run=False)
    anchors.write_text(before)
    assert whats(ledger) == [GONE]


def test_a_backup_with_its_anchors_checks_clean(ledger: Path, tmp_path: Path) -> None:
    with closing(SqliteStore(ledger)) as store:
        running: Lease = begin(store, RunId("open"))
        store.backup(str(tmp_path / "copies" / "copy.db"))
        end(store, running)
    copy = tmp_path / "copies" / "copy.db"
    with closing(SqliteStore(copy, anchors=copy.with_name("copy.db.anchors.log"))) as store:
        assert store.check() == []
        assert store.read(RunId("open")) != []


def whats(ledger: Path) -> list[str]:
    with closing(SqliteStore(ledger)) as store:
        return [fault.what for fault in store.check()]


def change(ledger: Path, statement: str, parameters: tuple[object, ...] = ()) -> None:
    with closing(sqlite3.connect(ledger)) as connection:
        assert connection.execute(statement, parameters).rowcount != 0, statement
        connection.commit()
