"""Large values: kept once, handed on by name, read-only to the bottom, the same after a resume."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from magsag.domain.facts import ParkedOn, RunStatus
from magsag.domain.large import LARGE_BYTES, MARK_BYTES
from magsag.testing import History
from tests.unit.world import KINDS, USES, WORLD, Bench, agent

ROWS = [{"n": number, "text": "x" * 100} for number in range(LARGE_BYTES // 100)]
Make = Callable[..., Bench]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    WORLD.reset()

    def made(body: str, **settings: Any) -> Bench:
        files = {**KINDS, **agent("main", body, f"{USES}, agent:child"), **agent("child", CHILD, USES)}
        return Bench(tmp_path, files, **settings)

    return made


CHILD = 'return await ctx.skill("look", payload)'
PASSED_ON = """
first = await ctx.skill("pure", payload)
second = await ctx.skill("idem", {"rows": first, "more": 1})
third = await ctx.delegate("child", second["rows"])
return [len(third), third[0]["n"], third == payload]
"""


def sizes(bench: Bench, run: str = "r") -> list[int]:
    """How long the payloads of all facts are."""
    facts = bench.store.read(bench.state(run).id)
    return [len(data) for fact in facts for data in (fact.input, fact.output) if data is not None]


def test_a_large_value_is_kept_once_and_passed_on_by_name(make: Make) -> None:
    bench = make(PASSED_ON)
    assert bench.run(ROWS).output == [len(ROWS), 0, True]
    assert max(sizes(bench) + sizes(bench, "r.child#1")) < 1000
    assert len(bench.store._blobs[bench.state().id]) == 1  # type: ignore[attr-defined]
    assert bench.store.check() == []


def test_it_is_the_same_after_a_resume_anywhere(make: Make) -> None:
    bench = make(PASSED_ON)
    history = History(bench.app)
    first = bench.run(ROWS)
    for count in range(1, len(history.facts)):
        resumed = bench.on(history.cut(count))
        assert resumed.resume().output == first.output, count
        assert resumed.store.check() == []
        resumed.close()


@pytest.mark.parametrize(
    "change",
    ["payload.append(1)", "payload[0] = 1", "payload[0]['n'] = 1", "payload[0].update(n=1)", "payload += [1]",
     "del payload[0]", "payload.sort()", "payload[0].pop('n')"],
)  # fmt: skip
def test_it_is_read_only_to_the_bottom(make: Make, change: str) -> None:
    result = make(f"{change}\nreturn 1").run(ROWS)
    assert result.status is RunStatus.FAILED
    assert result.error is not None
    assert "a large value is a read-only handle: copy what you want to change" in result.error.message


def test_a_copy_may_be_changed_and_is_a_value_of_its_own(make: Make) -> None:
    body = """
    import copy
    mine = copy.deepcopy(payload)
    mine[0]["n"] = 7
    changed = await ctx.skill("pure", mine)
    return [changed[0]["n"], payload[0]["n"]]
    """
    bench = make(body)
    assert bench.run(ROWS).output == [7, 0]
    assert len(bench.store._blobs[bench.state().id]) == 2  # type: ignore[attr-defined]


def test_another_large_input_is_a_divergence_that_names_the_place(make: Make) -> None:
    body = """
    from tests.unit.world import WORLD
    return len(await WORLD.ask(ctx))
    """
    bench = make(body)
    WORLD.ask = lambda ctx: ctx.skill("pure", ROWS)
    history = History(bench.app)
    assert bench.run().output == len(ROWS)
    changed = [*ROWS[:5], {**ROWS[5], "n": -1}, *ROWS[6:]]
    WORLD.ask = lambda ctx: ctx.skill("pure", changed)
    result = bench.on(history.cut(2)).resume()
    assert [reason.on for reason in result.reasons] == [ParkedOn.DIVERGENCE]
    assert result.reasons[0].reason.endswith("it differs at /5/n")


def test_a_handle_of_another_run_is_a_plain_value(make: Make) -> None:
    body = """
    from tests.unit.world import WORLD
    if not hasattr(WORLD, "kept"):
        WORLD.kept = payload
        return 1
    return [len(await ctx.skill("pure", WORLD.kept)), len(await ctx.skill("look", [payload, WORLD.kept]))]
    """
    bench = make(body)
    bench.run(ROWS)
    try:
        other = bench.on(type(bench.store)())
        assert other.run([*ROWS, {"n": -1}]).output == [len(ROWS), 2]
        assert other.store.check() == []
    finally:
        del WORLD.kept  # type: ignore[attr-defined]


def test_a_mark_of_the_programs_own_is_refused(make: Make) -> None:
    assert MARK_BYTES == b'{"\\u0000blob":'
    result = make('return await ctx.skill("pure", {"\\0blob": "x"})').run()
    assert result.error is not None
    assert "which MAGSAG keeps for itself" in result.error.message


def test_a_large_text_is_kept_like_others(make: Make) -> None:
    bench = make('return len((await ctx.skill("pure", {"text": payload}))["text"])')
    assert bench.run("y" * 200_000).output == 200_000
    assert max(sizes(bench)) < 1000
