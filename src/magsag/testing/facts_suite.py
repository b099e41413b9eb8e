"""What every store must do with facts, records and writes that it declines; a part of `magsag.testing.store_suite`."""

from dataclasses import replace

import pytest

from magsag.domain.effects import Level
from magsag.domain.errors import StoreBroken
from magsag.domain.facts import CancelRequested
from magsag.domain.ids import RunId
from magsag.engine.chain import blob_id, link, unseal
from magsag.ports.ledger import Declined, Lease, Occupied, RunQuery, Store, Write, Written
from magsag.testing.sample_runs import (
    ELSEWHERE,
    RUN,
    SYNCED,
    WRITTEN,
    OpenStore,
    append,
    begin,
    done,
    end,
    new_run,
    put,
    record,
    sealed,
    started,
)


class FactsSuite:
    """Facts in, facts out."""

    def test_facts_are_read_back_as_they_were_written(self, store: Store) -> None:
        lease, facts = begin(store), [done("a#1"), done("b#1")]
        append(store, lease, *facts)
        read = store.read(RUN, after=1)
        assert [unseal(fact) for fact in read] == [unseal(fact) for fact in facts]
        assert [(fact.kind, fact.digest, fact.salt) for fact in read] == [(f.kind, f.digest, f.salt) for f in facts]

    def test_the_store_gives_seqs_and_extends_the_chain(self, store: Store) -> None:
        lease = begin(store)
        answer = append(store, lease, done("a#1"), done("b#1"))
        facts = store.read(RUN)
        assert [fact.seq for fact in facts] == [1, 2, 3]
        head = b""
        for fact in facts:
            head = link(head, fact.digest)
            assert fact.head == head
        assert answer == Written(3, head)

    def test_reading_goes_on_after_a_seq(self, store: Store) -> None:
        append(store, begin(store), done("a#1"), done("b#1"))
        assert [fact.seq for fact in store.read(RUN, after=2)] == [3]
        assert store.read(RUN, after=3) == []

    def test_an_unknown_run_has_no_facts(self, store: Store) -> None:
        assert store.read(RUN) == []
        assert store.row(RUN) is None

    def test_a_fact_without_payloads_comes_back_without(self, store: Store) -> None:
        begin(store)
        append(store, None, sealed(CancelRequested(at=2, by="ann")))
        fact = store.read(RUN)[-1]
        assert (fact.salt, fact.input, fact.output) == (None, None, None)

    def test_writers_that_take_turns_share_one_chain(self, open_store: OpenStore, store: Store) -> None:
        other, lease = open_store(), begin(store)
        for number in range(5):
            append(store, lease, done(f"a#{number}"))
            append(other, None, sealed(CancelRequested(at=number, by="ann")))
        assert [fact.seq for fact in store.read(RUN)] == list(range(1, 12))
        assert store.check() == []

    def test_two_writes_to_one_run_in_one_call_follow_each_other(self, store: Store) -> None:
        lease = begin(store)
        writes = [Write(RUN, RUN, [done(f"a#{n}")], lease) for n in range(3)]
        assert [answer.seq for answer in store.write(writes, SYNCED) if isinstance(answer, Written)] == [2, 3, 4]
        assert store.check() == []

    def test_a_write_of_no_facts_moves_no_chain(self, store: Store) -> None:
        lease = begin(store)
        before = store.read(RUN)[-1].head
        assert append(store, lease) == Written(1, before)

    def test_no_writes_are_no_answers(self, store: Store) -> None:
        assert store.write([], SYNCED) == []

    def test_facts_are_taken_at_every_level(self, store: Store) -> None:
        lease = begin(store)
        for level in (Level.KEPT, WRITTEN, SYNCED, WRITTEN):
            append(store, lease, done(f"step#{len(store.read(RUN))}"), level=level)
        assert len(store.read(RUN)) == 5
        assert store.check() == []

    def test_seqs_tell_how_far_root_runs_are(self, store: Store) -> None:
        begin(store)
        append(store, begin(store, RunId("other")), done("a#1"), run=RunId("other"))
        assert store.seqs([RUN, RunId("other"), RunId("unknown")]) == {RUN: 1, "other": 2}

    def test_large_values_are_kept_once_per_tree(self, store: Store) -> None:
        lease, id = begin(store), blob_id(b"s" * 16, b"large")
        for number in range(2):
            store.write([Write(RUN, RUN, [done(f"a#{number}")], lease, blobs={id: b"large"})], WRITTEN)
        assert store.blob(RUN, id) == b"large"
        assert store.check() == []

    def test_a_large_value_that_is_not_there_is_an_error(self, store: Store) -> None:
        begin(store)
        with pytest.raises(StoreBroken, match="large value nothing"):
            store.blob(RUN, "nothing")

    def test_a_bundle_is_kept_under_its_hash(self, store: Store) -> None:
        store.put_bundle("h", b"first")
        store.put_bundle("h", b"second")
        assert store.bundle("h") == b"first"
        assert store.bundle("other") is None


