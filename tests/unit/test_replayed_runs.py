"""Random programs, cut after every fact, resumed with other delays: the same decisions, and nothing done twice.

Step names say how long a step takes and whether it fails; `WORLD` decides anew in every leg.
"""

import asyncio
import tempfile
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magsag.domain.errors import StepFailed
from magsag.domain.facts import RunStatus
from magsag.testing import History
from tests.unit.world import KINDS, USES, WORLD, Bench, agent

Program = dict[str, Any]

INTERPRETER: Final = '''
from magsag.domain.errors import StepFailed

async def do(program, ctx, seen):
    verb = program["do"]
    parts = program.get("parts", [])
    try:
        if verb == "step":
            value = await ctx.skill(program["skill"], {"name": program["name"]})
            seen.append(value["name"])
            return [value["name"], str(ctx.now()), str(ctx.uuid())]
        if verb == "seq":
            return [await do(part, ctx, seen) for part in parts]
        if verb == "gather":
            calls = [run(part, ctx, seen) for part in parts]
            done = await ctx.gather(*calls, on_error=program["on_error"])
            return [done, str(ctx.now())] if program["on_error"] == "fail" else [done.results, done.errors]
        if verb == "race":
            return list(await ctx.race(*[run(part, ctx, seen) for part in parts]))
        if verb == "timeout":
            return await ctx.timeout(program["seconds"], run(parts[0], ctx, seen))
        if verb == "child":
            return await ctx.delegate("inner", parts[0])
    except StepFailed as error:
        if program["catch"]:
            return ["caught", error.type.value, str(ctx.now())]
        raise

async def run(program, ctx, seen):
    value = await do(program, ctx, seen)
    # In a race what was seen of other branches must be the same; elsewhere it may not be relied on.
    return value
'''
AGENT: Final = '''
seen = []
value = await do(payload, ctx, seen)
return [value, ctx.random()]
'''
FILES: Final = {
    **KINDS,
    **agent("main", AGENT, f"{USES}, agent:inner", INTERPRETER),
    **agent("inner", AGENT, f"{USES}, agent:inner", INTERPRETER),
}


def programs() -> st.SearchStrategy[Program]:
    names = st.integers(0, 99).map(str)
    step = st.fixed_dictionaries(
        {"do": st.just("step"), "name": names, "catch": st.booleans()}
        | {"skill": st.sampled_from(["pure", "pure", "look", "idem", "once"])}
    )

    def around(part: st.SearchStrategy[Program]) -> st.SearchStrategy[Program]:
        parts = st.lists(part, min_size=1, max_size=3)
        return st.one_of(
            st.fixed_dictionaries({"do": st.just("seq"), "parts": parts, "catch": st.booleans()}),
            st.fixed_dictionaries(
                {"do": st.just("gather"), "parts": parts, "catch": st.booleans()}
                | {"on_error": st.sampled_from(["fail", "collect"])}
            ),
            st.fixed_dictionaries({"do": st.just("race"), "parts": parts, "catch": st.booleans()}),
            st.fixed_dictionaries(
                {"do": st.just("timeout"), "parts": parts, "catch": st.booleans(), "seconds": st.integers(1, 6)}
            ),
            st.fixed_dictionaries({"do": st.just("child"), "parts": parts, "catch": st.booleans()}),
        )

    return st.recursive(step, around, max_leaves=7)


def acting(seed: int) -> Any:
    """What acts do in one leg: the names decide who fails, the seed how long it takes."""
    chance = Random(seed)

    async def act(name: str, payload: Any, ctx: Any) -> Any:
        await asyncio.sleep(chance.choice([0, 0, 0.5, 1, 2, 3, 8]))
        if int(payload["name"]) % 5 == 0:
            raise StepFailed("unavailable", f"{payload['name']} is not there")
        return payload

    return act


def one_leg(bench: Bench, seed: int, program: Program | None) -> Any:
    """Start or resume, with delays of this seed; status and output."""
    WORLD.reset()
    WORLD.on_act = acting(seed)
    return bench.run(program) if program is not None else bench.resume(bench.app)


def unordered(program: Program) -> bool:
    """Whether its result may depend on what is fast."""
    return program["do"] in ("race", "timeout") or any(unordered(part) for part in program.get("parts", []))


def end_of(result: Any) -> Any:
    return (result.status, result.output, result.error and (result.error.type, result.error.message, result.error.step))


def check(program: Program, live: int, later: int, every: int = 1) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), FILES, sound=False)
        history = History(bench.app)
        first = one_leg(bench, live, program)
        assert first.status not in (RunStatus.RUNNING, RunStatus.PARKED), first
        effects = WORLD.count("once")
        for count in range(1, len(history.facts), every):
            resumed = Bench(Path(folder), FILES, history.cut(count), sound=False)
            resumed.time.passed = bench.time.passed + 1
            again = History(resumed.app)
            second = one_leg(resumed, later, None)
            told = (count, [(run, type(fact).__name__) for run, fact in history.facts[:count]])
            begun_unfinished = any(reason.on == "doubt" for reason in second.reasons)
            assert begun_unfinished or second.status not in (RunStatus.RUNNING, RunStatus.PARKED), (told, second)
            assert all(reason.on == "doubt" for reason in second.reasons), (told, second.reasons)
            assert max((effects | WORLD.count("once")).values(), default=1) == 1, told
            assert resumed.store.check() == []
            if count == len(history.facts) - 1:
                assert end_of(second) == end_of(first), told
                assert not WORLD.calls, told
            elif not unordered(program) and not second.reasons:
                assert end_of(second)[:2] == end_of(first)[:2], told
            if not second.reasons:
                replayed = Bench(Path(folder), FILES, _without_end(history, count, again), sound=False)
                third = one_leg(replayed, later + 1, None)
                assert end_of(third) == end_of(second), (told, third)
                assert not WORLD.calls, told


def _without_end(history: History, count: int, again: History) -> Any:
    """All that both legs believed, but for the end of the run."""
    again.facts[:0] = history.facts[:count]
    return again.cut(len(again.facts) - 1)


@given(programs(), st.integers(0, 1000), st.integers(0, 1000))
@settings(max_examples=30)
def test_a_program_cut_anywhere_decides_the_same_and_does_nothing_twice(program: Program, live: int, later: int) -> None:
    check(program, live, later, every=3)


@pytest.mark.prove
@given(programs(), st.integers(0, 1000), st.integers(0, 1000))
@settings(max_examples=1000)
def test_programs_cut_after_every_fact(program: Program, live: int, later: int) -> None:
    check(program, live, later)
