"""Which trees may leave a ledger."""

from hypothesis import given
from hypothesis import strategies as st

from magsag.domain.ids import RunId
from magsag.engine.keeping import Kin, leaving

OLD, NEW, NOW = 1, 9, 5


def kin(
    run: str, updated: int = OLD, *, root: str = "", parent: str = "", continues: str = "", is_open: bool = False
) -> Kin:
    one, two = RunId(parent) if parent else None, RunId(continues) if continues else None
    return Kin(RunId(run), RunId(root or run), one, two, updated, is_open)


def test_what_ended_long_ago_leaves() -> None:
    assert leaving([kin("old"), kin("new", NEW), kin("open", is_open=True)], NOW) == {"old"}


def test_a_tree_stays_when_any_run_of_it_does() -> None:
    for child in (kin("a.b", NEW, root="a", parent="a"), kin("a.b", root="a", parent="a", is_open=True)):
        assert leaving([kin("a"), child], NOW) == set()


def test_what_a_staying_run_continues_stays_from_link_to_link() -> None:
    runs = [kin("a"), kin("b", continues="a"), kin("c", NEW, continues="b"), kin("d", continues="c")]
    assert leaving(runs, NOW) == {"d"}


def test_a_run_that_continues_what_is_gone_already_leaves_like_any_other() -> None:
    assert leaving([kin("a", continues="gone")], NOW) == {"a"}


def test_a_tree_of_its_own_stays_as_long_as_the_one_that_started_it_and_the_other_way_round() -> None:
    assert leaving([kin("a", is_open=True), kin("a.b", parent="a")], NOW) == set()
    assert leaving([kin("a"), kin("a.b", parent="a", is_open=True)], NOW) == set()
    assert leaving([kin("a"), kin("a.b", parent="a")], NOW) == {"a", "a.b"}


NAMES = st.sampled_from([*"abcdef"])


@given(st.dictionaries(NAMES, st.tuples(NAMES, st.booleans(), st.sampled_from([OLD, NEW]))))
def test_nothing_that_stays_knows_what_leaves(shape: dict[str, tuple[str, bool, int]]) -> None:
    runs = [kin(run, updated, continues=other, is_open=is_open) for run, (other, is_open, updated) in shape.items()]
    gone = leaving(runs, NOW)
    assert not any(one.is_open or one.updated == NEW for one in runs if one.run in gone)
    assert not any(one.continues in gone for one in runs if one.run not in gone)
