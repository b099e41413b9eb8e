"""`flow summarize` and `flow gate`: what finished runs show together, and what they must show."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType, Invalid
from magsag.domain.facts import ParkedOn, RunParked, RunStatus, StepCancelled, StepSkipped
from magsag.domain.ids import StepId
from magsag.domain.manifests.policy import FlowGovernance
from magsag.ports.ledger import Store
from magsag.services.insight.summary import Summary, governance_of
from tests.unit.ledgers import BEGIN, answer, began, done, ended, error, failed, offer, put, started, succeeded

SHIPPED = Path(__file__).parents[2] / "catalog/policies/flow_governance.yaml"
KEYS = ["runs", "successes", "success_rate", "avg_latency_ms", "errors", "mcp", "steps", "models"]
NOTHING = {"calls": 0, "errors": 0, "tokens": {"input": 0, "output": 0, "total": 0}, "cost_usd": 0.0}


def none_found(_: object) -> Any:
    """A bundle in which no program has objectives."""
    return SimpleNamespace(find=lambda ref: SimpleNamespace(manifest=SimpleNamespace(slo=None)))


def over(store: Store, default: Callable[[], FlowGovernance] = FlowGovernance) -> Summary:
    return Summary(store, default, none_found, none_found)


def summary_of(store: Store, **asked: Any) -> dict[str, Any]:
    """The JSON, as the file has it."""
    summary = over(store).summarize(**asked)
    document: dict[str, Any] = json.loads(summary.model_dump_json())
    return document


def complaints(document: object, **limits: Any) -> list[str]:
    return [one.said for one in over(MemoryStore()).gate(document, FlowGovernance.model_validate(limits))]


def document(**changed: Any) -> dict[str, Any]:
    """A summary in which nothing is wrong."""
    whole = {
        "runs": 10, "successes": 10, "success_rate": 1.0, "avg_latency_ms": 100.0,
        "errors": {"total": 0, "by_type": {}}, "mcp": NOTHING, "steps": [step()], "models": [],
    }  # fmt: skip
    return whole | changed


def step(name: str = "x", **changed: Any) -> dict[str, Any]:
    whole = {
        "name": name, "runs": 10, "successes": 10, "errors": 0, "success_rate": 1.0, "avg_latency_ms": 100.0,
        "mcp": {"calls": 0, "errors": 0}, "models": [], "error_types": {},
    }  # fmt: skip
    return whole | changed


def two_kinds() -> Store:
    """An agent run and a flow run."""
    store = offer()
    put(store, "flow", began("flow:hello@0.1.0"), done("hello", "shell:hello", at=100, took=40), ended(at=110))
    return store


def test_an_empty_ledger_gives_a_whole_summary_of_nothing() -> None:
    found = summary_of(MemoryStore())
    assert list(found) == [*KEYS, "evidence", "objectives"]
    assert found == {
        "evidence": {"failed": [], "slowest": [], "mcp_failed": []}, "objectives": [],
        "runs": 0, "successes": 0, "success_rate": 0.0, "avg_latency_ms": 0.0, "errors": {"total": 0, "by_type": {}},
        "mcp": NOTHING, "steps": [], "models": [],
    }  # fmt: skip


def test_agent_and_flow_runs_are_summed_up_alike() -> None:
    found = summary_of(two_kinds())
    assert (found["runs"], found["successes"], found["success_rate"]) == (2, 2, 1.0)
    assert [one["name"] for one in found["steps"]] == [
        "advisor-sag", "band-lookup", "hello", "merge", "smart", "task-split",
    ]  # fmt: skip


def test_latency_is_the_mean_over_the_steps_of_the_whole_tree() -> None:
    found = summary_of(two_kinds())
    assert found["avg_latency_ms"] == round((10 + 610 + 40 + 560 + 10 + 40) / 6, 3)
    assert found["steps"][0]["avg_latency_ms"] == 610.0


def test_a_model_is_named_with_its_tokens_and_belongs_to_every_step_above_it() -> None:
    found = summary_of(offer())
    tokens = {"input": 1_000, "output": 204, "total": 1_204}
    small = {"name": "small", "calls": 1, "errors": 0, "tokens": tokens, "cost_usd": 0.0, "runs": ["offer"]}
    assert found["models"] == [small]
    assert {one["name"] for one in found["steps"] if one["models"] == ["small"]} == {"advisor-sag", "smart"}


def test_a_model_call_without_an_answer_stands_under_its_alias() -> None:
    store = MemoryStore()
    fault = failed("smart#1", ErrorType.UNAVAILABLE, target="model:smart", effect=Effect.READ)
    put(store, "r", began(), fault, ended(RunStatus.FAILED, error("unavailable", step="smart#1")))
    (model,) = summary_of(store)["models"]
    assert (model["name"], model["calls"], model["errors"]) == ("smart", 1, 1)


def test_what_a_call_cost_is_written_in_usd() -> None:
    store = MemoryStore()
    paid = done("smart#1", "model:smart", Effect.READ, output=answer(), spent={"usd": 3_100_000})
    put(store, "r", began(), paid, ended())
    assert summary_of(store)["models"][0]["cost_usd"] == 0.0031


def test_calls_of_tools_are_counted_over_all_and_for_every_step_above() -> None:
    store = MemoryStore()
    put(
        store, "r", began(), started("b#1", "agent:b@1.0.0"), succeeded("b#1"), ended()
    )  # fmt: skip
    bad = failed("t#1", ErrorType.UNAVAILABLE, target="tool:db/query", effect=Effect.READ)
    good = done("t#2", "tool:db/query", Effect.READ, spent={"usd": 2_000_000_000})
    put(store, "r.b#1", began(parent="r.b#1"), bad, good, ended(), root="r")
    found = summary_of(store)
    assert (found["mcp"]["calls"], found["mcp"]["errors"], found["mcp"]["cost_usd"]) == (2, 1, 2.0)
    assert {one["name"]: one["mcp"] for one in found["steps"]} == {
        "b": {"calls": 2, "errors": 1},
        "db/query": {"calls": 2, "errors": 1},
    }


def test_items_and_rounds_of_a_flow_count_for_their_step() -> None:
    store = MemoryStore()
    names = ["advise.0", "advise.1", "review.1/draft", "review.2/draft"]
    put(store, "r", began("flow:f@1.0.0"), *(done(name, "agent:w@1.0.0") for name in names), ended())
    assert {one["name"]: one["runs"] for one in summary_of(store)["steps"]} == {"advise": 2, "draft": 2}


@pytest.mark.parametrize("status", [RunStatus.PARTIAL, RunStatus.FAILED, RunStatus.DENIED, RunStatus.CANCELLED])
def test_only_a_run_that_succeeded_is_a_success(status: RunStatus) -> None:
    store = MemoryStore()
    put(store, "r", began(), ended(status, error()))
    found = summary_of(store)
    assert (found["runs"], found["successes"], found["success_rate"]) == (1, 0, 0.0)


def test_runs_that_have_not_ended_do_not_count() -> None:
    store = MemoryStore()
    put(store, "running", began(), done("a#1", "skill:a@1.0.0"))
    put(store, "parked", began(), RunParked(at=BEGIN, on=ParkedOn.DOUBT, due=BEGIN, reasons=()))
    assert summary_of(store) == summary_of(MemoryStore())


def test_steps_that_gave_nothing_do_not_count() -> None:
    store = MemoryStore()
    skipped = StepSkipped(at=BEGIN, step=StepId("send"), why="when is false")
    cancelled = StepCancelled(at=BEGIN, step=StepId("g1.0/b#1"))
    race = done("race#1", "race", Effect.WAIT)
    put(store, "r", began(), skipped, started("g1.0/b#1", "agent:b@1.0.0"), cancelled, race, ended())
    assert summary_of(store)["steps"] == []


def test_an_error_is_counted_once_where_it_arose() -> None:
    store = MemoryStore()
    said = error("timeout", "too slow", "b#1/pay#1")
    begun = started("b#1", "agent:b@1.0.0")
    put(store, "r", began(), begun, failed("b#1", ErrorType.TIMEOUT), ended(RunStatus.FAILED, said))
    child = failed("pay#1", ErrorType.TIMEOUT, target="skill:pay@1.0.0")
    put(store, "r.b#1", began(parent="r.b#1"), child, ended(RunStatus.FAILED, said), root="r")
    found = summary_of(store)
    assert found["errors"] == {"total": 1, "by_type": {"timeout": 1}}
    assert {one["name"]: one["error_types"] for one in found["steps"]} == {"b": {"timeout": 1}, "pay": {"timeout": 1}}


def test_a_run_that_failed_by_itself_counts_as_an_error() -> None:
    store = MemoryStore()
    put(store, "r", began(), ended(RunStatus.FAILED, error("output_contract")))
    assert summary_of(store)["errors"] == {"total": 1, "by_type": {"output_contract": 1}}


def test_a_delegation_that_was_denied_is_an_error_of_its_own() -> None:
    store = MemoryStore()
    denied = failed("b#1", ErrorType.DENIED, target="agent:b@1.0.0", effect=Effect.DELEGATE)
    put(store, "r", began(), denied, ended(RunStatus.DENIED, error("denied", step="b#1")))
    assert summary_of(store)["errors"] == {"total": 1, "by_type": {"denied": 1}}


def test_a_summary_can_be_of_one_program_or_of_late_runs() -> None:
    store = two_kinds()
    put(store, "later", began("agent:offer-mag@0.2.0", at=9_000), ended(at=9_100))
    assert summary_of(store, program="agent:offer-mag")["runs"] == 2
    assert summary_of(store, program="flow:hello")["runs"] == 1
    assert summary_of(store, since=BEGIN + 1)["runs"] == 1


def test_a_summary_of_ours_passes_the_gate_that_is_shipped() -> None:
    shipped = governance_of("flow_governance.yaml", SHIPPED.read_bytes())
    summary = over(two_kinds(), lambda: shipped)
    assert summary.gate(json.loads(summary.summarize().model_dump_json())) == []
    said = [one.said for one in summary.gate(summary_of(MemoryStore()))]
    assert said == ["runs 0 < min 1", "success_rate 0.000 < min 0.900"]


@pytest.mark.parametrize(
    ("changed", "limits", "said"),
    [
        ({"runs": 0}, {"min_runs": 1}, "runs 0 < min 1"),
        ({"success_rate": 0}, {"min_success_rate": 0.9}, "success_rate 0.000 < min 0.900"),
        ({"avg_latency_ms": 2500.5}, {"max_avg_latency_ms": 2500}, "avg_latency_ms 2500.5 > max 2500.0"),
        ({}, {"required_steps": ["hello", "x", "end"]}, "missing required steps: hello, end"),
        (
            {"steps": [step(errors=2)]},
            {"per_step": {"default": {"max_error_rate": 0.1}}},
            "step x: error_rate 0.200 > max 0.100",
        ),
        (
            {"steps": [step(avg_latency_ms=3001)]},
            {"per_step": {"x": {"max_avg_latency_ms": 3000}}},
            "step x: avg_latency_ms 3001.0 > max 3000.0",
        ),
        (
            {"steps": [step(models=["good", "bad-1"])]},
            {"models": {"denylist": ["bad-*"]}},
            "step x: model bad-1 is on the denylist (bad-*)",
        ),
        (
            {"steps": [step(models=["good", "odd"])]},
            {"models": {"allowlist": ["g*"]}},
            "step x: model odd is not on the allowlist",
        ),
        (
            {"steps": [step(mcp={"calls": 4, "errors": 1})]},
            {"per_step": {"x": {"max_mcp_error_rate": 0.2}}},
            "step x: mcp error_rate 0.250 > max 0.200",
        ),
        (
            {"mcp": NOTHING | {"calls": 10, "errors": 1}},
            {"mcp": {"max_error_rate": 0.05}},
            "mcp error_rate 0.100 > max 0.050",
        ),
    ],
)
def test_each_limit_complains_in_its_own_words_and_only_when_it_is_passed(
    changed: dict[str, Any], limits: dict[str, Any], said: str
) -> None:
    assert complaints(document(**changed), **limits) == [said]
    assert complaints(document(**changed)) == []
    passing = limits | {"required_steps": ["x"]} if "required_steps" in limits else limits
    assert complaints(document(), **passing) == []


def test_what_just_keeps_a_limit_passes() -> None:
    found = document(runs=1, success_rate=0.9, avg_latency_ms=2500, steps=[step(errors=1, avg_latency_ms=3000)])
    per_step = {"default": {"max_error_rate": 0.1, "max_avg_latency_ms": 3000}}
    assert complaints(found, min_runs=1, min_success_rate=0.9, max_avg_latency_ms=2500, per_step=per_step) == []


def test_complaints_come_in_a_fixed_order() -> None:
    worst = step("a", errors=9, avg_latency_ms=9_000, models=["bad"], mcp={"calls": 1, "errors": 1})
    found = document(
        runs=0, success_rate=0, avg_latency_ms=9_000, steps=[worst], mcp=NOTHING | {"calls": 1, "errors": 1}
    )
    default = {"max_error_rate": 0.1, "max_avg_latency_ms": 1, "max_mcp_error_rate": 0.1}
    said = complaints(
        found,
        min_runs=1,
        min_success_rate=0.9,
        max_avg_latency_ms=1,
        required_steps=["z"],
        per_step={"default": default},
        models={"denylist": ["*"], "allowlist": ["good"]},
        mcp={"max_error_rate": 0.1},
    )
    assert [line.split(" ")[0] + " " + line.split(" ")[2] for line in said] == [
        "runs <", "success_rate <", "avg_latency_ms >", "missing steps:", "step error_rate", "step avg_latency_ms",
        "step model", "step model", "step mcp", "mcp 1.000",
    ]  # fmt: skip


def test_a_steps_own_limits_stand_beside_those_of_default_key_by_key() -> None:
    per_step = {"default": {"max_error_rate": 0.1, "max_avg_latency_ms": 50}, "x": {"max_avg_latency_ms": 500}}
    assert complaints(document(steps=[step(errors=2)]), per_step=per_step) == ["step x: error_rate 0.200 > max 0.100"]
    lax = per_step | {"x": {"max_error_rate": 0.5}}
    assert complaints(document(steps=[step(errors=2)]), per_step=lax) == ["step x: avg_latency_ms 100.0 > max 50.0"]


@given(st.permutations(["good", "fine", "bad"]))
def test_every_model_of_a_step_is_looked_at_not_the_first_alone(models: list[str]) -> None:
    found = document(steps=[step(models=models)])
    assert complaints(found, models={"denylist": ["bad"]}) == ["step x: model bad is on the denylist (bad)"]


@pytest.mark.parametrize("key", KEYS)
def test_a_summary_without_a_key_is_refused_by_its_name(key: str) -> None:
    found = document()
    del found[key]
    with pytest.raises(Invalid, match=f"summary: {key} is missing"):
        complaints(found)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["runs"], "3", r"runs is wrong: input should be a valid integer"),
        (["runs"], -1, r"runs is wrong"),
        (["success_rate"], 1.5, r"success_rate is wrong"),
        (["success_rate"], "high", r"success_rate is wrong"),
        (["avg_latency_ms"], float("nan"), r"avg_latency_ms is wrong"),
        (["steps"], {}, r"steps is wrong"),
        (["steps", 0, "name"], 3, r"steps\[0\]\.name is wrong"),
        (["steps", 0, "mcp"], None, r"steps\[0\]\.mcp is wrong"),
        (["mcp", "tokens", "total"], 1.5, r"mcp\.tokens\.total is wrong"),
        (["errors", "by_type"], [], r"errors\.by_type is wrong"),
    ],
)
def test_a_wrong_type_is_refused_with_the_way_to_it(path: list[Any], value: object, said: str) -> None:
    found = json.loads(to_json(document()))
    inner = found
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    with pytest.raises(Invalid, match=f"summary: {said}"):
        complaints(found)


@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_what_is_no_object_is_no_summary(value: object) -> None:
    with pytest.raises(Invalid, match="flow summarize"):
        complaints(value)


def test_keys_of_a_newer_summary_are_passed_over() -> None:
    assert complaints(document(p95_ms=3, steps=[step(p95_ms=3)])) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: policy\nschema: 1\nflow_governance: {min_run: 1}\n", r"p\.yaml:3:\d+: .*min_run"),
        ("kind: policy\nschema: 1\n", "there is no `flow_governance` in it"),
        ("kind: policy\nschema: 1\nflow_governance: {min_runs: [}\n", r"p\.yaml:3:"),
        ("", r"p\.yaml:1:1: the file is empty"),
        ("kind: skill\n", r"p\.yaml:"),
    ],
)
def test_a_policy_file_that_sets_no_limits_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        governance_of("p.yaml", text.encode())


def test_the_default_limits_are_asked_for_only_when_none_are_given() -> None:
    def unreadable() -> FlowGovernance:
        raise Invalid("a.yaml:3: no such key")

    unread: Callable[[], FlowGovernance] = unreadable
    assert over(MemoryStore(), unread).gate(document(), FlowGovernance()) == []
    with pytest.raises(Invalid, match=r"a\.yaml:3"):
        over(MemoryStore(), unread).gate(document())


def test_the_runs_behind_each_figure_are_named() -> None:
    store = MemoryStore()
    for number in range(12):
        at = number * 10_000
        bad = [failed("t#1", ErrorType.UNAVAILABLE, target="tool:db/query", effect=Effect.READ, at=at + 1 + number)]
        put(store, f"bad{number:02}", began(at=at), *bad, ended(RunStatus.FAILED, error(), at=at + 100))
    put(
        store,
        "good",
        began(at=200_000),
        done("smart#1", "model:smart", Effect.READ, at=200_900, took=800),
        ended(at=201_000),
    )
    found = summary_of(store)
    newest = [f"bad{number:02}" for number in range(11, 1, -1)]
    assert found["evidence"]["failed"] == found["evidence"]["mcp_failed"] == newest
    assert found["evidence"]["slowest"][0] == "good"
    steps = {one["name"]: one["evidence"] for one in found["steps"]}
    assert (steps["db/query"]["failed"], steps["smart"]["slowest"]) == (newest, ["good"])
    assert found["models"][0]["runs"] == ["good"]
    limits = FlowGovernance.model_validate(
        {
            "min_success_rate": 0.5,
            "max_avg_latency_ms": 1,
            "mcp": {"max_error_rate": 0.1},
            "models": {"denylist": ["smart"]},
            "per_step": {"db/query": {"max_error_rate": 0.5}},
        }
    )
    said = {one.said.partition(" ")[0]: one.runs for one in over(store).gate(found, limits)}
    assert said["success_rate"] == said["mcp"] == tuple(newest)
    assert said["avg_latency_ms"][0] == "good"
    said = {one.said: one.runs for one in over(store).gate(found, limits)}
    assert said["step db/query: error_rate 1.000 > max 0.500"] == tuple(newest)
    assert said["step smart: model smart is on the denylist (smart)"] == ("good",)


def objective(**changed: Any) -> dict[str, Any]:
    one = {"objective": "p95_ms", "target": 5, "observed": 9, "count": 3, "missed": True, "burn_rate": {}}
    return {**one, "evidence": ["r"], **changed}


@pytest.mark.parametrize(
    ("given", "runs", "said"),
    [
        (objective(), 3, ["agent:a: p95_ms 9 > target 5 (3 runs)"]),
        (objective(missed=False), 3, ["agent:a: p95_ms 9 > target 5 (3 runs)"]),
        (objective(error_budget_left=-3), 3, ["agent:a: p95_ms 9 > target 5 (3 runs, error budget left -300%)"]),
        (
            objective(objective="success_rate", target=0.9, observed=0.8),
            3,
            ["agent:a: success_rate 0.8 < target 0.9 (3 runs)"],
        ),
        (objective(observed=5), 3, []),
        (objective(), 1, []),
    ],
)
def test_objectives_are_judged_by_what_was_observed(given: dict[str, Any], runs: int, said: list[str]) -> None:
    program = {"program": "agent:a", "window_seconds": 60, "action": "warn", "runs": runs, "min_runs": 2}
    assert complaints(document(objectives=[{**program, "objectives": [given]}])) == said
