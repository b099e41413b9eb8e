"""`ctx`: ids, foreign tasks, order, values, time and chance; parking and cancellation that code cannot outrun."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from magsag.domain.errors import ErrorType, StepFailed
from magsag.domain.facts import ParkedOn, RunStatus, StepStatus
from magsag.testing import History
from tests.unit.world import KINDS, USES, WORLD, Bench, Files, agent, skill

Make = Callable[..., Bench]
ASKS = {"policies/allow.yaml": "kind: policy\nschema: 1\nrules: []\n"}
ERRORS = "import asyncio\nfrom magsag.domain.errors import Invalid, StepFailed, Stopped"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    WORLD.reset()

    def made(body: str, files: Files | None = None, uses: str = USES, **settings: Any) -> Bench:
        return Bench(tmp_path, {**KINDS, **agent("main", body, uses, ERRORS), **(files or {})}, **settings)

    return made


def slow(seconds: float) -> Callable[[str, Any, Any], Any]:
    """Acts take so long; what is named `fail` fails."""

    async def act(name: str, payload: Any, ctx: Any) -> Any:
        await asyncio.sleep(seconds)
        if payload == "fail":
            raise StepFailed("unavailable", "not there")
        return payload

    return act


class TestIds:
    def test_steps_are_counted_by_name_in_each_branch(self, make: Make) -> None:
        body = """
        await ctx.skill("pure", 1)
        await ctx.skill("pure", 2)
        await ctx.gather(ctx.skill("pure", 3), ctx.skill("look", 4))
        await ctx.map(lambda n: ctx.skill("pure", n), [5, 6])
        await ctx.race(ctx.skill("pure", 7))
        await ctx.timeout(9, ctx.skill("pure", 8))
        return await ctx.skill("pure", 9, key="last")
        """
        bench = make(body)
        assert bench.run().output == 9
        assert list(bench.state().steps) == [
            "pure#1", "pure#2", "g1.0/pure#1", "g1.1/look#1", "m1.0/pure#1", "m1.1/pure#1", "r1.0/pure#1", "race.1",
            "t1/pure#1", "timeout.1", "pure[last]",
        ]  # fmt: skip

    def test_branches_within_branches_have_paths(self, make: Make) -> None:
        bench = make('return await ctx.gather(ctx.gather(ctx.skill("pure", 1)), ctx.race(ctx.skill("pure", 2)))')
        bench.run()
        assert {"g1.0/g1.0/pure#1", "g1.1/r1.0/pure#1", "g1.1/race.1"} == set(bench.state().steps)

    def test_the_same_key_gives_the_recorded_outcome_again(self, make: Make) -> None:
        bench = make('return [await ctx.skill("idem", 1, key="k"), await ctx.skill("idem", 1, key="k")]')
        assert bench.run().output == [1, 1]
        assert WORLD.count().total() == 1

    def test_the_same_key_with_another_input_is_a_divergence(self, make: Make) -> None:
        result = make('return [await ctx.skill("pure", 1, key="k"), await ctx.skill("pure", 2, key="k")]').run()
        assert [reason.on for reason in result.reasons] == [ParkedOn.DIVERGENCE]

    def test_a_skill_named_like_a_verb_is_no_note(self, make: Make) -> None:
        body = 'return [await ctx.skill("race", 1), await ctx.race(ctx.skill("race", 2))]'
        body = body.replace("await ctx.race(", "list(await ctx.race(").replace("2))]", "2)))]")
        assert make(body, skill("race", "pure"), "skill:race").run().output == [1, [0, 2]]


class TestForeignTasks:
    @pytest.mark.parametrize(
        "call",
        [
            'asyncio.gather(ctx.skill("pure", 1), ctx.skill("pure", 2))',
            'asyncio.create_task(ctx.skill("pure", 1))',
            'asyncio.wait_for(asyncio.create_task(ctx.skill("pure", 1)), 5)',
        ],
    )
    def test_a_call_from_a_foreign_task_is_refused_with_the_verb_to_use(self, make: Make, call: str) -> None:
        result = make(f"return await {call}").run()
        assert result.status is RunStatus.FAILED
        assert result.error is not None
        assert "called from a task that ctx did not start. Use ctx.gather" in result.error.message
        assert not WORLD.calls

    def test_a_cancellation_by_others_parks_the_run(self, make: Make) -> None:
        WORLD.on_act = slow(10)
        body = """
        try:
            await asyncio.wait_for(asyncio.sleep(0), 1)
            async with asyncio.timeout(1):
                await ctx.skill("pure", 1)
        except TimeoutError:
            await ctx.skill("once", "refund")
        """
        result = make(body).run()
        assert [reason.on for reason in result.reasons] == [ParkedOn.DIVERGENCE]
        assert "cancelled by something other than ctx; use ctx.timeout" in result.reasons[0].reason
        assert not WORLD.count("once")

    def test_a_cancellation_by_others_around_gather_parks_the_run(self, make: Make) -> None:
        WORLD.on_act = slow(10)
        body = """
        try:
            async with asyncio.timeout(1):
                await ctx.gather(ctx.skill("pure", 1), ctx.skill("look", 2))
        except TimeoutError:
            return await ctx.skill("once", "refund")
        """
        result = make(body).run()
        assert {reason.on for reason in result.reasons} == {ParkedOn.DIVERGENCE}
        assert not WORLD.count("once")

    def test_what_was_awaited_already_is_refused(self, make: Make) -> None:
        result = make('return await ctx.gather(await ctx.skill("pure", 1), ctx.skill("pure", 2))').run()
        assert result.error is not None
        assert "ctx.gather takes calls that were not awaited yet" in result.error.message


class TestTogether:
    def test_results_stand_by_index(self, make: Make) -> None:
        async def later(name: str, payload: Any, ctx: Any) -> Any:
            await asyncio.sleep(5 - payload)
            return payload

        WORLD.on_act = later
        body = """
        gathered = await ctx.gather(*[ctx.skill("pure", n) for n in range(4)])
        return [gathered, await ctx.map(lambda n: ctx.skill("pure", n), range(4), concurrency=2)]
        """
        assert make(body).run().output == [[0, 1, 2, 3], [0, 1, 2, 3]]

    def test_collect_lists_errors_by_index_and_the_run_is_partial(self, make: Make) -> None:
        WORLD.on_act = slow(0)
        body = """
        calls = ctx.skill("pure", 1), ctx.skill("look", "fail"), ctx.skill("pure", 3)
        done = await ctx.gather(*calls, on_error="collect")
        return [done.results, [[error["index"], error["type"]] for error in done.errors]]
        """
        result = make(body).run()
        assert (result.status, result.output) == (RunStatus.PARTIAL, [[1, 3], [[1, "unavailable"]]])

    def test_nothing_to_do_is_an_empty_list(self, make: Make) -> None:
        assert make("return [await ctx.gather(), await ctx.map(len, [])]").run().output == [[], []]

    def test_the_same_failure_ends_the_others_live_and_in_a_resume(self, make: Make) -> None:
        async def act(name: str, payload: Any, ctx: Any) -> Any:
            await asyncio.sleep(payload["after"])
            raise StepFailed("unavailable", payload["name"])

        WORLD.on_act = act
        body = """
        def failing(skill, name, after):
            return ctx.skill(skill, {"name": name, "after": after})
        try:
            await ctx.gather(failing("once", "slow", 2), failing("pure", "quick", 1), failing("pure", "middle", 1.5))
        except StepFailed as error:
            said = error.message
        return said
        """
        bench = make(body)
        history = History(bench.app)
        assert bench.run().output == "quick"
        resumed = make(body, store=history.cut(len(history.facts) - 1))
        assert resumed.resume().output == "quick"

    @pytest.mark.parametrize("call", ['gather(on_error="skip")', 'map(len, [1], on_error="skip")'])
    def test_an_unknown_on_error_is_refused(self, make: Make, call: str) -> None:
        result = make(f"return await ctx.{call}").run()
        assert result.error is not None
        assert 'on_error is "fail" or "collect", not \'skip\'' in result.error.message

    def test_a_bound_below_one_is_refused(self, make: Make) -> None:
        result = make("return await ctx.map(len, [1], concurrency=0)").run()
        assert result.error is not None
        assert "at least 1 is needed" in result.error.message

    def test_a_race_of_nothing_is_refused(self, make: Make) -> None:
        result = make("return await ctx.race()").run()
        assert result.error is not None
        assert "at least one call" in result.error.message

    def test_sharing_state_between_branches_of_gather_can_diverge_and_is_named(self, make: Make) -> None:
        """The negative control of the order in races: outside them a program must not look."""

        async def act(name: str, payload: Any, ctx: Any) -> Any:
            await asyncio.sleep({"pure": 1, "look": 2}.get(name, 0))
            return payload

        WORLD.on_act = act
        body = """
        seen = []
        async def one(skill):
            await ctx.skill(skill, 0)
            seen.append(skill)
            await ctx.skill("idem", list(seen))
        return await ctx.gather(one("look"), one("pure"))
        """
        bench = make(body)
        history = History(bench.app)
        bench.run()
        result = make(body, store=history.cut(len(history.facts) - 1)).resume()
        assert {reason.on for reason in result.reasons} == {ParkedOn.DIVERGENCE}
        assert "differs at /" in result.reasons[0].reason


class TestDivergence:
    BODY = """
    from tests.unit.world import WORLD
    await WORLD.ask(ctx)
    return await ctx.skill("once", 1)
    """

    def after(self, make: Make, ask: Callable[[Any], Any]) -> Any:
        """The run as it goes on when the program asks for something else than before."""
        bench = make(self.BODY)
        WORLD.ask = lambda ctx: ctx.skill("pure", {"a": [1, 2]}, key="k")
        history = History(bench.app)
        assert bench.run().output == 1
        WORLD.reset()
        WORLD.ask = ask
        return bench.on(history.cut(2)).resume()

    @pytest.mark.parametrize(
        ("now", "where"),
        [
            ([1, 3], "/a/1"),
            ([1, True], "/a/1"),
            ([1], "/a/1"),
            ([1, 2, 3], "/a/2"),
            ({"b": 1}, "/a"),
            ([True, 2], "/a/0"),
        ],
    )
    def test_another_input_parks_and_names_the_place(self, make: Make, now: Any, where: str) -> None:
        result = self.after(make, lambda ctx: ctx.skill("pure", {"a": now}, key="k"))
        assert [reason.on for reason in result.reasons] == [ParkedOn.DIVERGENCE]
        assert result.reasons[0].reason.endswith(f"was called with another input before; it differs at {where}")
        assert not WORLD.calls

    def test_the_same_input_in_another_form_is_the_same(self, make: Make) -> None:
        result = self.after(make, lambda ctx: ctx.skill("pure", {"a": [1.0, 2]}, key="k"))
        assert result.output == 1

    def test_an_input_that_is_no_json_any_more_parks(self, make: Make) -> None:
        result = self.after(make, lambda ctx: ctx.skill("pure", {"a": {1, 2}}, key="k"))
        assert "nothing that JSON can hold" in result.reasons[0].reason

    def test_another_target_parks_and_names_both(self, make: Make) -> None:
        def pure(value: Any) -> Any:
            return value

        result = self.after(make, lambda ctx: ctx.call(pure, {"a": [1, 2]}, key="k"))
        expected = "the record has skill skill:pure@1.0.0 (pure), the program now asks for call call:pure (read)"
        assert expected in result.reasons[0].reason
        assert not WORLD.calls

    def test_another_step_is_new_but_the_one_on_record_is_missed(self, make: Make) -> None:
        result = self.after(make, lambda ctx: ctx.skill("pure", 7, key="other"))
        assert [(reason.on, reason.step) for reason in result.reasons] == [(ParkedOn.DIVERGENCE, "pure[k]")]
        assert "the program has ended and did not ask for it" in result.reasons[0].reason


class TestTimeAndChance:
    def test_time_and_chance_are_the_same_after_a_resume(self, make: Make) -> None:
        WORLD.on_act = slow(3)
        body = """
        seen = [str(ctx.now()), str(ctx.uuid()), ctx.random(), str(ctx.uuid())]
        await ctx.skill("pure", 1)
        return [*seen, str(ctx.now()), ctx.random()]
        """
        bench = make(body)
        history = History(bench.app)
        first = bench.run().output
        assert first[1] != first[3]
        bench.time.passed += 100
        resumed = bench.on(history.cut(2))
        assert bench.time.run(resumed.app.runs.resume(bench.state().id)).output == first

    def test_each_run_has_its_own_chance(self, make: Make) -> None:
        assert make("return ctx.random()").run().output == make("return ctx.random()").run().output
        bench = make("return ctx.random()")
        other = bench.time.run(bench.app.runs.run(_order("other")))
        assert other.output != bench.run().output


def _order(run: str) -> Any:
    from magsag.services.driving.runs import Order

    return Order("agent:main", None, run_id=run)


class TestParking:
    def test_finally_cannot_act(self, make: Make) -> None:
        body = """
        try:
            await ctx.skill("once", 1)
        finally:
            await ctx.skill("idem", "refund")
        """
        allowed = {**ASKS, "policies/more.yaml": "kind: policy\nschema: 1\nrules:\n"
                   '  - {id: a, on: ["skill:idem"], verdict: allow}\n'}  # fmt: skip
        result = make(body, allowed).run()
        assert [reason.on for reason in result.reasons] == [ParkedOn.APPROVAL]
        assert not WORLD.calls

    @pytest.mark.parametrize("then", ['return "done"', 'raise ValueError("x")', 'return await ctx.skill("pure", 2)'])
    def test_swallowing_the_stop_does_not_help(self, make: Make, then: str) -> None:
        body = f"""
        try:
            await ctx.skill("once", 1)
        except BaseException:
            {then}
        """
        result = make(body, ASKS).run()
        assert (result.status, result.reasons[0].on) == (RunStatus.PARKED, ParkedOn.APPROVAL)
        assert not WORLD.calls

    def test_swallowing_it_in_a_branch_does_not_help(self, make: Make) -> None:
        body = """
        async def one():
            try:
                await ctx.skill("once", 1)
            except BaseException:
                return "done"
        return await ctx.gather(one(), ctx.skill("pure", 2))
        """
        result = make(body, ASKS).run()
        assert result.status is RunStatus.PARKED

    def test_siblings_run_to_their_end_and_all_reasons_are_listed(self, make: Make) -> None:
        WORLD.on_act = slow(5)
        body = """
        async def long():
            await ctx.skill("pure", 1)
            await ctx.skill("look", 2)
            await ctx.skill("recon", 3)
        return await ctx.gather(ctx.skill("once", 1), long(), ctx.skill("trans", 2))
        """
        bench = make(body, ASKS)
        result = bench.run()
        assert [reason.step for reason in result.reasons] == ["g1.0/once#1", "g1.2/trans#1", "g1.1/recon#1"]
        assert bench.step("g1.1/look#1").status is StepStatus.SUCCEEDED

    def test_what_was_asked_is_not_answered_by_another_leg(self, make: Make) -> None:
        bench = make('return [await ctx.skill("pure", 1), await ctx.skill("once", 2)]', ASKS)
        assert bench.run().status is RunStatus.PARKED
        result = make('return [await ctx.skill("pure", 1), await ctx.skill("once", 2)]', store=bench.store).resume()
        assert result.status is RunStatus.PARKED
        assert WORLD.count().total() == 1
        assert result.reasons[0].on is ParkedOn.APPROVAL

    def test_a_branch_that_waits_when_its_race_is_won_ends_with_the_run(self, make: Make) -> None:
        bench = make('return list(await ctx.race(ctx.skill("once", 1), ctx.skill("pure", 2)))', ASKS)
        assert bench.run().output == [1, 2]
        assert bench.step("r1.0/once#1").status is StepStatus.CANCELLED

    def test_a_doubt_in_a_branch_that_lost_keeps_the_run_from_ending(self, make: Make) -> None:
        async def act(name: str, payload: Any, ctx: Any) -> Any:
            await asyncio.sleep(1000 if name == "once" else 1)
            return payload

        WORLD.on_act = act
        bench = make('return list(await ctx.race(ctx.skill("once", 1), ctx.skill("pure", 2)))')
        result = bench.run()
        assert [reason.on for reason in result.reasons] == [ParkedOn.DOUBT]
        assert [reason.step for reason in bench.resume().reasons] == ["r1.0/once#1"]


class TestCancelling:
    def test_what_lost_a_race_before_its_intent_is_cancelled(self, make: Make) -> None:
        async def act(name: str, payload: Any, ctx: Any) -> Any:
            await asyncio.sleep(payload)
            return payload

        WORLD.on_act = act
        bench = make('return list(await ctx.race(ctx.skill("pure", 1), ctx.skill("look", 50)))')
        assert bench.run().output == [0, 1]
        assert bench.step("r1.1/look#1").status is StepStatus.CANCELLED

    def test_an_effect_that_lost_a_race_ends_as_it_does(self, make: Make) -> None:
        async def act(name: str, payload: Any, ctx: Any) -> Any:
            await asyncio.sleep(payload)
            return payload

        WORLD.on_act = act
        bench = make('return list(await ctx.race(ctx.skill("pure", 1), ctx.skill("once", 50)))')
        assert bench.run().output == [0, 1]
        assert bench.step("r1.1/once#1").status is StepStatus.SUCCEEDED

    def test_branches_within_a_branch_that_lost_are_cancelled_too(self, make: Make) -> None:
        async def act(name: str, payload: Any, ctx: Any) -> Any:
            await asyncio.sleep(payload)
            return payload

        WORLD.on_act = act
        body = """
        inner = ctx.gather(ctx.skill("look", 50), ctx.skill("look", 60))
        return list(await ctx.race(ctx.skill("pure", 1), inner))
        """
        bench = make(body)
        assert bench.run().output == [0, 1]
        assert {step.status for id, step in bench.state().steps.items() if "look" in id} == {StepStatus.CANCELLED}

    def test_a_timeout_is_a_recorded_failure(self, make: Make) -> None:
        WORLD.on_act = slow(60)
        result = make('return await ctx.timeout(2.5, ctx.skill("pure", 1))').run()
        assert result.error is not None
        assert (result.error.type, result.error.message) == (ErrorType.TIMEOUT, "it did not end within 2.5 s")

    def test_a_step_waiting_for_its_next_attempt_is_cancelled_with_its_branch(self, make: Make) -> None:
        async def act(name: str, payload: Any, ctx: Any) -> Any:
            if name == "idem":
                raise StepFailed("unavailable", "not now")
            await asyncio.sleep(2)
            return payload

        WORLD.on_act = act
        files = skill("idem", "idempotent", retry="{attempts: 9, backoff: 50s}")
        bench = make('return list(await ctx.race(ctx.skill("pure", 1), ctx.skill("idem", 2)))', files)
        assert bench.run().output == [0, 1]
        assert bench.step("r1.1/idem#1").status is StepStatus.CANCELLED
        assert bench.time.passed < 10

    def test_a_flow_is_delegated_to_where_uses_names_it(self, make: Make) -> None:
        flow = 'kind: flow\nschema: 1\nslug: twice\nversion: 1.0.0\nsteps: [{id: only, uses: "skill:pure"}]\n'
        body = 'return await ctx.delegate("flow:twice", payload)'
        named = make(body, {"flows/twice.yaml": flow}, "flow:twice@^1")
        assert named.run(7).output == {"only": 7}
        unnamed = make(body, {"flows/twice.yaml": flow}, USES).run()
        assert unnamed.error is not None
        assert unnamed.error.type is ErrorType.DENIED

    def test_a_child_run_that_swallows_its_cancellation_is_cancelled_all_the_same(self, make: Make) -> None:
        WORLD.on_act = slow(60)
        body = """
        while True:
            try:
                await ctx.skill("pure", payload)
            except BaseException:
                payload += 1
                if payload > 5:
                    return "never mind"
        """
        files = agent("child", body, USES, timeout="2s")
        bench = make('return await ctx.delegate("child", 1)', files, "agent:child")
        result = bench.run()
        assert result.error is not None
        assert result.error.type is ErrorType.TIMEOUT
        assert bench.state("r.child#1").status is RunStatus.CANCELLED
        assert len(WORLD.calls) == 1
