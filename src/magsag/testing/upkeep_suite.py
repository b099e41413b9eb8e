"""What every store must do to be kept in order; a part of `magsag.testing.store_suite`."""

import pytest

from magsag.domain.errors import Invalid, StoreBroken
from magsag.domain.facts import CancelRequested, PayloadErased
from magsag.domain.ids import RunId
from magsag.engine.chain import blob_id, unseal
from magsag.ports.ledger import RunQuery, Store, Write
from magsag.testing.sample_runs import (
    RUN,
    WRITTEN,
    append,
    begin,
    done,
    end,
    new_run,
    park,
    sealed,
    started,
)


class UpkeepSuite:
    """Keeping it in order."""

    def test_an_untouched_store_has_no_faults(self, store: Store) -> None:
        end(store, begin(store, RunId("ended")))
        park(store, begin(store, RunId("parked")), due=5)
        begin(store, RunId("running"))
        assert store.check() == []

    def test_a_check_tells_how_many_facts_it_has_looked_at(self, store: Store) -> None:
        end(store, begin(store, RunId("one")))
        begin(store, RunId("two"))
        heard: list[int] = []
        assert store.check(heard.append) == []
        assert heard in ([2, 3], [1, 3])

    def test_facts_after_the_end_are_no_fault(self, store: Store) -> None:
        end(store, begin(store))
        append(store, None, sealed(CancelRequested(at=9, by="ann")))
        assert store.check() == []

    def test_vacuum_removes_ended_trees_that_nobody_touched_since(self, store: Store) -> None:
        lease, child = begin(store, RunId("old")), RunId("old.sub")
        store.write(
            [Write(child, lease.root, [started(parent=lease.root)], lease, new_run(child, None, root=lease.root))],
            WRITTEN,
        )
        end(store, lease, run=child, updated=5)
        end(store, lease, updated=5)
        end(store, begin(store, RunId("new")), updated=50)
        park(store, begin(store, RunId("open")), due=1)
        removed = store.vacuum(20, dry_run=False)
        assert (removed.runs, removed.facts, removed.cutoff) == (2, 4, 20)
        assert {row.run for row in store.rows(RunQuery(roots_only=False))} == {"new", "open"}
        assert store.read(child) == []
        assert store.search("hello", 10) != []
        assert {hit.run for hit in store.search("hello", 10)} == {"new", "open"}
        assert store.check() == []

    def test_a_tree_with_an_open_child_stays(self, store: Store) -> None:
        lease, child = begin(store), RunId(f"{RUN}.sub")
        store.write([Write(child, RUN, [started(parent=RUN)], lease, new_run(child, None, root=RUN))], WRITTEN)
        end(store, lease, updated=5)
        assert store.vacuum(20, dry_run=False).runs == 0

    def test_what_a_staying_run_continues_stays_with_all_that_it_continues(self, store: Store) -> None:
        for name, before in (("first", None), ("second", "first"), ("third", "second"), ("other", None)):
            end(store, begin(store, RunId(name), continues=RunId(before) if before else None), updated=5)
        park(store, begin(store, RunId("open"), continues=RunId("second")), due=9)
        assert [weight.root for weight in store.weights()] == ["other", "third"]
        assert store.vacuum(20, dry_run=False).runs == 2
        assert {row.run for row in store.rows(RunQuery())} == {"first", "second", "open"}
        assert store.check() == []

    def test_weights_tell_what_could_go_and_about_how_much_it_takes(self, store: Store) -> None:
        assert store.weights() == []
        for number, words in enumerate(("few", "many " * 4000)):
            lease = begin(store, RunId(f"run{number}"))
            append(store, lease, done("a#1", words), run=lease.root)
            end(store, lease, updated=50 - number)
        park(store, begin(store, RunId("open")), due=9)
        large, small = store.weights()
        assert [(weight.root, weight.updated) for weight in (large, small)] == [("run1", 49), ("run0", 50)]
        assert 20_000 < large.bytes < 30_000
        assert 0 < small.bytes < 5_000
        assert isinstance(store.describe()["bytes"], int)

    def test_a_dry_vacuum_counts_and_removes_nothing(self, store: Store) -> None:
        end(store, begin(store), updated=5)
        assert (store.vacuum(20, dry_run=True).runs, store.vacuum(20, dry_run=True).facts) == (1, 2)
        assert len(store.read(RUN)) == 2
        assert store.check() == []

    def test_a_vacuumed_id_may_be_used_again(self, store: Store) -> None:
        end(store, begin(store), updated=5)
        store.vacuum(20, dry_run=False)
        end(store, begin(store), updated=50)
        assert store.check() == []

    def test_vacuum_removes_bundles_that_no_run_needs(self, store: Store) -> None:
        for name in ("bundle-1", "bundle-2"):
            store.put_bundle(name, b"catalog")
        begin(store)
        later = 9_000_000_000_000_000
        assert store.vacuum(later, dry_run=True).bundles == 1
        assert store.vacuum(later, dry_run=False).bundles == 1
        assert (store.bundle("bundle-1"), store.bundle("bundle-2")) == (b"catalog", None)

    def test_erasing_takes_payloads_and_leaves_the_chain(self, store: Store) -> None:
        lease, child = begin(store), RunId(f"{RUN}.sub")
        blob = blob_id(b"s" * 16, b"a large secret")
        store.write([Write(RUN, RUN, [done("a#1", "secret")], lease, blobs={blob: b"a large secret"})], WRITTEN)
        store.write(
            [Write(child, RUN, [started("secret", parent=RUN)], lease, new_run(child, None, root=RUN))], WRITTEN
        )
        end(store, lease, run=child)
        end(store, lease)
        begin(store, RunId("other"))
        assert {hit.run for hit in store.search("secret", 10)} == {RUN, child}
        heads = [fact.head for fact in store.read(RUN)]
        stones = {run: {seq: sealed(PayloadErased(at=50, seq=seq, by="ann")) for seq in (1, 2)} for run in (RUN, child)}
        store.erase(RUN, stones, 50)
        facts = store.read(RUN)
        assert [(fact.salt, fact.input, fact.output) for fact in facts[:2]] == [(None, None, None)] * 2
        assert facts[2].output == b'"fine"'
        assert [fact.head for fact in facts[:3]] == heads
        assert [unseal(fact) for fact in facts[3:]] == [PayloadErased(at=50, seq=seq, by="ann") for seq in (1, 2)]
        assert store.search("secret", 10) == []
        assert {hit.run for hit in store.search("hello", 10)} == {"other"}
        with pytest.raises(StoreBroken, match="large value"):
            store.blob(RUN, blob)
        assert [(row.seq, row.updated) for row in store.rows(RunQuery(root=RUN, roots_only=False))] == [
            (5, 50),
            (4, 50),
        ]
        assert store.check() == []

    def test_erasing_a_run_that_is_gone_meanwhile_erases_nothing(self, store: Store) -> None:
        end(store, begin(store), updated=5)
        before = store.read(RUN)
        stones = {run: {1: sealed(PayloadErased(at=50, seq=1, by="ann"))} for run in (RUN, RunId("vacuumed"))}
        with pytest.raises(Invalid, match="run vacuumed is no longer in the ledger"):
            store.erase(RUN, stones, 50)
        assert store.read(RUN) == before
        assert [row.updated for row in store.rows(RunQuery())] == [5]
        assert store.check() == []

    def test_it_describes_itself(self, store: Store) -> None:
        begin(store)
        told = store.describe()
        assert (told["runs"], told["facts"]) == (1, 1)
        assert isinstance(told["backend"], str)

    def test_closing_twice_is_fine(self, store: Store) -> None:
        begin(store)
        store.close()
        store.close()
