"""Random programs, cut after every fact, resumed with other delays: the same decisions, and nothing done twice.

Step names say how long a step takes and whether it fails; `WORLD` decides anew in every leg.
"""

import asyncio
from random import Random
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.effects import Effect
from magsag.domain.errors import StepFailed
from magsag.domain.facts import ParkedOn, RunStatus, StepStarted
from magsag.testing import History
from tests.unit.world import KINDS, USES, WORLD, Bench, agent

Program = dict[str, Any]

INTERPRETER: Final = """
from magsag.domain.errors import StepFailed

async def do(program, ctx, seen):
    verb, parts = program["do"], program.get("parts", [])
    # Inside race and timeout a program may see what other branches have been told; elsewhere it must not look.
    inside = [] if seen is None else seen
    try:
        if verb == "step":
            value = await ctx.skill(program["skill"], {"name": program["name"], "seen": seen and list(seen)})
            if seen is not None:
                seen.append(value["name"])
            return [value["name"], {"at": str(ctx.now())}, str(ctx.uuid())]
        if verb == "seq":
            return [await do(part, ctx, seen) for part in parts]
        if verb == "gather":
            done = await ctx.gather(*[do(part, ctx, seen) for part in parts], on_error=program["on_error"])
            return [done, {"at": str(ctx.now())}] if program["on_error"] == "fail" else [done.results, done.errors]
        if verb == "race":
            return list(await ctx.race(*[do(part, ctx, inside) for part in parts]))
        if verb == "timeout":
            return await ctx.timeout(program["seconds"], do(parts[0], ctx, inside))
        if verb == "child":
            return await ctx.delegate("inner", parts[0])
    except StepFailed as error:
        if program["catch"]:
            return ["caught", error.type.value, {"at": str(ctx.now())}]
        raise
"""
AGENT: Final = """
return [await do(payload, ctx, None), ctx.random()]
"""
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
        parts = st.lists(part, min_size=1, max_size=4)
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

    return st.recursive(step, around, max_leaves=12)


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


def depends_on_speed(program: Program) -> bool:
    """Whether its result may depend on what is fast."""
    return program["do"] in ("race", "timeout") or any(depends_on_speed(part) for part in program.get("parts", []))


def timeless(value: Any) -> Any:
    """Without the times that the program saw."""
    if isinstance(value, list):
        return [timeless(part) for part in value]
    return None if isinstance(value, dict) and "at" in value else value


def end_of(result: Any) -> Any:
    return (result.status, result.output, result.error and (result.error.type, result.error.message, result.error.step))


def check(project: Bench, program: Program, live: int, later: int, every: int = 1) -> None:
    bench = project.on(MemoryStore())
    history = History(bench.app)
    first = one_leg(bench, live, program)
    assert first.status not in (RunStatus.RUNNING, RunStatus.PARKED), first
    for count in range(1, len(history.facts), every):
        told = (count, [(run, type(fact).__name__) for run, fact in history.facts[:count]])
        resumed = bench.on(history.cut(count))
        again = History(resumed.app)
        second = one_leg(resumed, later, None)
        assert second.status is not RunStatus.RUNNING, told
        if any(reason.on is ParkedOn.TIME for reason in second.reasons):
            # A timeout around a doubt: the run waits for a person and for the clock, and the clock comes first.
            assert any(reason.on is ParkedOn.DOUBT for reason in second.reasons), (told, second.reasons)
            assert not begun_once(history, count) & set(WORLD.count("once")), told
            resumed.time.passed += 60
            second = one_leg(resumed, later, None)
        assert all(reason.on is ParkedOn.DOUBT for reason in second.reasons), (told, second.reasons)
        assert not begun_once(history, count) & set(WORLD.count("once")), told
        assert resumed.store.check() == []
        if count == len(history.facts) - 1:
            assert end_of(second) == end_of(first), told
            assert not WORLD.calls, told
        elif not depends_on_speed(program) and not second.reasons:
            assert (second.status, timeless(second.output)) == (first.status, timeless(first.output)), told
        if not second.reasons:
            replayed = bench.on(_without_end(history, count, again))
            third = one_leg(replayed, later + 1, None)
            assert end_of(third) == end_of(second), (told, third)
            assert not WORLD.calls, told
            replayed.close()
        resumed.close()
    bench.close()


def begun_once(history: History, count: int) -> set[str]:
    """Keys of acts that may not be repeated and may have happened before the cut."""
    starts = [fact for _, fact in history.facts[:count] if isinstance(fact, StepStarted)]
    return {fact.key for fact in starts if fact.proposal.effect is Effect.UNREPEATABLE}


def _without_end(history: History, count: int, again: History) -> Any:
    """All that both legs believed, but for the end of the run."""
    again.facts[:0] = history.facts[:count]
    return again.cut(len(again.facts) - 1)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("replay"), FILES, sound=False)


@given(program=programs(), live=st.integers(0, 1000), later=st.integers(0, 1000))
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
def test_a_program_cut_anywhere_decides_the_same(project: Bench, program: Program, live: int, later: int) -> None:
    check(project, program, live, later, every=3)


@pytest.mark.prove
@pytest.mark.timeout(3600)
@given(program=programs(), live=st.integers(0, 1000), later=st.integers(0, 1000))
@settings(max_examples=1000, suppress_health_check=list(HealthCheck))
def test_programs_cut_after_every_fact(project: Bench, program: Program, live: int, later: int) -> None:
    check(project, program, live, later)
