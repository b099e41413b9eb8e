"""Objectives as numbers: percentiles, error budgets, burn rates, windows, and what follows from them."""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from magsag.domain.facts import Decision, Verdict
from magsag.domain.ids import RunId
from magsag.domain.manifests import Agent, Flow
from magsag.domain.manifests.slo import Slo
from magsag.domain.measures import Measure, Shown
from magsag.policy import slo as policy
from magsag.policy.slo import Judged, SloReport, burn_rate, percentile, slo_report, stricter

NOW = 1_700_000_000_000_000
SECOND = 1_000_000
QUANTILES = st.sampled_from([0.5, 0.95, 0.99])
TIMES = st.lists(st.integers(0, 10**9), min_size=1, max_size=60)


def measure(number: int, *, ago: float = 1, took: int = 0, shown: Shown = Shown.GOOD, **more: Any) -> Measure:
    """`ago` in seconds, `took` in milliseconds."""
    return Measure(RunId(f"r{number:05}"), shown, NOW - int(ago * SECOND), took * 1_000, **{"nano_usd": 0, **more})


def stand(measures: Sequence[Measure], **slo: Any) -> SloReport:
    wanted = Slo.model_validate({"min_runs": 1, "window": "1h", **slo})
    return slo_report("agent:a", wanted, measures, NOW)


def one(measures: Sequence[Measure], **slo: Any) -> Judged:
    (judged,) = stand(measures, **slo).objectives
    return judged


@given(TIMES, QUANTILES)
def test_a_percentile_is_a_value_that_was_seen_and_the_smallest_that_covers_its_share(
    values: list[int], quantile: float
) -> None:
    ranked = sorted(values)
    found = percentile(ranked, quantile)
    assert found in values
    share = Fraction(str(quantile))
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < share * len(values)


@pytest.mark.parametrize("quantile", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("count", [1, 2, 10, 19, 20, 21, 99, 100, 101, 10_000])
def test_the_rank_is_that_of_exact_arithmetic(count: int, quantile: float) -> None:
    ranked = [float(value) for value in range(1, count + 1)]
    assert percentile(ranked, quantile) == ceil(Fraction(str(quantile)) * count)


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)
    assert one([measure(1, shown=Shown.BAD)], p95_ms=10).observed is None


@given(TIMES, st.integers(1, 10**6))
def test_a_percentile_is_missed_exactly_when_its_error_budget_is_overspent(values: list[int], target: int) -> None:
    found = one([measure(n, took=value) for n, value in enumerate(values)], p95_ms=target)
    slower = sum(value > target for value in values)
    assert found.missed == (slower > Fraction("0.05") * len(values))
    assert found.budget_left is not None
    assert found.missed == (found.budget_left < 0)


@given(st.lists(st.booleans(), min_size=1, max_size=80), st.integers(1, 999))
def test_a_success_rate_is_missed_exactly_when_its_error_budget_is_overspent(good: list[bool], mille: int) -> None:
    runs = [measure(n, shown=Shown.GOOD if ok else Shown.BAD) for n, ok in enumerate(good)]
    found = one(runs, success_rate=mille / 1000)
    assert found.missed == (Fraction(sum(good), len(good)) < Fraction(mille, 1000))
    assert set(found.evidence) <= {run.run for run in runs if run.shown is Shown.BAD}


@given(st.integers(0, 50), st.integers(1, 50), st.sampled_from([0.01, 0.05, 0.5]))
def test_a_burn_rate_grows_with_what_is_bad_and_falls_with_what_is_allowed(
    bad: int, count: int, allowed: float
) -> None:
    rate = burn_rate(min(bad, count), count, allowed)
    more = burn_rate(min(bad + 1, count), count, allowed)
    looser = burn_rate(min(bad, count), count, allowed * 2)
    assert rate is not None
    assert more is not None
    assert looser is not None
    assert 0 <= looser <= rate <= more
    assert burn_rate(0, 0, allowed) is None


@given(st.lists(st.integers(0, 7_200 * SECOND), max_size=40))
def test_only_what_ended_in_the_window_counts(ages: list[int]) -> None:
    runs = [Measure(RunId(f"r{n}"), Shown.BAD, NOW - age, 0, 0) for n, age in enumerate(ages)]
    found = stand(runs, success_rate=0.9)
    assert found.runs == sum(age < 3_600 * SECOND for age in ages)


def test_the_edges_of_a_window_belong_to_now_and_not_to_its_beginning() -> None:
    runs = [Measure(RunId(f"r{at}"), Shown.BAD, NOW + at, 0, 0) for at in (-3_600 * SECOND, -1, 0, 1)]
    assert stand(runs, success_rate=0.9).runs == 2


def test_the_burn_rate_of_the_newest_twelfth_is_told_apart() -> None:
    old = [measure(n, ago=3_000) for n in range(9)] + [measure(9, ago=3_000, shown=Shown.BAD)]
    found = one(old, success_rate=0.8)
    assert (found.burn_long, found.burn_short, found.budget_left) == (0.5, None, 0.5)
    found = one([*old, measure(10, ago=10, shown=Shown.BAD)], success_rate=0.8)
    assert (found.burn_long, found.burn_short) == (round(2 / 11 / 0.2, 6), 5.0)


