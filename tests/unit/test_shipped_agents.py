"""The shipped agents, with all that they call, under the contracts of their manifests."""

from typing import Any

import pytest

from magsag.domain.errors import StepFailed
from tests.unit.shipped import NOW, ROOT, Company, module, values

ENGINEER = {"role": "Engineer", "level": "Mid"}
REAL_BAND = {
    "recommended_band": "E4",
    "currency": "USD",
    "min": 100000,
    "max": 180000,
    "source": "payroll",
}
REPORT_INPUT = {
    "candidate_profile": ENGINEER,
    "table": {"csv": "name,salary\nAda,118000\nGrace,124000\n"},
    "document": {"text": "# Plan\nWe hire Ada Lovelace for 120,000 USD on 2031-04-01."},
}


def advise(**profile: Any) -> dict[str, Any]:
    answer = Company().run("compensation-advisor-sag", {"candidate_profile": {"role": "Engineer"} | profile})
    offer: dict[str, Any] = answer["offer"]
    return offer


def test_the_main_job_gives_the_packet() -> None:
    company = Company()
    packet = company.run("offer-orchestrator-mag", ENGINEER)
    assert packet == {
        "offer": {
            "role": "Engineer",
            "base_salary": {"currency": "USD", "amount": 116000},
            "band": {"currency": "USD", "min": 100000, "max": 180000, "source": "builtin:example-bands"},
            "sign_on_bonus": {"currency": "USD", "amount": 10000},
            "notes": "Worked out by compensation-advisor-sag from the band 'standard' of builtin:example-bands.",
        },
        "metadata": {
            "generated_by": "offer-orchestrator-mag",
            "run_id": "run-1",
            "timestamp": NOW.isoformat(),
            "version": "0.1.0",
            "task_count": 1,
            "successful_tasks": 1,
            "degraded": True,
        },
    }
    assert company.calls == [
        "offer-orchestrator-mag",
        "task-decomposition",
        "compensation-advisor-sag",
        "salary-band-lookup",
        "result-aggregation",
    ]


def test_a_profile_without_a_role_is_refused_by_name() -> None:
    with pytest.raises(StepFailed, match=r'candidate_profile:  "role" is a required property'):
        Company().run("offer-orchestrator-mag", {"level": "Mid"})


def test_when_all_delegated_tasks_fail_the_run_fails_and_says_why() -> None:
    company = Company(failing=frozenset({"compensation-advisor-sag"}))
    with pytest.raises(RuntimeError, match=r"no offer: all 1 .*compensation-advisor-sag: raised: .* out of order"):
        company.run("offer-orchestrator-mag", ENGINEER)
    assert "result-aggregation" not in company.calls


def test_the_successes_of_a_partly_failed_job_are_kept() -> None:
    tasks = [
        {"task_id": str(number), "agent": "compensation-advisor-sag", "input": {"candidate_profile": profile}}
        for number, profile in enumerate(({}, ENGINEER, {"role": ""}))
    ]
    company = Company(answers={"task-decomposition": tasks, "salary-band-lookup": REAL_BAND})
    packet = company.run("offer-orchestrator-mag", ENGINEER)
    assert packet["offer"]["base_salary"]["amount"] == 116000
    counts = {key: packet["metadata"][key] for key in ("task_count", "successful_tasks", "degraded")}
    assert counts == {"task_count": 3, "successful_tasks": 1, "degraded": True}


def test_an_offer_from_a_real_band_is_not_degraded() -> None:
    packet = Company(answers={"salary-band-lookup": REAL_BAND}).run("offer-orchestrator-mag", ENGINEER)
    assert packet["offer"]["band"]["source"] == "payroll"
    assert packet["metadata"]["degraded"] is False


@pytest.mark.parametrize(
    ("years", "amount"),
    [(0, 116_000), (0.5, 120_000), (1, 124_000), (3, 140_000), (7, 172_000), (8, 180_000), (40, 180_000)],
)
def test_experience_moves_the_salary_up_the_band(years: float, amount: int) -> None:
    assert advise(experience_years=years)["base_salary"] == {"currency": "USD", "amount": amount}


@pytest.mark.parametrize(
    ("profile", "salary", "bonus"),
    [
        ({"level": "Junior"}, 88_000, 10_000),
        ({"level": "Senior"}, 164_000, 20_000),
        ({"level": "Staff"}, 200_000, 30_000),
        ({"role": "principal engineer"}, 246_000, 50_000),
        ({"role": "Staff Engineer", "level": "Senior"}, 164_000, 20_000),
        ({"location": "NYC"}, 133_400, 10_000),
        ({"location": "San Francisco", "level": "Senior", "experience_years": 3}, 222_000, 20_000),
    ],
)
def test_level_and_location_set_salary_and_bonus(profile: dict[str, Any], salary: int, bonus: int) -> None:
    offer = advise(**profile)
    assert (offer["base_salary"]["amount"], offer["sign_on_bonus"]["amount"]) == (salary, bonus)


def test_a_workforce_report_sets_the_offer_beside_figures_and_text() -> None:
    company = Company()
    report = company.run("workforce-report-mag", REPORT_INPUT)
    assert report["offer"]["base_salary"]["amount"] == 116000
    assert report["statistics"]["columns"][1]["mean"] == 121000
    assert report["document"]["entities"]["names"] == ["Ada Lovelace"]
    assert report["highlights"] == [
        "Offer for Engineer: 116,000 USD a year.",
        "2 rows, 2 columns, 1 of them with numbers.",
        "We hire Ada Lovelace for 120,000 USD on 2031-04-01.",
    ]
    assert report["missing"] == []
    assert report["metadata"]["degraded"] is True, "the offer inside rests on example data"
    assert {"offer-orchestrator-mag", "compensation-advisor-sag"} < set(company.calls)


@pytest.mark.parametrize(
    ("broken", "part"),
    [
        ("offer-orchestrator-mag", "offer"),
        ("compensation-advisor-sag", "offer"),
        ("data-analysis-sag", "statistics"),
        ("document-processing-sag", "document"),
    ],
)
def test_a_workforce_report_names_the_part_that_failed_and_keeps_the_others(broken: str, part: str) -> None:
    report = Company(failing=frozenset({broken})).run("workforce-report-mag", REPORT_INPUT)
    assert [gap["part"] for gap in report["missing"]] == [part]
    assert f"{broken} is out of order" in report["missing"][0]["reason"]
    assert part not in report
    assert len({"offer", "statistics", "document"} & set(report)) == 2
    assert (report["metadata"]["successful_tasks"], report["metadata"]["degraded"]) == (2, True)


def test_a_workforce_report_on_real_data_is_not_degraded() -> None:
    company = Company(answers={"salary-band-lookup": REAL_BAND})
    assert company.run("workforce-report-mag", REPORT_INPUT)["metadata"]["degraded"] is False


def test_a_workforce_report_without_any_part_fails() -> None:
    all_three = frozenset({"offer-orchestrator-mag", "data-analysis-sag", "document-processing-sag"})
    with pytest.raises(RuntimeError, match=r"no report: offer: .*; statistics: .*; document: "):
        Company(failing=all_three).run("workforce-report-mag", REPORT_INPUT)


@pytest.mark.parametrize("slug", ["offer-orchestrator-mag", "workforce-report-mag"])
def test_a_main_agent_signs_with_the_slug_and_version_of_its_manifest(slug: str) -> None:
    path = ROOT / "agents" / "main" / slug / "agent.py"
    signed, stated = module(path), values(path.with_name("agent.yaml"))
    assert stated["slug"] == signed.SLUG
    assert stated["version"] == signed.VERSION
