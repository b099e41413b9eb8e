"""The shipped contracts take what fits and refuse what does not, with the field's name."""

from typing import Any

import pytest

from tests.unit.shipped import ROOT, contract, problems, values

MONEY = {"currency": "USD", "amount": 116000}
BAND = {"currency": "USD", "min": 100000, "max": 180000}
OFFER = {"role": "Engineer", "base_salary": MONEY, "band": BAND}
METADATA = {"generated_by": "a", "run_id": "r", "timestamp": "2031-04-01T09:30:00+00:00", "version": "0.1.0"}
COLUMN = {"name": "a", "count": 0, "missing": 1, "not_numeric": 0} | dict.fromkeys(
    ("mean", "median", "stdev", "min", "max")
)
ANALYSIS = {
    "row_count": 1,
    "columns": [COLUMN],
    "outliers": {"method": "iqr", "rule": "far away", "values": [{"column": "a", "row": 1, "value": 2.5}]},
    "findings": ["1 row"],
}
FOUND: dict[str, list[str]] = {"emails": [], "urls": [], "dates": [], "amounts": [], "names": []}
DOCUMENT = {"sections": [{"level": 1, "title": "A", "text": ""}], "entities": FOUND, "summary": ""}
LETTER = {"title": "a", "summary": "b", "talking_points": [], "warnings": [], "markdown": "c"}
COUNTS = {"total_results": 1, "successful_results": 1, "failed_results": 0}


def without(value: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: part for name, part in value.items() if name != key}


FITS: list[tuple[str, object]] = [
    ("candidate_profile", {"role": "Engineer"}),
    ("candidate_profile", {"role": "Engineer", "level": "Mid", "experience_years": 0.5, "team": "Core"}),
    ("comp_advisor_input", {"candidate_profile": {"role": "Engineer"}}),
    ("comp_advisor_output", {"offer": OFFER}),
    ("offer_packet", {"offer": OFFER}),
    ("offer_packet", {"offer": OFFER, "metadata": METADATA, "comment": "further keys are allowed"}),
    ("offer_packet", {"offer": OFFER | {"equity": {"type": "RSU", "amount": 1, "vesting_years": 4}}}),
    ("offer_packet", {"offer": OFFER | {"sign_on_bonus": MONEY, "notes": ""}}),
    ("salary_band", {"recommended_band": "mid"}),
    ("salary_band_lookup_input", {"role": "Engineer", "level": "", "location": ""}),
    ("salary_band_lookup_output", BAND | {"recommended_band": "standard", "source": "payroll", "metadata": {}}),
    ("task_decomposition_input", {"candidate_profile": {"role": "Engineer"}}),
    ("task_decomposition_output", [{"task_id": "t", "agent": "a", "input": {}}]),
    ("result_aggregation_input", {"results": []}),
    ("result_aggregation_input", {"results": [{"task_id": "t", "status": "succeeded", "output": {}}]}),
    ("result_aggregation_input", {"results": [{"task_id": "t", "status": "failed", "error": "why"}]}),
    ("result_aggregation_output", {"aggregated": {}, "metadata": COUNTS}),
    ("doc_gen_input", {"offer": OFFER}),
    ("doc_gen_output", LETTER),
    ("data_analysis_input", {"rows": [{"a": 1, "b": None, "c": "text", "d": True}]}),
    ("data_analysis_input", {"csv": "", "delimiter": ";", "outlier_method": "zscore"}),
    ("data_analysis_output", ANALYSIS),
    ("document_processing_input", {"text": "", "format": "text", "summary_sentences": 1}),
    ("document_processing_output", DOCUMENT),
    (
        "workforce_report_input",
        {"candidate_profile": {"role": "Engineer"}, "table": {"rows": []}, "document": {"text": ""}},
    ),
    ("workforce_report", {"highlights": [], "missing": [{"part": "offer", "reason": "r"}], "metadata": METADATA}),
    ("candidate_list", {"candidates": [{"role": "Engineer"}]}),
    ("hiring_review", {"letters": [LETTER], "failed": [], "figures": None}),
    ("hiring_review", {"letters": [], "failed": [{"index": 0, "type": "t", "message": "m"}], "figures": ANALYSIS}),
    ("record_put_input", {"key": "a", "value": None}),
    ("record_put_output", {"key": "a"}),
    ("offer_letter", {"to": "a@b", "subject": "Offer", "text": "Dear Ann"}),
    ("file_read_input", {"path": "a/b"}),
    ("file_read_output", {"path": "a/b", "text": "", "bytes": 0}),
    ("file_search_input", {"text": "a", "folder": "b", "name": "*.md", "ignore_case": True}),
    ("file_search_output", {"matches": [{"path": "a", "line": 1, "text": "a"}], "more": False, "passed_over": 0}),
    ("file_write_input", {"path": "a/b", "text": ""}),
    ("file_write_output", {"path": "a/b", "bytes": 0}),
    ("http_request_input", {"method": "GET", "url": "http://a/b"}),
    ("http_request_output", {"status": 200, "headers": {}, "body": None}),
    ("receipt", {"message_id": "k", "to": "a@b"}),
    ("record_get_input", {"key": "a"}),
    ("record_get_output", {"found": False, "value": None}),
    ("record_get_output", {"found": True, "value": [1]}),
]

