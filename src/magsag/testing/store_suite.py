"""What every store must do. An adapter's tests subclass StoreSuite and say how its store is opened:

    class TestMine(StoreSuite):
        @pytest.fixture
        def open_store(self, tmp_path):
            return lambda: MyStore(tmp_path / "ledger")

Each call of `open_store` gives a store on the same data, as another process would open it. A store that cannot
be opened twice gives the same object again.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from magsag.domain.effects import Level
from magsag.domain.errors import Invalid, StoreBroken
from magsag.domain.facts import CancelRequested, ParkedOn, PayloadErased, RunStarted, RunStatus
from magsag.domain.ids import RunId
from magsag.engine.chain import blob_id, link, unseal
from magsag.ports.ledger import Change, Declined, Lease, Occupied, Record, RunQuery, Store, Write, Written
from magsag.testing.budgets_suite import BudgetsSuite
from magsag.testing.measures_suite import MeasuresSuite
from magsag.testing.moving_suite import MovingSuite
from magsag.testing.sample_runs import (
    ELSEWHERE,
    RUN,
    SYNCED,
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
from magsag.testing.standing_suite import StandingSuite
from magsag.testing.throttles_suite import ThrottlesSuite
from magsag.testing.tickets_suite import TicketsSuite

OpenStore = Callable[[], Store]


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


class LeasesSuite:
    """Who drives which tree."""

    def test_a_new_tree_comes_with_its_lease(self, store: Store) -> None:
        lease = begin(store)
        assert store.holds(lease)
        answer = store.acquire(RUN, ELSEWHERE, 60)
        assert isinstance(answer, Occupied)
        assert answer.owner == store.owner()
        assert 0 < answer.seconds <= 60

    def test_an_owner_gets_its_own_lease_again(self, store: Store) -> None:
        lease = begin(store)
        assert store.acquire(RUN, store.owner(), 60) == lease

    def test_a_lease_given_back_is_free_with_the_next_fence(self, store: Store) -> None:
        lease = begin(store)
        store.release(lease)
        assert not store.holds(lease)
        assert store.acquire(RUN, ELSEWHERE, 60) == Lease(RUN, ELSEWHERE, 2)

    def test_a_lease_that_ended_is_taken_over(self, store: Store) -> None:
        old = begin(store, owner=ELSEWHERE)
        assert isinstance(store.acquire(RUN, store.owner(), 60), Occupied)
        store.renew(ELSEWHERE, 0.05)
        time.sleep(0.1)
        assert not store.holds(old)
        new = store.acquire(RUN, store.owner(), 60)
        assert new == Lease(RUN, store.owner(), 2)
        assert new.wrested

    def test_an_ended_lease_that_nobody_took_still_writes(self, store: Store) -> None:
        lease = begin(store)
        store.renew(store.owner(), 0.01)
        time.sleep(0.05)
        append(store, lease, done("a#1"))

    def test_renewing_prolongs_all_leases_of_an_owner(self, store: Store) -> None:
        leases = [begin(store, RunId(name), owner=ELSEWHERE) for name in ("one", "two")]
        store.renew(ELSEWHERE, 0.2)
        store.renew(ELSEWHERE, 60)
        time.sleep(0.3)
        assert all(store.holds(lease) for lease in leases)

    def test_giving_back_a_lost_lease_takes_nothing_from_its_new_owner(self, store: Store) -> None:
        old = begin(store)
        store.release(old)
        new = store.acquire(RUN, ELSEWHERE, 60)
        assert isinstance(new, Lease)
        store.release(old)
        assert store.holds(new)

    def test_a_lease_is_given_back_with_the_last_write(self, store: Store) -> None:
        lease = begin(store)
        end(store, lease)
        assert not store.holds(lease)
        assert isinstance(store.acquire(RUN, ELSEWHERE, 60), Lease)

    def test_owners_of_two_stores_differ(self, open_store: OpenStore, store: Store) -> None:
        other = open_store()
        assert other is store or other.owner() != store.owner()

    def test_due_lists_what_runs_without_a_driver_and_what_is_parked_and_due(self, store: Store) -> None:
        begin(store, RunId("driven"))
        store.release(begin(store, RunId("left")))
        park(store, begin(store, RunId("later")), due=2_000)
        park(store, begin(store, RunId("now")), due=1_000)
        end(store, begin(store, RunId("ended")))
        assert store.due(1_000, 10) == ["left", "now"]
        assert store.due(2_000, 10) == ["left", "now", "later"]
        assert store.due(2_000, 1) == ["left"]


class WakingSuite:
    """What others append wakes a tree, whether it is parked or driven."""

    def test_a_parked_run_that_is_woken_is_due_then(self, store: Store) -> None:
        park(store, begin(store), due=5_000)
        wake(store, RUN, at=1_000)
        assert store.due(999, 10) == []
        assert store.due(1_000, 10) == [RUN]
        row = store.row(RUN)
        assert row is not None
        assert (row.status, row.parked_on, row.due, row.updated) == (RunStatus.PARKED, ParkedOn.TIME, 1_000, 10)
        assert store.check() == []

    def test_a_wake_makes_nothing_later(self, store: Store) -> None:
        park(store, begin(store), due=1_000)
        wake(store, RUN, at=5_000)
        assert store.due(1_000, 10) == [RUN]

    def test_who_is_woken_while_driven_is_due_at_the_next_park(self, store: Store) -> None:
        lease = begin(store)
        wake(store, RUN, at=1_000)
        park(store, lease, due=5_000)
        assert store.due(1_000, 10) == [RUN]
        assert store.check() == []

    def test_a_leg_that_begins_takes_the_wake_with_it(self, store: Store) -> None:
        park(store, begin(store), due=5_000)
        wake(store, RUN, at=1_000)
        lease = store.acquire(RUN, store.owner(), 60)
        assert isinstance(lease, Lease)
        store.write([Write(RUN, RUN, [], lease, change=Change(RunStatus.RUNNING, updated=11))], WRITTEN)
        park(store, lease, due=5_000)
        assert store.due(4_999, 10) == []
        assert store.due(5_000, 10) == [RUN]

    def test_what_is_appended_to_a_child_run_wakes_its_tree(self, store: Store) -> None:
        lease, child = begin(store), RunId(f"{RUN}.sub")
        store.write([Write(child, RUN, [started(parent=RUN)], lease, new_run(child, None, root=RUN))], WRITTEN)
        park(store, lease, due=5_000)
        wake(store, child, at=1_000)
        assert store.due(1_000, 10) == [RUN]
        row = store.row(child)
        assert row is not None
        assert (row.due, row.seq) == (None, 2)
        assert store.check() == []

    def test_a_run_is_woken_without_being_told_anything(self, store: Store) -> None:
        park(store, begin(store), due=5_000)
        assert store.write([Write(RUN, RUN, [], wake=1_000)], WRITTEN) == [Written(2, store.read(RUN)[-1].head)]
        assert store.due(1_000, 10) == [RUN]
        assert store.check() == []

    def test_a_tree_whose_root_has_a_parent_elsewhere_is_a_tree_of_its_own(self, store: Store) -> None:
        begin(store)
        child, first = RunId(f"{RUN}.sub"), unseal(started())
        assert isinstance(first, RunStarted)
        fact = sealed(replace(first, parent=RUN, lineage=("agent:greeter@1.0.0",)))
        row = replace(new_run(child, None), parent=RUN)
        assert isinstance(store.write([Write(child, child, [fact], create=row)], SYNCED)[0], Written)
        assert child in store.due(1_000, 10)
        assert isinstance(store.acquire(child, ELSEWHERE, 60), Lease)
        assert store.check() == []

    def test_an_ended_run_is_not_woken(self, store: Store) -> None:
        end(store, begin(store))
        wake(store, RUN, at=1_000)
        row = store.row(RUN)
        assert row is not None
        assert (row.status, row.due) == (RunStatus.SUCCEEDED, None)
        assert store.due(1_000, 10) == []

    def test_a_declined_write_wakes_nobody(self, store: Store) -> None:
        park(store, begin(store), due=5_000)
        old = Lease(RUN, ELSEWHERE, 7)
        assert store.write([Write(RUN, RUN, [done("a#1")], old, wake=1_000)], SYNCED) == [Declined("lease")]
        assert store.due(1_000, 10) == []


class RunsSuite:
    """Rows, lists and search."""

    def test_a_row_tells_what_the_run_was_made_with(self, store: Store) -> None:
        begin(store)
        row = store.row(RUN)
        assert row is not None
        assert (row.program, row.actor, row.requester, row.tenant) == ("agent:greeter@1.0.0", "ann", "ben", "local")
        assert (row.status, row.parked_on, row.due, row.created) == (RunStatus.RUNNING, None, None, 1)
        assert (row.seq, row.head) == (1, store.read(RUN)[-1].head)

    def test_a_change_shows_in_the_row(self, store: Store) -> None:
        park(store, begin(store), due=77)
        row = store.row(RUN)
        assert row is not None
        assert (row.status, row.parked_on, row.due, row.updated) == (RunStatus.PARKED, ParkedOn.TIME, 77, 10)

    def test_a_run_woken_again_is_no_longer_parked(self, store: Store) -> None:
        park(store, begin(store), due=77)
        lease = store.acquire(RUN, store.owner(), 60)
        assert isinstance(lease, Lease)
        change = Change(RunStatus.RUNNING, updated=11)
        store.write([Write(RUN, RUN, [done("a#1")], lease, change=change)], WRITTEN)
        row = store.row(RUN)
        assert row is not None
        assert (row.status, row.parked_on, row.due) == (RunStatus.RUNNING, None, None)
        assert store.check() == []

    def test_runs_are_listed_newest_first(self, store: Store) -> None:
        for number in range(4):
            begin(store, RunId(f"run{number}"), created=number)
        assert _ids(store, RunQuery()) == ["run3", "run2", "run1", "run0"]
        assert _ids(store, RunQuery(limit=2)) == ["run3", "run2"]
        assert _ids(store, RunQuery(limit=None, since=2)) == ["run3", "run2"]

    def test_lists_are_narrowed_by_program_status_and_reason(self, store: Store) -> None:
        begin(store, RunId("running"))
        end(store, begin(store, RunId("ended")))
        park(store, begin(store, RunId("parked")), due=5)
        assert _ids(store, RunQuery(status=RunStatus.SUCCEEDED)) == ["ended"]
        assert _ids(store, RunQuery(parked_on=ParkedOn.TIME)) == ["parked"]
        assert len(_ids(store, RunQuery(program="agent:greeter"))) == 3
        assert len(_ids(store, RunQuery(program="agent:greeter@1.0.0"))) == 3
        assert _ids(store, RunQuery(program="agent:greet")) == []

    def test_child_runs_are_listed_when_asked_for(self, store: Store) -> None:
        lease, child = begin(store), RunId(f"{RUN}.sub")
        new = new_run(child, None, root=RUN, created=2)
        store.write([Write(child, RUN, [started()], lease, create=new)], WRITTEN)
        assert _ids(store, RunQuery()) == [RUN]
        assert _ids(store, RunQuery(roots_only=False)) == [child, RUN]
        assert _ids(store, RunQuery(root=RUN)) == [RUN, child]

    def test_root_runs_are_found_by_the_beginning_of_their_id(self, store: Store) -> None:
        lease = begin(store, RunId("abc1"))
        begin(store, RunId("abc2"))
        begin(store, RunId("xyz"))
        child = RunId("abc1.sub")
        store.write(
            [Write(child, lease.root, [started(parent=lease.root)], lease, new_run(child, None, root=lease.root))],
            WRITTEN,
        )
        assert store.named("abc") == ["abc1", "abc2"]
        assert store.named("nothing") == []
        for number in range(12):
            begin(store, RunId(f"many{number:02}"))
        assert len(store.named("many")) == 10

    def test_search_finds_facts_in_which_all_words_occur(self, store: Store) -> None:
        lease = begin(store)
        append(store, lease, done("a#1", "a red apple"), done("b#1", "a green apple"))
        assert [(hit.run, hit.seq, hit.kind) for hit in store.search("green apple", 10)] == [(RUN, 3, "StepDone")]
        assert {hit.seq for hit in store.search("APPLE", 10)} == {2, 3}
        assert "red" in store.search("red", 10)[0].text
        assert store.search("yellow apple", 10) == []

    def test_search_finds_what_was_written_since_the_last_one(self, store: Store) -> None:
        lease = begin(store)
        assert store.search("late", 10) == []
        append(store, lease, done("a#1", "a late word"))
        assert [hit.seq for hit in store.search("late", 10)] == [2]

    def test_search_takes_any_words_literally(self, store: Store) -> None:
        begin(store)
        for words in ('"', "a OR b", "hello*", "NEAR(", "-", "", "  ", "'; drop"):
            assert store.search(words, 10) == [] or words == "hello*"

    def test_search_gives_at_most_as_many_as_asked(self, store: Store) -> None:
        append(store, begin(store), *(done(f"a#{number}", "same") for number in range(5)))
        assert len(store.search("same", 3)) == 3


class WakesSuite:
    """Hearing that others have written."""

    def test_the_first_wait_answers_at_once(self, store: Store) -> None:
        assert store.wait(60)
        assert not store.wait(0.01)

    def test_what_another_wrote_since_the_last_wait_counts(self, open_store: OpenStore, store: Store) -> None:
        other = open_store()
        store.wait(60)
        begin(other)
        assert store.wait(60)
        assert not store.wait(0.01)

    def test_a_wait_ends_as_soon_as_another_writes(self, open_store: OpenStore, store: Store) -> None:
        other, answers = open_store(), list[bool]()
        store.wait(60)
        waiter = threading.Thread(target=lambda: answers.append(store.wait(60)))
        waiter.start()
        begin(other)
        waiter.join(10)
        assert answers == [True]

    def test_others_use_the_store_while_one_waits(self, store: Store) -> None:
        store.wait(60)
        waiter = threading.Thread(target=store.wait, args=(0.5,))
        waiter.start()
        lease = begin(store)
        append(store, lease, done("a#1"))
        assert len(store.read(RUN)) == 2
        waiter.join(10)
        assert not waiter.is_alive()


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


def _ids(store: Store, query: RunQuery) -> Sequence[RunId]:
    return [row.run for row in store.rows(query)]


def record(key: str, value: bytes) -> Record:
    """What an act of the tenant `local` puts."""
    return Record("local", key, value, at=2)


def put(store: Store, lease: Lease, *records: Record) -> None:
    """The outcome of an act, with what it puts."""
    (answer,) = store.write([Write(RUN, RUN, [done(f"put-{records[0].key}")], lease, records=records)], WRITTEN)
    assert isinstance(answer, Written)


def wake(store: Store, run: RunId, at: int) -> None:
    """What somebody appends without a lease, to be looked at by a leg."""
    (answer,) = store.write([Write(run, RUN, [sealed(CancelRequested(at=9, by="ann"))], wake=at)], SYNCED)
    assert isinstance(answer, Written)
