"""The metrics of compensation-validator."""

from collections.abc import Callable
from typing import Any

import pytest

from magsag.domain.manifests import Eval
from tests.unit.shipped import ROOT, Company, function, manifest

FOLDER = ROOT / "evals" / "compensation-validator"
METRICS = ("salary_range", "consistency", "completeness")


def metric(name: str) -> Callable[[Any], dict[str, Any]]:
    return function(FOLDER, f"metrics.py:{name}")


def offer(**parts: Any) -> dict[str, Any]:
    whole = {
        "role": "Engineer",
        "base_salary": {"currency": "USD", "amount": 100_000},
        "band": {"currency": "USD", "min": 90_000, "max": 110_000},
        "sign_on_bonus": {"currency": "USD", "amount": 10_000},
        "equity": {"type": "RSU", "amount": 50_000},
        "notes": "",
    }
    return {"offer": {name: part for name, part in (whole | parts).items() if part is not None}}


def test_the_manifest_names_the_metrics_that_the_file_has() -> None:
    found = manifest(FOLDER / "eval.yaml")
    assert isinstance(found, Eval)
    assert found.on == ("input", "output")
    assert [(each.id, each.weight, each.threshold, each.fail_on_threshold) for each in found.metrics] == [
        ("salary_range", 1, 0.8, False),
        ("consistency", 1, 0.9, False),
        ("completeness", 1, 0.9, True),
    ]
    assert all(callable(metric(each.id)) for each in found.metrics)


def test_the_main_job_scores_one_and_one_and_nine_tenths_and_a_third() -> None:
    output = Company().run("compensation-advisor-sag", {"candidate_profile": {"role": "Engineer", "level": "Mid"}})
    assert [metric(name)(output)["score"] for name in METRICS] == [1.0, 1.0, 0.9333]


def test_an_input_has_nothing_to_score_and_says_so() -> None:
    for name in METRICS:
        score = metric(name)({"candidate_profile": {"role": "Engineer"}})
        assert score["score"] == 1.0
        assert "nothing to find fault with" in score["details"]


@pytest.mark.parametrize(
    ("currency", "amount", "score"),
    [
        ("USD", 30_000, 1.0),
        ("USD", 500_000, 1.0),
        ("USD", 15_000, 0.5),
        ("USD", 600_000, 0.8),
        ("USD", 2_000_000, 0.0),
        ("EUR", 400_000, 1.0),
        ("EUR", 24_000, 0.96),
        ("GBP", 350_001, 1.0),
        ("JPY", 3_000_000, 1.0),
        ("JPY", 1_500_000, 0.5),
        ("CHF", 0, 1.0),
        ("CHF", 1_500_000, 0.5),
    ],
)
def test_a_salary_outside_the_range_scores_by_its_distance(currency: str, amount: int, score: float) -> None:
    payload = offer(base_salary={"currency": currency, "amount": amount})
    assert metric("salary_range")(payload)["score"] == score


@pytest.mark.parametrize(
    ("parts", "score", "fault"),
    [
        ({}, 1.0, "go together"),
        ({"band": {"currency": "EUR", "min": 1, "max": 2}}, 0.8, "currency"),
        ({"sign_on_bonus": {"currency": "EUR", "amount": 1}}, 0.8, "currency"),
        ({"equity": {"type": "RSU", "amount": 200_001}}, 0.8, "equity"),
        ({"sign_on_bonus": {"currency": "USD", "amount": 100_001}}, 0.8, "sign-on"),
        ({"sign_on_bonus": {"currency": "USD", "amount": -60_000}}, 0.2, "total"),
        ({"base_salary": {"currency": "USD", "amount": -1}}, 0.1, "negative"),
        ({"sign_on_bonus": None, "equity": None}, 1.0, "go together"),
    ],
)
def test_each_contradiction_costs_its_share(parts: dict[str, Any], score: float, fault: str) -> None:
    found = metric("consistency")(offer(**parts))
    assert found["score"] == score
    assert fault in found["details"]


@pytest.mark.parametrize(
    ("missing", "score"),
    [((), 1.0), (("equity",), 0.9333), (("equity", "notes"), 0.8667), (("band",), 0.7333), (("band", "role"), 0.4667)],
)
def test_completeness_counts_required_parts_for_four_fifths(missing: tuple[str, ...], score: float) -> None:
    found = metric("completeness")(offer(**dict.fromkeys(missing)))
    assert found["score"] == score
    assert all(part in found["details"] for part in missing)
