"""What the numbers of a table say: statistics per column, outliers by a named rule, findings in words."""

from statistics import fmean, median, quantiles, stdev

from .table import columns_of, is_missing, number

RULES = {
    "iqr": "below Q1 - 1.5 IQR or above Q3 + 1.5 IQR, quartiles inclusive, from 4 numbers on",
    "zscore": "more than 3 standard deviations from the mean, from 4 numbers on",
}


def analyse(payload):
    """Give the whole analysis of one table."""
    method = payload.get("outlier_method", "iqr")
    row_count, columns = columns_of(payload)
    statistics, outliers, findings = [], [], []
    for name, cells in columns.items():
        numbers = _numbers(cells, written="csv" in payload)
        column = _statistics(name, cells, list(numbers.values()))
        far = _outliers(numbers, method)
        statistics.append(column)
        outliers += [{"column": name, "row": row, "value": value} for row, value in far.items()]
        findings += _findings(column, far.values())
    numeric = sum(column["count"] > 0 for column in statistics)
    return {
        "row_count": row_count,
        "columns": statistics,
        "outliers": {"method": method, "rule": RULES[method], "values": outliers},
        "findings": [f"{row_count} rows, {len(statistics)} columns, {numeric} of them with numbers.", *findings],
    }


def _numbers(cells, *, written):
    """The numbers of a column by their row, counted from 1."""
    read = {row: number(cell, written=written) for row, cell in enumerate(cells, start=1)}
    return {row: value for row, value in read.items() if value is not None}


def _statistics(name, cells, numbers):
    missing = sum(map(is_missing, cells))
    return {
        "name": name,
        "count": len(numbers),
        "missing": missing,
        "not_numeric": len(cells) - missing - len(numbers),
        "mean": fmean(numbers) if numbers else None,
        "median": median(numbers) if numbers else None,
        "stdev": stdev(numbers) if len(numbers) > 1 else None,
        "min": min(numbers, default=None),
        "max": max(numbers, default=None),
    }


def _outliers(numbers, method):
    values = list(numbers.values())
    if len(values) < 4:
        return {}
    if method == "zscore":
        low, high = fmean(values) - 3 * stdev(values), fmean(values) + 3 * stdev(values)
    else:
        first, _, third = quantiles(values, n=4, method="inclusive")
        low, high = first - 1.5 * (third - first), third + 1.5 * (third - first)
    return {row: value for row, value in numbers.items() if not low <= value <= high}


def _findings(column, outliers):
    name, middle = column["name"], column["median"]
    if column["count"]:
        low, high, mean = (_in_words(column[key]) for key in ("min", "max", "mean"))
        yield f"{name}: from {low} to {high}, mean {mean}, median {_in_words(middle)}."
        if column["not_numeric"]:
            yield f"{name}: {column['not_numeric']} values are no numbers and were left out."
    if column["missing"]:
        yield f"{name}: {column['missing']} values are missing."
    if outliers:
        farthest = max(outliers, key=lambda value: abs(value - middle))
        yield f"{name}: {len(outliers)} outliers; the farthest from the median is {_in_words(farthest)}."


def _in_words(value):
    return f"{value:,.10g}"
