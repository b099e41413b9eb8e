"""What every store must do with tickets: compare and set, beside facts; a part of `magsag.testing.store_suite`."""

from collections.abc import Callable
from dataclasses import replace

from magsag.domain.approval import TicketState
from magsag.domain.facts import CancelRequested, PayloadErased
from magsag.domain.ids import RunId
from magsag.ports.ledger import Declined, Lease, Store, TicketQuery, TicketRow, Write, Written
from magsag.testing.sample_runs import ELSEWHERE, RUN, SYNCED, at_once, begin, done, end, faults, park, sealed, ticket

APPROVED = TicketState.APPROVED


class TicketsSuite:
    """Each version of a ticket follows the one before, with its fact, or nothing of the write has happened."""

    def test_a_ticket_is_read_back_as_it_was_written(self, store: Store) -> None:
        change(store, begin(store), ticket())
        assert store.ticket("t1") == ticket()
        assert store.ticket("t2") is None
        change(store, None, ticket(version=2, state=TicketState.SPENT))
        assert store.ticket("t1") == ticket(version=2, state=TicketState.SPENT)
        assert faults(store) == []

    def test_a_change_of_what_somebody_else_changed_is_declined_with_its_facts(self, store: Store) -> None:
        lease = begin(store)
        change(store, lease, ticket())
        change(store, None, ticket(version=2, state=APPROVED))
        before = store.read(RUN)
        for late in (ticket(), ticket(version=2, state=TicketState.DENIED), ticket(version=4), ticket("t2", version=2)):
            item = Write(RUN, RUN, [done("late#1")], lease, tickets=[late])
            assert store.write([item], SYNCED) == [Declined("approval")]
        assert store.read(RUN) == before
        assert store.ticket("t1") == ticket(version=2, state=APPROVED)

    def test_of_several_tickets_of_a_write_all_follow_or_none(self, store: Store) -> None:
        lease = begin(store)
        change(store, lease, ticket("t1"), ticket("t2"))
        item = Write(RUN, RUN, [], lease, tickets=[ticket("t1", version=2), ticket("t2", version=3)])
        assert store.write([item], SYNCED) == [Declined("approval")]
        assert [one.version for one in store.tickets(TicketQuery())] == [1, 1]

    def test_siblings_of_a_declined_change_stand(self, store: Store) -> None:
        lease = begin(store)
        change(store, lease, ticket())
        writes = [
            Write(RUN, RUN, [done("a#1")], lease, tickets=[ticket(version=2)]),
            Write(RUN, RUN, [done("b#1")], lease, tickets=[ticket(version=2)]),
            Write(RUN, RUN, [done("c#1")], lease, tickets=[ticket(version=3)]),
        ]
        answers = store.write(writes, SYNCED)
        assert [type(answer) for answer in answers] == [Written, Declined, Written]
        assert len(store.read(RUN)) == 3
        assert store.ticket("t1") == ticket(version=3)
        assert faults(store) == []

    def test_a_lost_lease_changes_no_ticket(self, store: Store) -> None:
        begin(store)
        item = Write(RUN, RUN, [done("a#1")], Lease(RUN, ELSEWHERE, 7), tickets=[ticket()])
        assert store.write([item], SYNCED) == [Declined("lease")]
        assert store.ticket("t1") is None

    def test_of_many_who_change_a_ticket_at_once_one_does(self, open_store: Callable[[], Store], store: Store) -> None:
        change(store, begin(store), ticket())
        fact = sealed(CancelRequested(at=9, by="ann"))
        answers = at_once(open_store, Write(RUN, RUN, [fact], tickets=[ticket(version=2)]))
        assert sum(isinstance(answer, Written) for answer in answers) == 1
        assert len(store.read(RUN)) == 2
        assert faults(store) == []

    def test_tickets_are_listed_by_tree_by_how_they_begin_and_the_oldest_first(self, store: Store) -> None:
        other = RunId("other")
        change(store, begin(store), replace(ticket("b2"), opened=7), ticket("a1"), ticket("a2"))
        change(store, begin(store, other), ticket("a3", run=other))
        assert ids(store, TicketQuery()) == ["a1", "a2", "a3", "b2"]
        assert ids(store, TicketQuery(prefix="a")) == ["a1", "a2", "a3"]
        assert ids(store, TicketQuery(root=RUN)) == ["a1", "a2", "b2"]
        assert ids(store, TicketQuery(root=RUN, limit=1)) == ["a1"]
        assert ids(store, TicketQuery(limit=None)) == ["a1", "a2", "a3", "b2"]

    def test_those_that_wait_are_open_and_of_a_tree_that_has_not_ended(self, store: Store) -> None:
        over, waits = RunId("over"), RunId("waits")
        change(store, begin(store), ticket("a1"), ticket("a2", state=APPROVED))
        ended, parked = begin(store, over), begin(store, waits)
        change(store, ended, ticket("b1", run=over))
        change(store, parked, ticket("c1", run=waits))
        end(store, ended)
        park(store, parked, due=5)
        assert ids(store, TicketQuery(waiting=True)) == ["a1", "c1"]
        assert ids(store, TicketQuery(waiting=True, root=over)) == []
        assert ids(store, TicketQuery(root=over)) == ["b1"]

    def test_vacuum_takes_the_tickets_of_its_runs_along(self, store: Store) -> None:
        lease = begin(store)
        change(store, lease, ticket())
        end(store, lease, updated=5)
        store.vacuum(20, dry_run=True)
        assert store.ticket("t1") is not None
        store.vacuum(20, dry_run=False)
        assert store.ticket("t1") is None
        assert faults(store) == []

    def test_erasing_takes_the_salts_of_its_tickets_along(self, store: Store) -> None:
        lease, other = begin(store), RunId("other")
        change(store, lease, ticket())
        change(store, begin(store, other), ticket("t2", run=other))
        end(store, lease)
        store.erase(RUN, {RUN: {1: sealed(PayloadErased(at=50, seq=1, by="ann"))}}, 50)
        assert store.ticket("t1") == replace(ticket(), salt=None)
        assert store.ticket("t2") == ticket("t2", run=other)
        assert faults(store) == []


def change(store: Store, lease: Lease | None, *tickets: TicketRow) -> None:
    """Tickets opened or changed, and expected to be taken."""
    run = tickets[0].run
    (answer,) = store.write([Write(run, run, [], lease, tickets=tickets)], SYNCED)
    assert isinstance(answer, Written), answer


def ids(store: Store, query: TicketQuery) -> list[str]:
    return [one.id for one in store.tickets(query)]
