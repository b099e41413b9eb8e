"""What every store must do with budgets: all or none, never above a cap; a part of `magsag.testing.store_suite`."""

import threading
from collections.abc import Callable
from dataclasses import replace

from magsag.domain.approval import Proof
from magsag.domain.budget import Balance, Budget, BudgetRow, Cap, Reservation, Reserve, Settle, Shortfall
from magsag.domain.ids import RunId, StepId
from magsag.ports.ledger import Declined, Lease, Store, Write, Written
from magsag.testing.sample_runs import ELSEWHERE, RUN, SYNCED, WRITTEN, begin, done, end, ticket

OWN = Budget(f"run/{RUN}/usd", "run", "usd", 100, RUN)
ALL = Budget("organisation/usd", "organisation", "usd", None)


class BudgetsSuite:
    """Reservations are decided with the facts that say why; a refused one leaves nothing and spares its siblings."""

    def test_a_reservation_is_held_back_until_it_is_settled(self, store: Store) -> None:
        lease = begin(store)
        reserve(store, lease, "pay#1", (OWN, 60))
        assert store.budgets([RUN]) == [row(OWN, 100, reserved=60)]
        assert store.reservations() == [Reservation(RUN, StepId("pay#1"), OWN.id, 60)]
        settle(store, lease, "pay#1", (OWN, 25))
        assert store.budgets([RUN]) == [row(OWN, 100, spent=25)]
        assert store.budgets([RunId("other")]) == []
        assert store.reservations() == []

    def test_what_does_not_fit_is_declined_with_its_fact_and_says_what_is_left(self, store: Store) -> None:
        lease = begin(store)
        reserve(store, lease, "a#1", (OWN, 60))
        settle(store, lease, "a#1", (OWN, 50))
        before = store.read(RUN)
        (answer,) = store.write([taking(lease, "b#1", (OWN, 51))], SYNCED)
        assert answer == Declined("budget", Shortfall(OWN.id, "usd", 100, 50, 51))
        assert store.read(RUN) == before
        assert store.reservations() == []
        reserve(store, lease, "b#1", (OWN, 50))

    def test_of_several_budgets_all_are_taken_or_none(self, store: Store) -> None:
        cap(store, 1, ALL, 10)
        lease = begin(store)
        (answer,) = store.write([taking(lease, "a#1", (OWN, 11), (ALL, 11))], WRITTEN)
        assert answer == Declined("budget", Shortfall(ALL.id, "usd", 10, 10, 11))
        assert store.budgets([RUN]) == []
        (answer,) = store.write([taking(lease, "a#1", (OWN, 10), (ALL, 10))], WRITTEN)
        assert isinstance(answer, Written)
        assert answer.balances == (Balance(OWN.id, "usd", 100, 10), Balance(ALL.id, "usd", 10, 10))
        assert store.budgets([RUN]) == [row(ALL, 10, reserved=10), row(OWN, 100, reserved=10)]

    def test_siblings_of_a_refused_intent_stand_and_are_counted_in_order(self, store: Store) -> None:
        lease = begin(store)
        writes = [taking(lease, f"s#{n}", (OWN, amount)) for n, amount in enumerate((40, 70, 60, 1), 1)]
        answers = store.write([*writes, Write(RUN, RUN, [done("free#1")], lease)], WRITTEN)
        assert [type(answer) for answer in answers] == [Written, Declined, Written, Declined, Written]
        assert store.budgets([RUN]) == [row(OWN, 100, reserved=100)]
        assert len(store.read(RUN)) == 4

    def test_a_refused_intent_leaves_its_ticket_to_its_siblings(self, store: Store) -> None:
        lease = begin(store)
        writes = [
            replace(taking(lease, f"s#{n}", (OWN, amount)), tickets=[ticket()]) for n, amount in ((1, 101), (2, 60))
        ]
        answers = store.write([*writes, replace(writes[1], reserves=[])], SYNCED)
        assert isinstance(answers[1], Written)
        assert [answers[0], answers[2]] == [
            Declined("budget", Shortfall(OWN.id, "usd", 100, 100, 101)),
            Declined("approval"),
        ]

    def test_what_is_settled_twice_or_was_never_held_changes_nothing(self, store: Store) -> None:
        lease = begin(store)
        reserve(store, lease, "a#1", (OWN, 60))
        settle(store, lease, "a#1", (OWN, 60))
        settle(store, lease, "a#1", (OWN, 60))
        settle(store, lease, "never#1", (OWN, 5))
        assert store.budgets([RUN]) == [row(OWN, 100, spent=60)]

    def test_a_lost_attempt_is_settled_with_the_intent_that_follows_it(self, store: Store) -> None:
        lease = begin(store)
        reserve(store, lease, "a#1", (OWN, 30))
        again = replace(taking(lease, "a#1", (OWN, 30)), settles=[Settle(StepId("a#1"), OWN.id, 30)])
        assert isinstance(store.write([again], WRITTEN)[0], Written)
        assert store.budgets([RUN]) == [row(OWN, 100, reserved=30, spent=30)]
        assert [one.amount for one in store.reservations()] == [30]

    def test_settled_and_taken_again_in_one_commit(self, store: Store) -> None:
        lease = begin(store)
        reserve(store, lease, "a#1", (OWN, 100))
        back = Write(RUN, RUN, [done("x#1")], lease, settles=[Settle(StepId("a#1"), OWN.id, 10)])
        answers = store.write([back, taking(lease, "b#1", (OWN, 90)), taking(lease, "c#1", (OWN, 1))], WRITTEN)
        assert [type(answer) for answer in answers] == [Written, Written, Declined]
        assert store.budgets([RUN]) == [row(OWN, 100, reserved=90, spent=10)]

    def test_a_lost_lease_takes_nothing_and_gives_nothing_back(self, store: Store) -> None:
        lease = begin(store)
        reserve(store, lease, "a#1", (OWN, 30))
        lost = Lease(RUN, ELSEWHERE, 9)
        back = Write(RUN, RUN, [done("x#1")], lost, settles=[Settle(StepId("a#1"), OWN.id, 0)])
        assert store.write([back, taking(lost, "b#1", (OWN, 1))], WRITTEN) == [Declined("lease")] * 2
        assert store.budgets([RUN]) == [row(OWN, 100, reserved=30)]

    def test_caps_that_people_set_follow_one_another_and_the_newest_binds(self, store: Store) -> None:
        assert cap(store, 1, ALL, 10)
        assert not cap(store, 1, ALL, 20)
        assert cap(store, 2, ALL, 20)
        lease = begin(store)
        reserve(store, lease, "a#1", (ALL, 20))
        assert cap(store, 3, ALL, 5)
        (answer,) = store.write([taking(lease, "b#1", (ALL, 1))], WRITTEN)
        assert answer == Declined("budget", Shortfall(ALL.id, "usd", 5, 0, 1))
        assert cap(store, 4, ALL, None)
        reserve(store, lease, "b#1", (ALL, 1))
        assert store.budgets([RUN]) == [row(ALL, -1, reserved=21)]
        assert [(one.n, one.cap, one.by) for one in store.caps()] == [
            (1, 10, "ann"), (2, 20, "ann"), (3, 5, "ann"), (4, None, "ann"),
        ]  # fmt: skip

    def test_of_each_scope_and_unit_the_newest_cap_is_told(self, store: Store) -> None:
        assert store.newest_caps() == []
        daily = replace(ALL, scope="day")
        for n, (budget, amount) in enumerate([(ALL, 10), (daily, 7), (ALL, 20), (daily, None)], 1):
            assert cap(store, n, budget, amount)
        assert [(one.n, one.scope, one.cap) for one in store.newest_caps()] == [
            (3, "organisation", 20), (4, "day", None),
        ]  # fmt: skip

    def test_a_vacuum_keeps_what_runs_shared(self, store: Store) -> None:
        cap(store, 1, ALL, 10)
        lease = begin(store)
        reserve(store, lease, "a#1", (OWN, 4), (ALL, 4))
        settle(store, lease, "a#1", (OWN, 4), (ALL, 4))
        end(store, lease)
        assert store.vacuum(1 << 60, dry_run=False).runs == 1
        assert store.budgets([RUN]) == [row(ALL, 10, spent=4)]

    def test_a_vacuum_removes_budgets_of_days_before_it_of_which_nothing_is_held_back(self, store: Store) -> None:
        days = [Budget(f"{owner}/2026-03-0{n}/usd", owner.partition("/")[0], "usd", 9)
                for owner in ("agent/a", "day") for n in (1, 2, 3)]  # fmt: skip
        lease = begin(store)
        reserve(store, lease, "a#1", *((one, 4) for one in days))
        settle(store, lease, "a#1", *((one, 4) for one in days if one.id != "day/2026-03-01/usd"))
        second = 1_772_409_600_000_000
        store.vacuum(second, dry_run=True)
        assert len(store.budgets()) == 6
        store.vacuum(second, dry_run=False)
        kept = ["agent/a/2026-03-02/usd", "agent/a/2026-03-03/usd"]
        kept += [f"day/2026-03-0{n}/usd" for n in (1, 2, 3)]
        assert [one.id for one in store.budgets()] == kept

    def test_many_writers_never_take_more_than_the_cap(self, open_store: Callable[[], Store]) -> None:
        """Four writers, each with a run of its own, under one cap."""
        stores = [open_store() for _ in range(4)]
        cap(stores[0], 1, ALL, 50)
        taken: list[int] = []

        def work(store: Store, name: RunId) -> None:
            lease = begin(store, name)
            answers = [store.write([taking(lease, f"s#{n}", (ALL, 3))], WRITTEN)[0] for n in range(10)]
            taken.append(sum(isinstance(answer, Written) for answer in answers))

        threads = [threading.Thread(target=work, args=(one, RunId(f"run-{n}"))) for n, one in enumerate(stores)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(taken) == 16
        assert stores[0].budgets() == [row(ALL, 50, reserved=48)]
        assert len(stores[0].reservations()) == 16


def row(budget: Budget, cap: int, reserved: int = 0, spent: int = 0) -> BudgetRow:
    """A budget as it should stand."""
    return BudgetRow(budget.id, budget.scope, budget.unit, budget.run, cap, reserved, spent)


def taking(lease: Lease, step: str, *amounts: tuple[Budget, int]) -> Write:
    """A write that reserves."""
    reserves = [Reserve(StepId(step), budget, amount) for budget, amount in amounts]
    return Write(lease.root, lease.root, [done(step)], lease, reserves=reserves)


def reserve(store: Store, lease: Lease, step: str, *amounts: tuple[Budget, int]) -> None:
    """Reserve, and expect that it fits."""
    (answer,) = store.write([taking(lease, step, *amounts)], WRITTEN)
    assert isinstance(answer, Written), answer


def settle(store: Store, lease: Lease, step: str, *amounts: tuple[Budget, int]) -> None:
    """Settle a step at what it spent."""
    settles = [Settle(StepId(step), budget.id, amount) for budget, amount in amounts]
    (answer,) = store.write([Write(lease.root, lease.root, [done(f"{step}.end")], lease, settles=settles)], WRITTEN)
    assert isinstance(answer, Written), answer


def cap(store: Store, n: int, budget: Budget, amount: int | None) -> bool:
    """Set a cap."""
    return store.set_cap(Cap(n, budget.scope, budget.unit, amount, 5, "ann", Proof.OS_USER, "0" * 64, "because"))
