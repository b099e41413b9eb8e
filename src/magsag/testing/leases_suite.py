"""Who drives which tree, and what wakes one; a part of `magsag.testing.store_suite`."""

import threading
import time
from dataclasses import replace

from magsag.domain.facts import ParkedOn, RunStarted, RunStatus
from magsag.domain.ids import RunId
from magsag.engine.chain import unseal
from magsag.ports.ledger import Change, Declined, Lease, Occupied, Store, Write, Written
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
    park,
    sealed,
    started,
    wake,
)


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
