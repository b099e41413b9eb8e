"""The shipped skills as plain functions."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.shipped import ROOT, function, problems, skill


@pytest.mark.parametrize(
    ("profile", "band", "low", "high"),
    [
        ({"role": "Engineer"}, "standard", 100_000, 180_000),
        ({"role": "Engineer", "level": "Mid"}, "standard", 100_000, 180_000),
        ({"role": "Engineer", "level": "Senior"}, "senior", 150_000, 220_000),
        ({"role": "Staff Engineer"}, "staff", 180_000, 280_000),
        ({"role": "Engineer", "level": "principal"}, "principal", 220_000, 350_000),
        ({"role": "Junior Engineer", "level": ""}, "junior", 80_000, 120_000),
        ({"role": "Senior Staff Engineer"}, "senior", 150_000, 220_000),
        ({"role": "Principal", "level": "Staff"}, "staff", 180_000, 280_000),
        ({"role": "Staffing Officer"}, "standard", 100_000, 180_000),
        ({"role": "Engineer", "location": "San Francisco, CA"}, "standard", 120_000, 216_000),
        ({"role": "Engineer", "location": "SF"}, "standard", 120_000, 216_000),
        ({"role": "Engineer", "location": "Bay Area"}, "standard", 120_000, 216_000),
        ({"role": "Engineer", "location": "New York"}, "standard", 115_000, 207_000),
        ({"role": "Engineer", "level": "Senior", "location": "NYC"}, "senior", 172_500, 253_000),
        ({"role": "Engineer", "location": "Berlin, transfer possible"}, "standard", 100_000, 180_000),
    ],
)
def test_a_band_follows_level_and_location(profile: dict[str, str], band: str, low: int, high: int) -> None:
    found = skill("salary-band-lookup")(profile)
    assert (found["recommended_band"], found["min"], found["max"]) == (band, low, high)
    assert problems("salary_band_lookup_output", found) == ""
    assert problems("salary_band", found) == ""


def test_the_built_in_bands_say_what_they_are() -> None:
    found = skill("salary-band-lookup")({"role": "Engineer"})
    assert (found["source"], found["currency"]) == ("builtin:example-bands", "USD")


def test_a_profile_becomes_one_task_for_the_advisor() -> None:
    profile = {"role": "Engineer", "team": "Core"}
    tasks = skill("task-decomposition")({"candidate_profile": profile})
    assert tasks == [
        {"task_id": "task-1", "agent": "compensation-advisor-sag", "input": {"candidate_profile": profile}}
    ]
    assert problems("task_decomposition_output", tasks) == ""


def test_later_results_win_and_failed_ones_are_only_counted() -> None:
    results: list[dict[str, Any]] = [
        {"task_id": "1", "status": "succeeded", "output": {"a": 1, "b": 1}},
        {"task_id": "2", "status": "failed", "error": "out of order"},
        {"task_id": "3", "status": "succeeded", "output": {"b": 3}},
    ]
    merged = skill("result-aggregation")({"results": results})
    assert merged == {
        "aggregated": {"a": 1, "b": 3},
        "metadata": {"total_results": 3, "successful_results": 2, "failed_results": 1},
    }
    assert problems("result_aggregation_output", merged) == ""
    assert results[0]["output"] == {"a": 1, "b": 1}, "the input was changed"


def test_nothing_to_merge_is_an_empty_result() -> None:
    assert skill("result-aggregation")({"results": []})["aggregated"] == {}


OFFER = {
    "role": "Engineer",
    "base_salary": {"currency": "USD", "amount": 116000},
    "band": {"currency": "USD", "min": 100000, "max": 180000, "source": "builtin:example-bands"},
}


def test_a_document_holds_the_figures_of_the_offer() -> None:
    offer = OFFER | {
        "sign_on_bonus": {"currency": "USD", "amount": 10000},
        "equity": {"type": "RSU", "amount": 40000, "vesting_years": 4},
    }
    document = skill("doc-gen")({"offer": offer, "candidate_profile": {"role": "Engineer", "location": "Berlin"}})
    assert problems("doc_gen_output", document) == ""
    for figure in ("116,000 USD", "in Berlin", "100,000 to 180,000 USD", "10,000 USD", "RSU worth 40,000", "4 years"):
        assert figure in document["markdown"]


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({}, "example data"),
        ({"base_salary": {"currency": "USD", "amount": 180001}}, "outside the band"),
        ({"base_salary": {"currency": "EUR", "amount": 116000}}, "in EUR, the band in USD"),
    ],
)
def test_a_document_warns_before_it_is_sent(change: dict[str, object], warning: str) -> None:
    document = skill("doc-gen")({"offer": OFFER | change})
    assert warning in " ".join(document["warnings"])
    assert "## Before you send it" in document["markdown"]


def test_an_offer_from_a_real_band_needs_no_warning() -> None:
    document = skill("doc-gen")({"offer": OFFER | {"band": {"currency": "USD", "min": 1, "max": 200000}}})
    assert document["warnings"] == []
    assert "Before you send it" not in document["markdown"]


@pytest.mark.parametrize(("token", "shown"), [("a-token-for-mail", "Bearer a-token-for-mail"), (None, None)])
def test_an_offer_is_sent_and_looked_up_with_the_token_that_there_is(
    token: str | None, shown: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str | None] = []

    class Sink(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.headers.get("Authorization"))
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()

        def do_GET(self) -> None:
            heard.append(self.headers.get("Authorization"))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("MAIL_SINK", f"http://127.0.0.1:{server.server_port}")
    try:
        ctx = SimpleNamespace(idempotency_key="k", secret={"MAIL_TOKEN": token}.get)
        letter = {"to": "ann@example.com", "subject": "Offer", "text": "Dear Ann"}
        found = function(ROOT / "skills/send-offer", "skill.py:find_sent")(letter, ctx)
        assert found == {"found": True, "output": skill("send-offer")(letter, ctx)}
    finally:
        server.shutdown()
        server.server_close()
    assert heard == [shown, shown]
