"""Crews of branches and the turnstile, by themselves."""

import asyncio
from collections.abc import Callable
from typing import Any

from magsag.domain.errors import Stopped, StoreBroken
from magsag.services.programs.crew import Crew, End, close_unused
from magsag.services.steps.seat import Scope
from magsag.services.steps.strands import Strands
from magsag.services.steps.turnstile import LAST, Turnstile
from magsag.testing import VirtualTime


def ends_of(
    *starts: Callable[[], Any], bound: int = 9, until: Callable[[int, End], bool] = lambda index, end: False
) -> tuple[dict[int, End], list[Scope]]:
    scopes = [Scope(f"{index}/") for index in range(len(starts))]

    async def run() -> dict[int, End]:
        crew = Crew(Strands(), {}, iter(zip(scopes, starts, strict=True)), min(bound, len(starts)), until)
        ends = await crew.run()
        while crew.stragglers:
            _, crew.stragglers = await asyncio.wait(crew.stragglers)
        return ends

    return VirtualTime().run(run()), scopes


def after(seconds: float, value: Any = None, error: BaseException | None = None) -> Callable[[], Any]:
    async def branch() -> Any:
        await asyncio.sleep(seconds)
        if error is not None:
            raise error
        return value

    return branch


class TestCrew:
    def test_branches_end_as_values_errors_or_not_in_this_leg(self) -> None:
        boom = ValueError("boom")
        ends, _ = ends_of(after(1, "a"), after(2, error=boom), after(1, error=Stopped()), after(1, error=StoreBroken()))
        assert ends == {0: End("a"), 1: End(error=boom), 2: End(stopped=True), 3: End(stopped=True)}

    def test_no_more_than_the_bound_run_at_once(self) -> None:
        now, most = 0, 0

        async def branch() -> None:
            nonlocal now, most
            now, most = now + 1, max(most, now + 1)
            await asyncio.sleep(1)
            now -= 1

        ends_of(*[branch] * 10, bound=3)
        assert most == 3

    def test_giving_up_flags_the_others_and_starts_no_more(self) -> None:
        begun: list[int] = []

        def noting(index: int) -> Callable[[], Any]:
            async def branch() -> int:
                begun.append(index)
                await asyncio.sleep(index)
                return index

            return branch

        ends, scopes = ends_of(*map(noting, range(5)), bound=2, until=lambda index, end: index == 0)
        assert begun == [0, 1]
        assert ends[0] == End(0)
        assert [scope.cancelled for scope in scopes] == [False, True, False, False, False]

    def test_what_a_branch_makes_of_its_cancellation_is_not_believed(self) -> None:
        async def stubborn() -> str:
            try:
                await asyncio.sleep(50)
            except asyncio.CancelledError:
                await asyncio.sleep(1)
            return "I went on"

        ends, _ = ends_of(after(1), stubborn, until=lambda index, end: index == 0)
        assert ends[1] == End(cancelled=True)

    def test_a_branch_that_cancels_itself_has_failed(self) -> None:
        ends, _ = ends_of(after(1, error=asyncio.CancelledError()))
        assert "cancelled by something other than ctx" in str(ends[0].error)

    def test_cancelling_the_crew_waits_for_every_branch(self) -> None:
        ended: list[int] = []

        async def slow_to_end(index: int) -> None:
            try:
                await asyncio.sleep(50)
            finally:
                await asyncio.sleep(index)
                ended.append(index)

        async def run() -> None:
            starts = [lambda: slow_to_end(1), lambda: slow_to_end(2)]
            crew = Crew(Strands(), {}, iter(zip([Scope(), Scope()], starts, strict=True)), 2, lambda index, end: False)
            task = asyncio.ensure_future(crew.run())
            await asyncio.sleep(1)
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()

        VirtualTime().run(run())
        assert ended == [1, 2]

    def test_calls_that_never_began_are_closed_and_others_left_alone(self) -> None:
        async def run() -> None:
            running, unused = after(1)(), after(1)()
            task = asyncio.ensure_future(running)
            await asyncio.sleep(0)
            close_unused([running, unused, "no call at all"])
            assert await task is None
            assert unused.cr_frame is None

        VirtualTime().run(run())


class TestTurnstile:
    def pass_in_order(self, *orders: float, announce: int = 0) -> list[float]:
        passed: list[float] = []

        async def one(turnstile: Turnstile, order: float) -> None:
            await turnstile.wait(order, 1)
            passed.append(order)

        async def run() -> None:
            turnstile = Turnstile()
            if announce:
                turnstile.announce(announce)
            tasks = [asyncio.ensure_future(one(turnstile, order)) for order in orders]
            await asyncio.sleep(1)
            if announce:
                passed.append(-1)
                turnstile.arrived(announce)
            await asyncio.wait(tasks)

        VirtualTime().run(run())
        return passed

    def test_the_lowest_passes_first_and_a_timer_last(self) -> None:
        assert self.pass_in_order(LAST, 7, 3, 5) == [3, 5, 7, LAST]

    def test_nothing_passes_what_is_on_its_way_to_the_disk(self) -> None:
        assert self.pass_in_order(7, 3, announce=5) == [3, -1, 7]

    def test_one_that_was_cancelled_holds_nobody_up(self) -> None:
        async def run() -> list[int]:
            turnstile, passed = Turnstile(), list[int]()

            async def one(order: int) -> None:
                await turnstile.wait(order, 0)
                passed.append(order)

            first, second = asyncio.ensure_future(one(1)), asyncio.ensure_future(one(2))
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.wait({first, second})
            return passed

        assert VirtualTime().run(run()) == [2]
