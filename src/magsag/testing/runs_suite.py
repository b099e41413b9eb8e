"""Rows, lists and search; a part of `magsag.testing.store_suite`."""

from collections.abc import Sequence

from magsag.domain.facts import ParkedOn, RunStatus
from magsag.domain.ids import RunId
from magsag.ports.ledger import Change, Lease, RunQuery, Store, Write
from magsag.testing.sample_runs import (
    RUN,
    WRITTEN,
    append,
    begin,
    done,
    end,
    new_run,
    park,
    started,
)


class RunsSuite:
    """What is told of runs."""

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


def _ids(store: Store, query: RunQuery) -> Sequence[RunId]:
    return [row.run for row in store.rows(query)]