def test_fewer_runs_than_asked_for_prove_nothing() -> None:
    runs = [measure(n, shown=Shown.BAD) for n in range(9)]
    assert stand(runs, success_rate=0.9, min_runs=10).missed == ()
    assert [it.name for it in stand([*runs, measure(9)], success_rate=0.9, min_runs=10).missed] == ["success_rate"]


def test_runs_that_were_refused_or_dry_do_not_count() -> None:
    found = stand([measure(1), measure(2, shown=Shown.REFUSED), measure(3, shown=Shown.DRY)], success_rate=0.9)
    assert (found.runs, found.missed) == (1, ())


def test_time_counts_of_runs_that_succeeded_and_cost_of_all() -> None:
    runs = [measure(1, took=10, nano_usd=1_000_000_000), measure(2, took=99, shown=Shown.BAD, nano_usd=3_000_000_000)]
    found = {it.name: it for it in stand(runs, p99_ms=50, cost_per_run_usd=1).objectives}
    assert (found["p99_ms"].observed, found["p99_ms"].missed) == (10.0, False)
    cost = found["cost_per_run_usd"]
    assert (cost.observed, cost.missed, cost.burn_long, cost.budget_left) == (2.0, True, 2.0, -1.0)
    assert cost.evidence == ("r00002",)


def test_approvals_are_timed_wait_by_wait() -> None:
    runs = [measure(1, waits=(SECOND, 90 * SECOND)), measure(2, waits=(5 * SECOND,)), measure(3)]
    found = one(runs, approval_wait_p95="1m")
    assert (found.count, found.observed, found.missed, found.evidence) == (3, 90.0, True, ("r00001",))


def test_the_worst_runs_are_the_evidence() -> None:
    found = one([measure(n, took=n) for n in range(50)], p50_ms=20)
    assert found.evidence == tuple(f"r{n:05}" for n in range(49, 39, -1))


@given(st.permutations([measure(n, took=n % 7, ago=n % 5, nano_usd=n**7) for n in range(12)]))
def test_the_order_of_runs_does_not_matter(runs: list[Measure]) -> None:
    wanted: dict[str, Any] = {"success_rate": 0.9, "p50_ms": 3, "cost_per_run_usd": 0.001}
    assert stand(runs, **wanted) == stand(sorted(runs, key=lambda run: run.run), **wanted)


def test_of_very_many_runs_the_newest_are_judged() -> None:
    runs = [
        measure(n, ago=1 + n / 100, shown=Shown.BAD if n >= policy.MOST_RUNS else Shown.GOOD) for n in range(10_050)
    ]
    found = stand(runs, success_rate=0.9)
    assert (found.runs, found.objectives[0].observed) == (policy.MOST_RUNS, 1.0)


@pytest.mark.parametrize(
    ("action", "decision"),
    [("warn", Decision.ALLOW), ("ask", Decision.ASK), ("block", Decision.DENY), ("open_breaker", Decision.ALLOW)],
)
def test_a_missed_objective_does_what_its_manifest_says(action: str, decision: Decision) -> None:
    report = stand([measure(1, took=5_000)], p95_ms=2_500, action=action)
    verdict = policy.verdict(report, "agents/a/agent.yaml:5", "f" * 64)
    assert verdict is not None
    assert (verdict.decision, verdict.rule, verdict.place) == (decision, "slo:p95_ms", "agents/a/agent.yaml:5")
    assert "agent:a: p95_ms 5,000 is more than 2,500" in verdict.reason
    assert "r00001" in verdict.reason
    assert policy.verdict(stand([measure(1, took=5)], p95_ms=2_500, action=action), "", "") is None


def test_the_stricter_of_policy_and_objectives_counts() -> None:
    says = {each: Verdict(each, "rule", "policies/p.yaml:1", "", "") for each in Decision}
    for mine in Decision:
        for theirs in Decision:
            objectives = Verdict(theirs, "slo:p95_ms", "agent.yaml:1", "", "")
            order = [Decision.ALLOW, Decision.ASK, Decision.DENY]
            wins = objectives if order.index(theirs) > order.index(mine) else says[mine]
            assert stricter(says[mine], objectives) == wins
    assert stricter(says[Decision.ASK], None) == says[Decision.ASK]


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({}, "names no objective"),
        ({"window": "7d"}, "names no objective"),
        ({"p95_ms": 0}, "greater than 0"),
        ({"success_rate": 1}, "less than 1"),
        ({"success_rate": 0.9, "window": "0s"}, "window"),
        ({"success_rate": 0.9, "action": "shout"}, "warn"),
        ({"success_rate": 0.9, "min_runs": 0}, "greater than or equal to 1"),
        ({"p90_ms": 3}, "p90_ms"),
    ],
)
def test_what_is_no_objective_is_refused(given: dict[str, Any], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        Slo.model_validate(given)


def test_a_breaker_is_opened_only_where_there_is_one() -> None:
    head = {"schema": 1, "slug": "it", "version": "1.0.0", "slo": {"success_rate": 0.9, "action": "open_breaker"}}
    agent = {**head, "kind": "agent", "role": "main", "entrypoint": "agent.py:run"}
    flow = {**head, "kind": "flow", "steps": [{"id": "a", "uses": "skill:a"}]}
    with pytest.raises(ValidationError, match="add `breaker`"):
        Agent.model_validate(agent)
    with pytest.raises(ValidationError, match="flows have none"):
        Flow.model_validate(flow)
    Agent.model_validate({**agent, "breaker": {"failures": 3}})
