"""A worker's own decisions, with legs that do as they are told."""

import asyncio
import time
from collections.abc import Callable, Iterator

import pytest

from magsag.domain.errors import Invalid, StoreAway, StoreBroken
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.ports.runner import Busy, Finished, Parked, Told, Yielded
from magsag.runners.workers import Worker
from magsag.testing import FrozenClock

DONE = Finished(RunStatus.SUCCEEDED)


class Scripted:
    """Legs and wakes: what is due, and what each leg does."""

    def __init__(self, *runs: str, drive: Callable[[RunId], Told] = lambda run: DONE) -> None:
        self.wanting = [RunId(run) for run in runs]
        self.under_way = self.most = 0
        self.asked: list[RunId] = []
        self._drive = drive

    async def drive(self, run: RunId, stop: asyncio.Event) -> Told:
        self.asked.append(run)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        told = self._drive(run)
        if isinstance(told, Finished):
            self.wanting.remove(run)
        return told

    def due(self, limit: int) -> list[RunId]:
        return self.wanting[:limit]

    def wait(self, seconds: float) -> bool:
        time.sleep(min(seconds, 0.01))
        return False


def serve(legs: Scripted, concurrency: int = 2, once: bool = True) -> list[tuple[RunId, Told | Exception]]:
    heard: list[tuple[RunId, Told | Exception]] = []
    worker = Worker(
        legs, legs, "test", concurrency, lambda run, told: heard.append((run, told)), lambda: None, FrozenClock()
    )
    asyncio.run(worker.serve(once))
    return heard


def test_it_drives_what_is_due_so_many_at_once_and_no_more() -> None:
    legs = Scripted(*(f"run-{number}" for number in range(40)))
    assert len(serve(legs, concurrency=3)) == 40
    assert legs.most == 3


def test_a_run_that_raises_is_told_and_the_others_go_on() -> None:
    def drive(run: RunId) -> Told:
        if run == "bad":
            raise Invalid("its bundle is gone")
        return DONE

    legs = Scripted("bad", "good", "better", drive=drive)
    heard = dict(serve(legs, concurrency=1))
    assert (str(heard[RunId("bad")]), heard[RunId("good")], heard[RunId("better")]) == (
        "its bundle is gone",
        DONE,
        DONE,
    )
    assert legs.asked.count(RunId("bad")) == 1, "with once it is not tried again"


def test_a_run_that_somebody_else_drives_is_left_to_them() -> None:
    legs = Scripted("theirs", drive=lambda run: Busy(10))
    assert serve(legs) == [("theirs", Busy(10))]


def test_a_run_that_parks_and_is_due_already_is_left_alone_for_a_moment() -> None:
    legs = Scripted("restless", drive=lambda run: Parked(FrozenClock().now(), "it waits"))
    assert len(serve(legs)) == 1


def test_a_run_that_parks_until_later_and_is_woken_goes_on_at_once() -> None:
    told: Iterator[Told] = iter([Parked(FrozenClock().now() + 1, "it waits"), DONE])
    assert len(serve(Scripted("woken", drive=lambda run: next(told)))) == 2


def test_a_store_that_cannot_be_asked_ends_what_drives_once() -> None:
    class Gone(Scripted):
        def due(self, limit: int) -> list[RunId]:
            raise StoreBroken("nobody answers")

    with pytest.raises(StoreBroken, match="nobody answers"):
        serve(Gone())


def test_a_worker_that_serves_on_waits_for_a_store_that_comes_back() -> None:
    class Flaky(Scripted):
        asks = 0

        def due(self, limit: int) -> list[RunId]:
            self.asks += 1
            if self.asks == 1:
                raise StoreBroken("nobody answers")
            return super().due(limit)

    legs, ended = Flaky("later"), asyncio.Event()

    async def served() -> None:
        worker = Worker(legs, legs, "test", 1, lambda run, told: ended.set(), lambda: None, FrozenClock())
        serving = asyncio.ensure_future(worker.serve())
        await ended.wait()
        worker.interrupt()
        await serving

    asyncio.run(served())
    assert legs.asked == ["later"]


def away(run: RunId) -> Told:
    raise StoreAway("nobody answers")


def test_a_store_that_goes_away_during_a_leg_is_no_failure_of_the_run() -> None:
    legs, heard = Scripted("mine", drive=away), []

    async def served() -> None:
        def told(run: RunId, told: Told | Exception) -> None:
            heard.append(told)
            worker.interrupt()

        worker = Worker(legs, legs, "test", 1, told, lambda: None, FrozenClock())
        await worker.serve()

    asyncio.run(served())
    assert heard == [Yielded()]
    with pytest.raises(StoreAway, match="nobody answers"):
        serve(legs)


def test_a_worker_that_was_interrupted_starts_nothing() -> None:
    legs = Scripted("new", drive=lambda run: Yielded())
    worker = Worker(legs, legs, "test", 1, lambda run, told: None, lambda: None, FrozenClock())
    worker.interrupt()
    asyncio.run(worker.serve())
    assert legs.asked == []
