"""Flows as they run: every way through a graph, cut after every fact and finished the same by another process."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

from magsag.domain.errors import StepFailed
from magsag.domain.facts import ParkedOn, RunStatus, StepStatus
from magsag.testing import History
from tests.unit.world import KINDS, USES, WORLD, Bench, agent

FLOWS = {
    "line": """
        - {id: first, uses: "skill:pure", with: {n: =input.n}}
        - {id: second, uses: "skill:idem", with: {n: =steps.first.n + 1}}
        """,
    "items": """
        - {id: each, uses: "skill:idem", for_each: input.list, concurrency: 2, with: {n: =item}}
        - {id: sum, uses: "skill:pure", with: {count: =size(steps.each.results)}}
        """,
    "collected": """
        - {id: each, uses: "skill:look", for_each: input.list, on_error: collect, with: {n: =item}}
        """,
    "choice": """
        - {id: high, uses: "skill:pure", when: input.n > 5, with: {is: high}}
        - {id: low, uses: "skill:idem", when: input.n <= 5, with: {is: low}}
        - {id: after, uses: "skill:look", with: {said: '=has(steps.high) ? steps.high.is : steps.low.is'}}
        """,
    "fallback": """
        - {id: risky, uses: "skill:look", with: {n: 0}, on_error: {fallback: safe}}
        - {id: safe, uses: "skill:idem", with: {n: 1}}
        - {id: end, uses: "skill:pure", with: {n: =steps.risky.n}}
        """,
    "skipped": """
        - {id: risky, uses: "skill:look", with: {n: 0}, on_error: skip}
        - {id: reads, uses: "skill:pure", with: {n: =steps.risky.n}}
        - {id: end, uses: "skill:idem", needs: [risky], with: {n: 3}}
        """,
    "rounds": """
        - id: rounds
          loop: {max_rounds: 4, until: steps.grow.n >= 3}
          steps:
            - {id: grow, uses: "skill:idem", with: {n: '=previous != null ? previous.grow.n + 1 : 1'}}
            - {id: look, uses: "skill:pure", with: {n: =steps.grow.n}}
        """,
    "below": """
        - {id: child, uses: "agent:main", with: {n: =input.n}}
        - {id: end, uses: "skill:pure", with: {of: =steps.child.n}}
        """,
    "denied": """
        - {id: first, uses: "skill:pure", with: {n: 1}}
        - {id: bad, uses: "skill:look", with: {n: 0}, needs: [first]}
        - {id: never, uses: "skill:idem", needs: [bad], with: {n: 1}}
        """,
    "ends early": """
        - {id: each, uses: "skill:look", for_each: "[9, 0, 9, 9]", concurrency: 2, with: {n: =item}}
        """,
    "wrong": """
        - {id: first, uses: "skill:pure", with: {n: =input.n}}
        - {id: second, uses: "skill:pure", with: {n: "=steps.first.n + input.list[9]"}}
        """,
}
INPUT = {"n": 3, "list": [1, 2, 0, 4, 5]}


async def act(name: str, payload: Any, ctx: Any) -> Any:
    await asyncio.sleep(payload.get("n", 1) * 0.5 if isinstance(payload.get("n", 1), int) else 1)
    if payload.get("n") == 0 and name == "look":
        raise StepFailed("unavailable", "zero is not there")
    return payload


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], Bench]:
    WORLD.reset()
    WORLD.on_act = act
    main = agent("main", 'return await ctx.skill("idem", payload)', USES)

    def made(steps: str) -> Bench:
        text = f"kind: flow\nschema: 1\nslug: only\nversion: 1.0.0\nsteps:\n{indent(dedent(steps).strip(), '  ')}\n"
        return Bench(tmp_path, {**KINDS, **main, "flows/only.yaml": text})

    return made


EXPECTED: dict[str, tuple[RunStatus, Any]] = {
    "line": (RunStatus.SUCCEEDED, {"first": {"n": 3}, "second": {"n": 4}}),
    "items": (
        RunStatus.SUCCEEDED,
        {"each": {"results": [{"n": n} for n in INPUT["list"]], "errors": []}, "sum": {"count": 5}},  # type: ignore[attr-defined]
    ),
    "choice": (RunStatus.SUCCEEDED, {"low": {"is": "low"}, "after": {"said": "low"}}),
    "fallback": (RunStatus.PARTIAL, {"risky": {"n": 1}, "safe": {"n": 1}, "end": {"n": 1}}),
    "skipped": (RunStatus.PARTIAL, {"end": {"n": 3}}),
    "rounds": (RunStatus.SUCCEEDED, {"rounds": {"grow": {"n": 3}, "look": {"n": 3}}}),
    "below": (RunStatus.SUCCEEDED, {"child": {"n": 3}, "end": {"of": 3}}),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_flow_runs_as_written(make: Callable[[str], Bench], name: str) -> None:
    result = make(FLOWS[name]).run(INPUT, "flow:only")
    assert (result.status, result.output) == EXPECTED[name]


@pytest.mark.parametrize("name", FLOWS)
def test_a_flow_cut_anywhere_is_finished_the_same(make: Callable[[str], Bench], name: str) -> None:
    bench = make(FLOWS[name])
    history = History(bench.app)
    first = bench.run(INPUT, "flow:only")
    for count in range(1, len(history.facts)):
        WORLD.calls.clear()
        resumed = bench.on(history.cut(count))
        second = resumed.resume()
        assert (second.status, second.output) == (first.status, first.output), count
        assert str(second.error) == str(first.error), count
        assert resumed.store.check() == [], count
        resumed.close()
    assert not WORLD.calls, "with all but the end on record nothing acts again"


def test_items_that_fail_are_listed_by_index(make: Callable[[str], Bench]) -> None:
    result = make(FLOWS["collected"]).run(INPUT, "flow:only")
    assert result.status is RunStatus.PARTIAL
    assert [(error["index"], error["type"]) for error in result.output["each"]["errors"]] == [(2, "unavailable")]
    assert [item["n"] for item in result.output["each"]["results"]] == [1, 2, 4, 5]


def test_a_failing_item_ends_the_others(make: Callable[[str], Bench]) -> None:
    steps = '- {id: each, uses: "skill:look", for_each: "[9, 0, 9, 9]", concurrency: 2, with: {n: =item}}'
    bench = make(steps)
    result = bench.run(INPUT, "flow:only")
    assert result.error is not None
    assert (result.error.step, result.error.message) == ("each", "item 1: zero is not there")
    assert bench.step("each.0").status is StepStatus.CANCELLED
    assert "each.2" not in bench.state().steps


def test_steps_that_are_not_needed_wait_for_nobody(make: Callable[[str], Bench]) -> None:
    steps = """
    - {id: asks, uses: "skill:once", with: {n: 1}}
    - {id: works, uses: "skill:idem", with: {n: 2}}
    - {id: more, uses: "skill:pure", with: {n: =steps.works.n}}
    """
    bench = make(steps)
    (bench.folder / "catalog/policies/allow.yaml").write_text(
        "kind: policy\nschema: 1\nrules:\n  - {id: a, on: ['skill:idem'], verdict: allow}\n"
    )
    del bench.app.__dict__["catalog"]
    result = bench.run(INPUT, "flow:only")
    assert [(reason.on, reason.step) for reason in result.reasons] == [(ParkedOn.APPROVAL, "asks")]
    assert bench.step("more").status is StepStatus.SUCCEEDED


def test_an_expression_that_fails_fails_its_step(make: Callable[[str], Bench]) -> None:
    result = make(FLOWS["wrong"]).run(INPUT, "flow:only")
    assert result.error is not None
    assert (result.error.type, result.error.step) == ("expression", "second")
