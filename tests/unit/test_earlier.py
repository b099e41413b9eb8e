"""What an earlier run of a flow gives for steps that are left out: plain steps, items, rounds, chains of runs."""

import json
from dataclasses import replace
from typing import Any

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.facts import Fact, RunStatus
from magsag.domain.graph import Graph
from magsag.domain.ids import RunId
from magsag.services.insight.insight import Insight
from magsag.services.programs.earlier import earlier_outputs
from tests.unit.flow_examples import graph
from tests.unit.ledgers import began, done, ended, failed, put

FLOW = """\
- {id: plain, run: [echo, hi], effect: pure}
- {id: each, for_each: input.names, uses: "skill:draft", on_error: collect}
- {id: strict, for_each: input.names, uses: "skill:draft"}
- id: rounds
  loop: {max_rounds: 3, until: "true"}
  steps:
    - {id: draft, uses: "skill:draft"}
    - {id: judge, uses: "skill:judge"}
"""


def given(store: MemoryStore, flow: Graph, run: str = "r1") -> dict[str, Any]:
    insight = Insight(store)

    def value(_: RunId, data: bytes | None) -> Any:
        return json.loads(data or b"null")

    found = earlier_outputs(insight.fold(RunId(run)), flow, insight.fold, value)
    return {id: result.output for id, result in found.items()}


def history(*facts: Fact, status: RunStatus = RunStatus.SUCCEEDED) -> MemoryStore:
    store = MemoryStore()
    put(store, "r1", began("flow:example@1.0.0"), *facts, ended(status))
    return store


def test_a_step_that_succeeded_gives_its_output() -> None:
    store = history(done("plain", "shell:plain", output={"stdout": "hi"}))
    assert given(store, graph(FLOW)) == {"plain": {"stdout": "hi"}}


def test_a_step_that_failed_gives_nothing() -> None:
    store = history(failed("plain", target="shell:plain"), status=RunStatus.FAILED)
    assert given(store, graph(FLOW)) == {}


def test_items_are_put_together_in_their_order_with_their_errors() -> None:
    items = [done("each.2", "skill:draft@1.0.0", output="c"), done("each.0", "skill:draft@1.0.0", output="a")]
    store = history(*items, failed("each.1", target="skill:draft@1.0.0"))
    output = given(store, graph(FLOW))["each"]
    assert output["results"] == ["a", "c"]
    assert [(error["index"], error["type"]) for error in output["errors"]] == [(1, "raised")]


def test_items_with_a_gap_or_a_failure_that_counts_give_nothing() -> None:
    gap = history(done("each.0", "skill:draft@1.0.0"), done("each.2", "skill:draft@1.0.0"))
    broken = history(done("strict.0", "skill:draft@1.0.0"), failed("strict.1", target="skill:draft@1.0.0"))
    assert given(gap, graph(FLOW)) == given(broken, graph(FLOW)) == {}


def test_a_loop_gives_its_last_round_when_its_run_ended_well() -> None:
    facts = [
        done(f"rounds.{number}/{step}", f"skill:{step}@1.0.0", output=f"{step} {number}")
        for number in (1, 2)
        for step in ("draft", "judge")
    ]
    assert given(history(*facts), graph(FLOW)) == {"rounds": {"draft": "draft 2", "judge": "judge 2"}}
    assert given(history(*facts, status=RunStatus.FAILED), graph(FLOW)) == {}


def test_a_run_that_left_steps_out_gives_what_it_was_given() -> None:
    store = history(done("plain", "shell:plain", output="old"), done("each.0", "skill:draft@1.0.0", output="a"))
    later = replace(began("flow:example@1.0.0"), continues=RunId("r1"), select=("plain",))
    put(store, "r2", later, done("plain", "shell:plain", output="new"), ended())
    assert given(store, graph(FLOW), "r2") == {"plain": "new", "each": {"results": ["a"], "errors": []}}
    assert given(store, graph(FLOW), "none") == {}