class DecliningSuite:
    """What is refused, and that its siblings are not."""

    def test_a_run_that_exists_is_not_created_again(self, store: Store) -> None:
        begin(store)
        again = Write(RUN, RUN, [started()], create=new_run(RUN, ELSEWHERE))
        assert store.write([again], SYNCED) == [Declined("exists")]
        assert len(store.read(RUN)) == 1
        assert not isinstance(store.acquire(RUN, store.owner(), 60), Occupied)

    def test_a_run_that_does_not_exist_takes_no_facts(self, store: Store) -> None:
        assert store.write([Write(RUN, RUN, [done("a#1")])], SYNCED) == [Declined("unknown")]
        assert store.read(RUN) == []
        lease, child = begin(store), RunId(f"{RUN}.ask#1")
        assert store.write([Write(child, RUN, [done("a#1")], lease)], SYNCED) == [Declined("unknown")]
        assert store.write([Write(child, RUN, [done("a#1")], replace(lease, fence=7))], SYNCED) == [Declined("lease")]

    def test_the_write_of_an_old_lease_is_declined(self, store: Store) -> None:
        old = begin(store)
        store.release(old)
        new = store.acquire(RUN, ELSEWHERE, 60)
        assert new == Lease(RUN, ELSEWHERE, 2)
        assert not new.wrested
        assert store.write([Write(RUN, RUN, [done("a#1")], old)], SYNCED) == [Declined("lease")]
        assert len(store.read(RUN)) == 1

    def test_the_lease_of_another_tree_is_declined(self, store: Store) -> None:
        other = RunId("other")
        begin(store)
        lease = begin(store, other)
        assert store.write([Write(RUN, RUN, [done("a#1")], lease)], SYNCED) == [Declined("lease")]
        assert isinstance(store.write([Write(other, other, [done("a#1")], lease)], SYNCED)[0], Written)

    def test_the_same_owner_with_an_old_fence_is_declined(self, store: Store) -> None:
        lease = begin(store)
        assert store.write([Write(RUN, RUN, [done("a#1")], replace(lease, fence=7))], SYNCED) == [Declined("lease")]

    def test_a_declined_write_leaves_its_siblings(self, store: Store) -> None:
        lease, other = begin(store), begin(store, RunId("other"))
        writes = [
            Write(RUN, RUN, [done("a#1")], lease),
            Write(RunId("other"), RunId("other"), [done("a#1")], replace(other, fence=9), blobs={"b": b"b"}),
            Write(RunId("unknown"), RunId("unknown"), [done("a#1")]),
            Write(RUN, RUN, [done("b#1")], lease),
        ]
        answers = store.write(writes, SYNCED)
        assert [type(answer) for answer in answers] == [Written, Declined, Declined, Written]
        assert [len(store.read(run)) for run in (RUN, RunId("other"))] == [3, 1]
        with pytest.raises(StoreBroken):
            store.blob(RunId("other"), "b")
        assert store.check() == []

    def test_a_lease_given_back_in_a_call_is_gone_for_the_rest_of_it(self, store: Store) -> None:
        lease = begin(store)
        writes = [Write(RUN, RUN, [], lease, release=True), Write(RUN, RUN, [done("a#1")], lease)]
        assert store.write(writes, SYNCED)[1] == Declined("lease")

    def test_a_child_run_is_created_under_the_lease_of_its_tree(self, store: Store) -> None:
        lease, child = begin(store), RunId(f"{RUN}.sub")
        new = new_run(child, None, root=RUN)
        assert store.write([Write(child, RUN, [started()], replace(lease, fence=2), new)], SYNCED) == [
            Declined("lease")
        ]
        first = started(parent=RUN)
        assert isinstance(store.write([Write(child, RUN, [first], lease, new)], SYNCED)[0], Written)
        append(store, lease, done("a#1"), run=child)
        assert [row.run for row in store.rows(RunQuery(root=RUN))] == [RUN, child]
        assert store.check() == []

    def test_a_write_under_the_lease_of_another_tree_needs_that_lease(self, store: Store) -> None:
        above, beside = begin(store), RunId("beside")
        create = Write(beside, beside, [started()], create=new_run(beside, None), under=above)
        append_one = Write(beside, beside, [done("a#1")], under=above, wake=1)
        store.release(above)
        taken = store.acquire(RUN, ELSEWHERE, 60)
        assert isinstance(taken, Lease)
        assert store.write([create, append_one], SYNCED) == [Declined("lease"), Declined("lease")]
        assert store.row(beside) is None
        writes = [replace(create, under=taken), replace(append_one, under=taken)]
        assert [type(answer) for answer in store.write(writes, SYNCED)] == [Written, Written]
        only_facts = replace(append_one, facts=[done("b#1")], wake=None)
        assert store.write([only_facts], SYNCED) == [Declined("lease")]
        assert isinstance(store.write([replace(only_facts, under=taken)], SYNCED)[0], Written)
        nowhere = replace(only_facts, under=Lease(RunId("unknown"), ELSEWHERE, 1))
        assert store.write([nowhere], SYNCED) == [Declined("lease")]
        assert (len(store.read(beside)), store.check()) == (3, [])


