"""A process that dies between taking leave and its intent: no call too many, and no place that is stuck."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from magsag.domain.breaking import BreakerMoved, BreakerState
from magsag.domain.effects import Level
from magsag.domain.errors import StoreBroken
from magsag.domain.ids import RunId
from magsag.policy.throttle import Busy
from magsag.ports.ledger import Declined, Lease, Occupied, Write, Written
from magsag.ports.throttles import ThrottleRow
from magsag.services.driving.runs import Order
from magsag.services.steps.throttles import ThrottleStates, change
from tests.unit.test_throttling import CALLS, Clocked
from tests.unit.world import ALLOW, WORLD, Bench, agent, skill

Make = Callable[..., Bench]


class Dying(Clocked):
    """The process dies with the commit of its first intent, which never arrives."""

    has_died = True
    is_gone = False
    """the process died in an act, and writes nothing any more"""
    is_wrested = False

    def acquire(self, root: RunId, owner: str, seconds: float) -> Lease | Occupied:
        lease = super().acquire(root, owner, seconds)
        return replace(lease, wrested=self.is_wrested) if isinstance(lease, Lease) else lease

    def put_throttle(self, row: ThrottleRow) -> bool:
        self._live()
        return super().put_throttle(row)

    def hold(self, name: str, seconds: int) -> None:
        """Whoever is in there took its place later than its act began."""
        change(self, name, lambda was, _: replace(was, busy=tuple(later(one, seconds) for one in was.busy)))

    def _live(self) -> None:
        if self.is_gone:
            raise StoreBroken("the process is killed")

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        self._live()
        if not self.has_died and any(fact.kind == "StepStarted" for item in writes for fact in item.facts):
            self.has_died = True
            raise StoreBroken("the process is killed")
        return super().write(writes, level)


def later(one: Busy, seconds: int) -> Busy:
    return one._replace(until=one.until + seconds * 1_000_000)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Bench] = []

    def bench(effect: str = "idempotent", **limits: str) -> Bench:
        program = agent("main", CALLS.replace("SLUG", "idem"), uses="skill:idem")
        store = Dying()
        made.append(Bench(tmp_path, {**ALLOW, **skill("idem", effect, **limits), **program}, store))
        store.clock = made[-1].time.clock
        return made[-1]

    WORLD.reset()
    yield bench
    for one in made:
        one.close()


def told(bench: Bench, id: str) -> object:
    return bench.time.run(bench.process().runs.run(Order("agent:main", [0], run_id=id))).output


def killed(bench: Bench) -> None:
    """The run `r`, between its leave and its intent."""
    assert isinstance(bench.store, Dying)
    bench.store.has_died = False
    with pytest.raises(StoreBroken, match="is killed"):
        bench.run([0])
    assert "StepStarted" not in bench.kinds()


def state(bench: Bench) -> BreakerState:
    view = ThrottleStates(bench.store).view("skill:idem")
    assert view is not None
    return view.state


def half_open(bench: Bench) -> None:
    def fails(*_: object) -> None:
        raise ValueError("broken")

    WORLD.on_act = fails
    assert told(bench, "bad") == ["raised"]
    WORLD.on_act = None
    WORLD.calls.clear()
    bench.time.passed += 61


def test_the_place_of_a_dead_process_is_free_once_its_act_could_not_go_on(make: Make) -> None:
    bench = make(concurrency="1", timeout="20s")
    killed(bench)
    assert told(bench, "s") == ["rate_limit"]
    bench.time.passed += 21
    assert told(bench, "t") == ["ok"]
    assert len(WORLD.calls) == 1


def test_whoever_takes_the_run_up_has_its_place_still(make: Make) -> None:
    bench = make(concurrency="1", timeout="20s")
    killed(bench)
    assert bench.resume().output == ["ok"]
    assert told(bench, "s") == ["ok"]


def test_one_that_died_while_it_tried_is_waited_for_and_then_another_tries(make: Make) -> None:
    bench = make(breaker="{failures: 1, open: 60s}", timeout="20s")
    half_open(bench)
    killed(bench)
    assert told(bench, "s") == ["unavailable"]
    assert WORLD.calls == []
    bench.time.passed += 21
    assert told(bench, "t") == ["ok"]
    assert (len(WORLD.calls), state(bench)) == (1, BreakerState.CLOSED)
    assert bench.resume().output == ["ok"]


def test_one_that_died_while_it_tried_tries_again_when_it_is_taken_up(make: Make) -> None:
    bench = make(breaker="{failures: 1, open: 60s}", timeout="20s")
    half_open(bench)
    killed(bench)
    assert bench.resume().output == ["ok"]
    assert state(bench) is BreakerState.CLOSED
    moves = [fact.state for fact in bench.facts() if isinstance(fact, BreakerMoved)]
    assert moves == [BreakerState.HALF_OPEN, BreakerState.CLOSED]


def test_a_call_of_a_rate_is_lost_at_most(make: Make) -> None:
    bench = make(rate="{calls: 2, per: 1h}")
    killed(bench)
    assert bench.resume().output == ["ok"]
    assert told(bench, "s") == ["rate_limit"]
    assert len(WORLD.calls) == 1


def killed_in_its_act(bench: Bench) -> None:
    """The run `r`: its act has begun, and nobody will ever hear of it."""
    store = bench.store
    assert isinstance(store, Dying)

    def dies(*_: object) -> None:
        store.is_gone = True

    WORLD.on_act = dies
    with pytest.raises(StoreBroken, match="is killed"):
        bench.run([0])
    WORLD.on_act, store.is_gone = None, False
    assert bench.kinds().count("StepStarted") == 2


def test_the_place_of_an_act_that_another_process_has_brought_to_its_end_is_free(make: Make) -> None:
    bench = make(concurrency="1", timeout="20s")
    killed_in_its_act(bench)
    assert told(bench, "s") == ["rate_limit"]
    assert bench.resume().output == ["ok"]
    assert told(bench, "t") == ["ok"]


def test_the_place_of_an_act_in_doubt_is_free(make: Make) -> None:
    bench = make("unrepeatable", concurrency="1", timeout="20s")
    killed_in_its_act(bench)
    assert bench.resume().status == "parked"
    assert told(bench, "t") == ["ok"]


@pytest.mark.parametrize("effect", ["idempotent", "unrepeatable"])
def test_the_place_of_an_act_whose_owner_may_live_is_held_for_its_whole_time(make: Make, effect: str) -> None:
    bench = make(effect, concurrency="1", timeout="20s")
    killed_in_its_act(bench)
    store = bench.store
    assert isinstance(store, Dying)
    store.is_wrested = True
    bench.resume()
    assert told(bench, "s") == ["rate_limit"]
    bench.time.passed += 21
    assert told(bench, "t") == ["ok"]


@pytest.mark.parametrize("is_wrested", [False, True])
def test_an_attempt_that_did_not_act_leaves_its_place_to_the_next_one(make: Make, is_wrested: bool) -> None:
    bench = make("reconcilable", concurrency="1", timeout="20s")
    store = bench.store
    assert isinstance(store, Dying)

    def dies(*_: object) -> None:
        store.is_gone = True
        WORLD.calls.clear()

    WORLD.on_act = dies
    with pytest.raises(StoreBroken, match="is killed"):
        bench.run([0])
    WORLD.on_act, store.is_gone, store.is_wrested = None, False, is_wrested
    store.hold("skill:idem", 3600)
    assert bench.resume().output == ["ok"]
