"""data-analysis-sag: what it reads as a number, and that its statistics are those of `statistics`."""

import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.shipped import ROOT, Company, module, problems

ODD_CELLS = st.sampled_from(
    ["", " ", "nan", "inf", "-1", "1e999", "1_000", "٣", '"', ",", ";", "\n", "\r", "\x00", "a"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


def analyse(payload: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = module(ROOT / "agents" / "sub" / "data-analysis-sag" / "analysis.py").analyse(payload)
    assert problems("data_analysis_output", found) == ""
    return found


def columns(payload: dict[str, Any]) -> dict[str, Any]:
    return {column["name"]: column for column in analyse(payload)["columns"]}


def test_csv_gives_statistics_outliers_and_findings() -> None:
    csv = "name,salary\nAda,100\nGrace,110\nAlan,120\nEdsger,\nBarbara,n/a\nJohn,900\n"
    found = Company().run("data-analysis-sag", {"csv": csv})
    assert found["row_count"] == 6
    assert found["columns"][1] == {
        "name": "salary",
        "count": 4,
        "missing": 1,
        "not_numeric": 1,
        "mean": 307.5,
        "median": 115.0,
        "stdev": statistics.stdev([100, 110, 120, 900]),
        "min": 100.0,
        "max": 900.0,
    }
    assert found["outliers"]["values"] == [{"column": "salary", "row": 6, "value": 900.0}]
    assert found["findings"] == [
        "6 rows, 2 columns, 1 of them with numbers.",
        "salary: from 100 to 900, mean 307.5, median 115.",
        "salary: 1 values are no numbers and were left out.",
        "salary: 1 values are missing.",
        "salary: 1 outliers; the farthest from the median is 900.",
    ]


def test_the_zscore_method_finds_what_lies_three_deviations_away() -> None:
    rows = [{"x": 1.0 + index % 2} for index in range(30)] + [{"x": 99}]
    outliers = analyse({"rows": rows, "outlier_method": "zscore"})["outliers"]
    assert (outliers["method"], outliers["values"]) == ("zscore", [{"column": "x", "row": 31, "value": 99.0}])
    assert "3 standard deviations" in outliers["rule"]


@pytest.mark.parametrize("method", ["iqr", "zscore"])
def test_three_numbers_are_too_few_for_outliers(method: str) -> None:
    assert analyse({"rows": [{"x": 1}, {"x": 1}, {"x": 99}], "outlier_method": method})["outliers"]["values"] == []


def test_in_rows_text_and_truth_values_are_no_numbers() -> None:
    column = columns({"rows": [{"x": "12"}, {"x": True}, {"x": 3}, {}, {"x": None}, {"x": " "}, {"x": 10**400}]})["x"]
    assert (column["count"], column["missing"], column["not_numeric"]) == (1, 3, 3)


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "1_000", "٣", "0x10", "1e999", "1,5", "--1", "1 2"])
def test_only_written_decimal_numbers_count_in_csv(text: str) -> None:
    assert columns({"csv": f"x;y\n{text};1\n", "delimiter": ";"})["x"]["not_numeric"] == 1


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1), ("-1.5", -1.5), ("+2.", 2), (".5", 0.5), ("1e3", 1000), (" 7 ", 7)]
)
def test_decimal_numbers_are_read(text: str, value: float) -> None:
    assert columns({"csv": f"x\n{text}\n"})["x"]["mean"] == value


@pytest.mark.parametrize(
    ("csv", "names"),
    [
        ("", []),
        ("\n\n", []),
        ("\ufeffa,b\n1,2\n", ["a", "b"]),
        ("a,a,a_2\n1,2,3\n", ["a", "a_2", "a_2_3"]),
        (",b\n1,2,3\n", ["column_1", "b", "column_3"]),
        ("a,b\n1\n", ["a"]),
        ('a\n"1\n2"\n', ["a"]),
        ("a,b\r\n1,2\r\n", ["a", "b"]),
    ],
)
def test_every_column_of_an_odd_csv_has_a_name(csv: str, names: list[str]) -> None:
    assert list(columns({"csv": csv})) == names


def test_a_csv_that_cannot_be_read_is_refused_with_its_line() -> None:
    with pytest.raises(ValueError, match=r"csv, line 2: field larger than field limit.* is the delimiter ',' right\?"):
        analyse({"csv": "a,b\n" + "x" * 200_000})


def test_an_empty_table_is_no_error() -> None:
    assert analyse({"rows": []})["findings"] == ["0 rows, 0 columns, 0 of them with numbers."]


@given(st.lists(st.floats(-1e9, 1e9) | st.integers(-(10**9), 10**9), min_size=1, max_size=40))
def test_statistics_agree_with_those_of_python(numbers: list[float]) -> None:
    column = columns({"rows": [{"x": number} for number in numbers]})["x"]
    assert column["count"] == len(numbers)
    assert column["mean"] == pytest.approx(statistics.mean(numbers), abs=1e-6)
    assert column["median"] == statistics.median(numbers)
    assert (column["min"], column["max"]) == (min(numbers), max(numbers))
    expected = statistics.stdev(numbers) if len(numbers) > 1 else None
    assert column["stdev"] == (None if expected is None else pytest.approx(expected, abs=1e-6))


@given(st.lists(st.integers(-1000, 1000), min_size=4, max_size=40))
def test_rows_and_csv_say_the_same(numbers: list[int]) -> None:
    text = "x\n" + "".join(f"{number}\n" for number in numbers)
    assert analyse({"csv": text}) == analyse({"rows": [{"x": number} for number in numbers]})


@given(st.text() | st.lists(ODD_CELLS).map(",".join) | st.lists(ODD_CELLS).map("\n".join), st.sampled_from(",;\t|"))
def test_no_csv_crashes_it(csv: str, delimiter: str) -> None:
    analyse({"csv": csv, "delimiter": delimiter, "outlier_method": "zscore"})


@given(st.lists(st.dictionaries(st.text(max_size=3), SCALARS, max_size=3), max_size=20))
def test_no_rows_crash_it(rows: list[dict[str, Any]]) -> None:
    analyse({"rows": rows})