class RecordsSuite:
    """What transactional acts put."""

    def test_a_record_comes_back_as_it_was_put(self, store: Store) -> None:
        lease = begin(store)
        assert store.record("local", "a") is None
        put(store, lease, record("a", b'{"n":1}'), record("b", b"2"))
        assert (store.record("local", "a"), store.record("local", "b")) == (b'{"n":1}', b"2")

    def test_the_last_record_of_a_key_counts(self, store: Store) -> None:
        lease = begin(store)
        put(store, lease, record("a", b"1"), record("a", b"2"))
        put(store, lease, record("a", b"3"))
        assert store.record("local", "a") == b"3"

    def test_each_tenant_has_keys_of_its_own(self, store: Store) -> None:
        put(store, begin(store), record("a", b"1"))
        assert store.record("elsewhere", "a") is None

    def test_a_declined_write_puts_no_record(self, store: Store) -> None:
        lease = begin(store)
        store.release(lease)
        store.acquire(RUN, ELSEWHERE, 60)
        write = Write(RUN, RUN, [done("a#1")], lease, records=[record("a", b"1")])
        assert store.write([write], WRITTEN) == [Declined("lease")]
        assert store.record("local", "a") is None

    def test_records_are_seen_through_another_opening_of_the_store(self, open_store: OpenStore, store: Store) -> None:
        put(store, begin(store), record("a", b"1"))
        assert open_store().record("local", "a") == b"1"

    def test_records_outlive_the_runs_that_put_them(self, store: Store) -> None:
        lease = begin(store)
        put(store, lease, record("a", b"1"))
        end(store, lease)
        assert store.vacuum(10**18, dry_run=False).runs == 1
        assert store.record("local", "a") == b"1"
        assert store.check() == []
