"""What every store must do with standing approvals; a part of `magsag.testing.store_suite`."""

from collections.abc import Callable

from magsag.domain.facts import CancelRequested
from magsag.domain.ids import RunId
from magsag.ports.ledger import Declined, Lease, Store, Write, Written
from magsag.ports.standing_approvals import Leaning, StandingQuery, StandingRow
from magsag.testing.sample_runs import RUN, SYNCED, at_once, begin, done, end, sealed, standing


class StandingSuite:
    """An intent leans on what is in force, and on nothing else; each version follows the one before."""

    def test_a_standing_approval_is_read_back_as_it_was_written(self, store: Store) -> None:
        make(store, begin(store), standing())
        assert store.standing_approvals(StandingQuery()) == [standing()]
        make(store, None, standing(version=2))
        assert store.standing_approvals(StandingQuery()) == [standing(version=2)]

    def test_a_version_that_does_not_follow_is_declined_with_its_facts(self, store: Store) -> None:
        lease = begin(store)
        make(store, lease, standing())
        before = store.read(RUN)
        for late in (standing(), standing(version=3), standing("s2", version=2)):
            item = Write(RUN, RUN, [done("late#1")], lease, standing=[late])
            assert store.write([item], SYNCED) == [Declined("approval")]
        assert store.read(RUN) == before
        assert store.standing_approvals(StandingQuery()) == [standing()]

    def test_an_intent_leans_on_what_is_in_force_and_changes_nothing_of_it(self, store: Store) -> None:
        lease = begin(store)
        make(store, lease, standing())
        writes = [Write(RUN, RUN, [done(f"{n}#1")], lease, leans=[Leaning("s1", 1, 5)]) for n in "ab"]
        assert [type(one) for one in store.write(writes, SYNCED)] == [Written, Written]
        assert store.standing_approvals(StandingQuery()) == [standing()]

    def test_an_intent_that_leans_on_what_is_not_in_force_is_declined_alone(self, store: Store) -> None:
        lease = begin(store)
        make(store, lease, standing("s1", until=10), standing("s2"))
        make(store, None, standing("s2", version=2))
        refused = [Leaning("s1", 1, 10), Leaning("s2", 1, 5), Leaning("s2", 2, 5), Leaning("s3", 1, 5)]
        writes = [Write(RUN, RUN, [done("a#1")], lease, leans=[one]) for one in refused]
        writes += [Write(RUN, RUN, [done("b#1")], lease, leans=[Leaning("s1", 1, 9)])]
        *declined, taken = store.write(writes, SYNCED)
        assert declined == [Declined("approval")] * len(refused)
        assert isinstance(taken, Written)
        assert len(store.read(RUN)) == 2

    def test_what_is_revoked_in_the_same_commit_is_leaned_on_no_more(self, store: Store) -> None:
        lease = begin(store)
        make(store, lease, standing())
        writes = [
            Write(RUN, RUN, [done("a#1")], lease, leans=[Leaning("s1", 1, 5)]),
            Write(RUN, RUN, [done("b#1")], lease, standing=[standing(version=2)]),
            Write(RUN, RUN, [done("c#1")], lease, leans=[Leaning("s1", 1, 5)]),
        ]
        assert [type(one) for one in store.write(writes, SYNCED)] == [Written, Written, Declined]

    def test_of_many_who_revoke_at_once_one_does(self, open_store: Callable[[], Store], store: Store) -> None:
        make(store, begin(store), standing())
        fact = sealed(CancelRequested(at=9, by="ann"))
        answers = at_once(open_store, Write(RUN, RUN, [fact], standing=[standing(version=2)]))
        assert sum(isinstance(answer, Written) for answer in answers) == 1

    def test_they_are_listed_by_target_by_how_they_begin_and_by_whether_they_are_in_force(self, store: Store) -> None:
        lease = begin(store)
        make(store, lease, standing("b1"), standing("a1", until=10), standing("a2"))
        make(store, None, standing("a2", version=2))
        assert ids(store, StandingQuery()) == ["a1", "a2", "b1"]
        assert ids(store, StandingQuery(limit=1)) == ["a1"]
        assert ids(store, StandingQuery(prefix="a")) == ["a1", "a2"]
        assert ids(store, StandingQuery(in_force_at=9)) == ["a1", "b1"]
        assert ids(store, StandingQuery(target="skill:pay@1.0.0", in_force_at=10)) == ["b1"]
        assert ids(store, StandingQuery(target="skill:pay@1.0.0", in_force_at=9, limit=None)) == ["a1", "b1"]
        assert ids(store, StandingQuery(target="skill:pay@2.0.0", in_force_at=9, limit=None)) == []
        assert ids(store, StandingQuery(target="skill:pay@2.0.0", limit=None)) == []

    def test_vacuum_takes_them_along_with_their_runs(self, store: Store) -> None:
        lease = begin(store)
        make(store, lease, standing())
        make(store, begin(store, RunId("other")), standing("s2", run=RunId("other")))
        end(store, lease, updated=5)
        store.vacuum(20, dry_run=False)
        assert ids(store, StandingQuery()) == ["s2"]


def make(store: Store, lease: Lease | None, *rows: StandingRow) -> None:
    """Standing approvals made or revoked, and expected to be taken."""
    run = rows[0].run
    (answer,) = store.write([Write(run, run, [], lease, standing=rows)], SYNCED)
    assert isinstance(answer, Written), answer


def ids(store: Store, query: StandingQuery) -> list[str]:
    return [one.id for one in store.standing_approvals(query)]