REFUSED: list[tuple[str, object, str]] = [
    ("candidate_profile", {}, '"role" is a required property'),
    ("candidate_profile", {"role": ""}, "/role"),
    ("candidate_profile", {"role": 7}, "/role"),
    ("candidate_profile", {"role": "E", "experience_years": -1}, "/experience_years"),
    ("candidate_profile", ["Engineer"], "object"),
    ("comp_advisor_input", {}, "candidate_profile"),
    ("comp_advisor_input", {"candidate_profile": {"level": "Mid"}}, '/candidate_profile "role" is a required'),
    ("comp_advisor_input", {"candidate_profile": {"role": "E"}, "extra": 1}, "extra"),
    ("comp_advisor_output", {"offer": OFFER, "extra": 1}, "extra"),
    ("comp_advisor_output", {"offer": without(OFFER, "band")}, "band"),
    ("comp_advisor_output", {"offer": OFFER | {"base_salary": MONEY | {"amount": -1}}}, "/offer/base_salary/amount"),
    ("comp_advisor_output", {"offer": OFFER | {"base_salary": MONEY | {"amount": "lots"}}}, "/amount"),
    ("comp_advisor_output", {"offer": OFFER | {"base_salary": MONEY | {"currency": "dollars"}}}, "/currency"),
    ("comp_advisor_output", {"offer": OFFER | {"band": BAND | {"min": -1}}}, "/offer/band/min"),
    ("comp_advisor_output", {"offer": OFFER | {"band": BAND | {"max": -1}}}, "/offer/band/max"),
    ("comp_advisor_output", {"offer": OFFER | {"sign_on_bonus": {"amount": 1}}}, "currency"),
    ("comp_advisor_output", {"offer": OFFER | {"equity": {"amount": 1}}}, "type"),
    ("offer_packet", {"metadata": METADATA}, "offer"),
    ("offer_packet", {"offer": OFFER, "metadata": METADATA | {"timestamp": "yesterday"}}, "/metadata/timestamp"),
    ("offer_packet", {"offer": OFFER, "metadata": without(METADATA, "run_id")}, "run_id"),
    ("salary_band", {"min": 1}, "recommended_band"),
    ("salary_band_lookup_input", {"level": "Mid"}, "role"),
    ("salary_band_lookup_input", {"role": "E", "team": "Core"}, "team"),
    ("salary_band_lookup_output", BAND | {"recommended_band": "standard"}, "source"),
    ("salary_band_lookup_output", BAND | {"recommended_band": "s", "source": "p", "mood": "good"}, "mood"),
    ("task_decomposition_input", {"candidate_profile": {}}, "role"),
    ("task_decomposition_output", [], "[]"),
    ("task_decomposition_output", [{"task_id": "t", "agent": "a"}], "input"),
    ("result_aggregation_input", {"results": [{"task_id": "t", "status": "succeeded"}]}, "output"),
    ("result_aggregation_input", {"results": [{"task_id": "t", "status": "failed"}]}, "error"),
    ("result_aggregation_input", {"results": [{"task_id": "t", "status": "fine", "output": {}}]}, "/status"),
    ("result_aggregation_output", {"aggregated": {}}, "metadata"),
    ("result_aggregation_output", {"aggregated": [], "metadata": COUNTS}, "/aggregated"),
    ("doc_gen_input", {"offer": OFFER, "id": 1}, "id"),
    ("doc_gen_output", without(LETTER, "warnings"), "warnings"),
    ("data_analysis_input", {}, "oneOf"),
    ("data_analysis_input", {"rows": [], "csv": ""}, "oneOf"),
    ("data_analysis_input", {"rows": [{"a": [1]}]}, "/rows/0/a"),
    ("data_analysis_input", {"csv": "", "delimiter": ""}, "/delimiter"),
    ("data_analysis_output", without(ANALYSIS, "findings"), "findings"),
    ("data_analysis_output", ANALYSIS | {"columns": [COLUMN | {"stdev": -1}]}, "/columns/0/stdev"),
    ("document_processing_input", {"text": "", "summary_sentences": 0}, "/summary_sentences"),
    ("document_processing_output", DOCUMENT | {"entities": without(FOUND, "names")}, "names"),
    ("workforce_report_input", {"candidate_profile": {"role": "E"}, "table": {"rows": []}}, "document"),
    ("workforce_report", {"highlights": [], "missing": [], "metadata": {}}, "run_id"),
    ("candidate_list", {"candidates": []}, "/candidates"),
    ("hiring_review", {"letters": [], "failed": []}, "figures"),
    ("record_put_input", {"key": "a"}, "value"),
    ("record_put_input", {"key": "a" * 513, "value": 1}, "/key"),
    ("record_put_output", {}, "key"),
    ("offer_letter", {"to": "a@b", "subject": "Offer"}, "text"),
    ("file_read_input", {"path": ""}, "/path"),
    ("file_read_output", {"path": "a", "text": "", "bytes": -1}, "/bytes"),
    ("file_search_input", {"text": ""}, "/text"),
    (
        "file_search_output",
        {"matches": [{"path": "a", "line": 0, "text": "a"}], "more": False, "passed_over": 0},
        "/line",
    ),
    ("file_write_input", {"path": "a"}, "text"),
    ("file_write_output", {"path": "a", "bytes": "1"}, "/bytes"),
    ("http_request_input", {"method": "get", "url": "http://a/b"}, "/method"),
    ("http_request_input", {"method": "GET", "url": "file:///etc"}, "/url"),
    ("http_request_output", {"status": 200, "headers": {}}, "body"),
    ("receipt", {"to": "a@b"}, "message_id"),
    ("record_get_input", {"key": ""}, "/key"),
    ("record_get_output", {"found": True}, "value"),
]


@pytest.mark.parametrize(("name", "value"), FITS)
def test_a_contract_takes_what_fits(name: str, value: object) -> None:
    assert problems(name, value) == ""


@pytest.mark.parametrize(("name", "value", "names"), REFUSED)
def test_a_contract_refuses_what_does_not_fit_and_names_it(name: str, value: object, names: str) -> None:
    assert names in problems(name, value)


def test_every_contract_compiles_and_is_tried() -> None:
    names = {path.name.removesuffix(".schema.json") for path in (ROOT / "contracts").iterdir()}
    for name in names:
        contract(name).problems(None)
    parts_of_others = {"money", "offer", "packet_metadata"}
    assert names - parts_of_others == {name for name, _ in FITS} == {name for name, _, _ in REFUSED}


def test_contracts_say_which_draft_they_are_and_what_they_are_for() -> None:
    for path in (ROOT / "contracts").iterdir():
        schema = values(path)
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["title"], path
