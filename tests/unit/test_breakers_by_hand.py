"""Closing a breaker by hand: by people who may, on record in the run whose call had opened it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.approval import Acting, Proof
from magsag.domain.breaking import BreakerMoved, BreakerState
from magsag.domain.effects import Level
from magsag.domain.errors import Invalid, Refused, StoreBroken
from magsag.domain.facts import RunStatus
from magsag.ports.ledger import Declined, Store, Write, Written
from magsag.ports.throttles import ThrottleRow
from magsag.services.driving.runs import Order
from magsag.services.insight.audit import Asked
from magsag.services.people.breakers import Breakers
from magsag.services.steps.throttles import ThrottleStates
from tests.unit.world import KINDS, Bench, agent

PEOPLE = "kind: people\nschema: 1\npeople:\n  - {id: ann, proof: os_user}\n  - {id: bob, proof: claim}\n"
ANN = Acting("ann", Proof.OS_USER)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """The breaker of its agent was opened by the run `r`."""
    main = agent("main", 'raise ValueError("boom")', breaker="{failures: 1, open: 1h}")
    above = agent("above", 'return await ctx.delegate("main", 1)', "agent:main")
    made = Bench(tmp_path, {**KINDS, **main, **above, "people.yaml": PEOPLE})
    assert made.run().status is RunStatus.FAILED
    assert made.time.run(made.app.runs.run(order("s"))).status is RunStatus.DENIED
    return made


def order(id: str, program: str = "agent:main") -> Order:
    return Order(program, None, run_id=id)


def book(bench: Bench, claims_count: bool = False, store: Store | None = None) -> Breakers:
    people, app = bench.app.catalog.people, bench.app
    return Breakers(store or bench.store, lambda: people, app.clock, app.untold, claims_count)


def test_who_closed_it_stands_in_the_run_that_had_opened_it(bench: Bench) -> None:
    assert book(bench).close("agent:main", ANN, "they mended it") == "r"
    fact = bench.facts()[-1]
    assert isinstance(fact, BreakerMoved)
    assert (fact.state, fact.by, fact.proof, fact.reason) == (
        BreakerState.CLOSED, "ann", Proof.OS_USER, "they mended it"
    )  # fmt: skip
    (entry,) = bench.app.audit.log(Asked(person="ann"))
    assert (entry.run, entry.target, entry.said, entry.by) == ("r", "agent:main", "breaker closed", "ann")
    moved = bench.app.insight.show(bench.state().id).breakers
    assert [(one.state, one.by) for one in moved] == [(BreakerState.OPEN, None), (BreakerState.CLOSED, "ann")]
    assert bench.store.check() == []
    assert bench.app.erasing.erase(bench.state().id, "ann").words == 1, "what she wrote stays with the fact"
    assert bench.time.run(bench.app.runs.run(order("t"))).status is RunStatus.FAILED


def test_in_a_child_run_whose_breaker_a_delegation_opened(bench: Bench) -> None:
    book(bench).close("agent:main", ANN)
    bench.time.run(bench.app.runs.run(order("u", "agent:above")))
    assert book(bench).close("agent:main", ANN) == "u"
    assert [fact.state for fact in bench.facts("u") if isinstance(fact, BreakerMoved)] == [
        BreakerState.OPEN, BreakerState.CLOSED
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("by", "why"),
    [
        (Acting("eve", Proof.OS_USER), "eve is not in people.yaml"),
        (Acting("bob", Proof.OS_USER), "bob must prove it by claim"),
        (Acting("bob", Proof.CLAIM), "a claim counts by the `environment` in magsag.toml"),
    ],
)
def test_who_may_not_changes_nothing(bench: Bench, by: Acting, why: str) -> None:
    with pytest.raises(Refused, match=why):
        book(bench).close("agent:main", by)
    view = ThrottleStates(bench.store).view("agent:main")
    assert view is not None
    assert (view.state, view.closed_by) == (BreakerState.OPEN, None)


def test_a_claim_counts_where_the_project_says_that_this_is_development(bench: Bench) -> None:
    assert book(bench, claims_count=True).close("agent:main", Acting("bob", Proof.CLAIM)) == "r"


def test_one_that_is_not_open_stays_as_it_is(bench: Bench) -> None:
    book(bench).close("agent:main", ANN)
    stood, count = bench.store.throttles(), len(bench.facts())
    with pytest.raises(Invalid, match="agent:main is not open, so there is nothing to close"):
        book(bench).close("agent:main", ANN)
    assert (bench.store.throttles(), len(bench.facts())) == (stood, count)
    with pytest.raises(Invalid, match="has no breaker that was ever asked"):
        book(bench).close("agent:other", ANN)


class Over(MemoryStore):
    """The same store, for somebody to whom something happens."""

    def __init__(self, of: Store) -> None:
        self.__dict__.update(vars(of))


class Killed(Over):
    """The process dies before it changes the breaker."""

    def put_throttle(self, row: ThrottleRow) -> bool:
        raise StoreBroken("the process is killed")


class Declining(Over):
    """It takes nothing down."""

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        return [Declined("lease")]


def test_a_kill_in_between_loses_no_word_of_who_closed_it(bench: Bench) -> None:
    with pytest.raises(StoreBroken, match="is killed"):
        book(bench, store=Killed(bench.store)).close("agent:main", ANN)
    fact = bench.facts()[-1]
    assert isinstance(fact, BreakerMoved)
    assert fact.by == "ann"
    assert book(bench).close("agent:main", ANN) == "r"


def test_what_the_run_does_not_take_down_closes_nothing(bench: Bench) -> None:
    with pytest.raises(StoreBroken, match="run r did not take down that the breaker of agent:main is closed"):
        book(bench, store=Declining(bench.store)).close("agent:main", ANN)
    view = ThrottleStates(bench.store).view("agent:main")
    assert view is not None
    assert view.state is BreakerState.OPEN


def test_a_damaged_one_and_one_whose_run_is_gone_are_closed_all_the_same(bench: Bench) -> None:
    row = bench.store.throttle("agent:main")[1]
    assert row is not None
    gone = row.body.replace(b'"r @start 1"', b'"x @start 1"')
    assert gone != row.body
    assert bench.store.put_throttle(ThrottleRow("agent:main", row.version + 1, gone))
    assert book(bench).close("agent:main", ANN) is None
    assert bench.store.put_throttle(ThrottleRow("agent:main", row.version + 3, b"[]"))
    assert book(bench).close("agent:main", ANN) is None
    view = ThrottleStates(bench.store).view("agent:main")
    assert view is not None
    assert (view.state, view.closed_by) == (BreakerState.CLOSED, "ann")
