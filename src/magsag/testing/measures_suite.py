"""What every store must do with measures of ended runs; a part of `magsag.testing.store_suite`."""

from typing import Final

from magsag.domain.facts import ENDS, PayloadErased
from magsag.domain.ids import RunId
from magsag.domain.measures import Measure, Shown
from magsag.ports.ledger import Change, Store, Write
from magsag.ports.measures import EndedRun
from magsag.testing.sample_runs import RUN, SYNCED, append, begin, end, ended, new_run, park, sealed, started

GREETER: Final = "agent:greeter"
MEASURE: Final = Measure(RUN, Shown.GOOD, 10, 1_500, 3_100_000, (7, 9_000_000_000))


class MeasuresSuite:
    """Ended runs of a program, with what was noted of them."""

    def test_ended_runs_are_found_the_newest_first(self, store: Store) -> None:
        for at, name in enumerate(("b", "a", "c")):
            end(store, begin(store, RunId(f"0193{name}")), updated=10 + at)
        begin(store, RunId("0193running"))
        park(store, begin(store, RunId("0193parked")), due=5)
        assert [one.run for one in store.ended_runs(GREETER, 0, 10)] == ["0193c", "0193a", "0193b"]
        assert [one.run for one in store.ended_runs(GREETER, 11, 10)] == ["0193c", "0193a"]
        assert [one.run for one in store.ended_runs(GREETER, 0, 1)] == ["0193c"]

    def test_every_end_counts_and_child_runs_too(self, store: Store) -> None:
        lease = begin(store)
        for number, status in enumerate(sorted(ENDS)):
            child = RunId(f"{RUN}.{status}")
            change = Change(status, updated=100 + number)
            new = new_run(child, None, root=RUN)
            store.write([Write(child, RUN, [started(), ended(status)], lease, new, change)], SYNCED)
        found = store.ended_runs(GREETER, 0, 10)
        assert {one.run for one in found} == {f"{RUN}.{status}" for status in ENDS}
        assert {one.root for one in found} == {RUN}

    def test_runs_of_other_programs_are_not_found(self, store: Store) -> None:
        end(store, begin(store))
        for other in ("agent:greet", "agent:greeter2", "flow:greeter", "greeter", ""):
            assert store.ended_runs(other, 0, 10) == []

    def test_a_measure_is_read_back_as_it_was_noted(self, store: Store) -> None:
        end(store, begin(store))
        assert store.ended_runs(GREETER, 0, 10) == [EndedRun(RUN, RUN, None)]
        store.keep_measures([MEASURE])
        assert store.ended_runs(GREETER, 0, 10) == [EndedRun(RUN, RUN, MEASURE)]
        store.keep_measures([MEASURE._replace(took=9)])
        assert store.ended_runs(GREETER, 0, 10) == [EndedRun(RUN, RUN, MEASURE)]
        assert store.check() == []

    def test_a_measure_of_no_run_is_not_noted(self, store: Store) -> None:
        store.keep_measures([MEASURE])
        end(store, begin(store))
        assert store.ended_runs(GREETER, 0, 10) == [EndedRun(RUN, RUN, None)]

    def test_a_measure_goes_with_its_run(self, store: Store) -> None:
        end(store, begin(store))
        store.keep_measures([MEASURE])
        assert store.vacuum(1 << 60, dry_run=False).runs == 1
        end(store, begin(store))
        assert store.ended_runs(GREETER, 0, 10) == [EndedRun(RUN, RUN, None)]

    def test_runs_that_were_touched_since_their_end_are_named(self, store: Store) -> None:
        for name in ("a", "b", "c"):
            end(store, begin(store, RunId(f"0193{name}")))
        append(store, None, sealed(PayloadErased(at=20, seq=1, by="ann")), run=RunId("0193b"))
        asked = [RunId("0193a"), RunId("0193b"), RunId("0193none")]
        assert store.touched_since(asked) == {RunId("0193b")}
        assert store.touched_since([]) == set()
