"""What a table is: columns by name, cells as they were written. Numbers are read here and nowhere else."""

import csv
import io
import math
import re

# Written out, because float() also reads "nan", "1_000" and "infinity".
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)

# Beyond this, sums of numbers stop being numbers.
LARGEST = 1e300


def columns_of(payload):
    """Give the number of rows, and for each column its cells, None where a row has none."""
    rows = payload["rows"] if "rows" in payload else _read_csv(payload["csv"], payload.get("delimiter", ","))
    names = list(dict.fromkeys(name for row in rows for name in row))
    return len(rows), {name: [row.get(name) for row in rows] for name in names}


def is_missing(cell):
    """Say whether nothing stands there."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def number(cell, *, written):
    """Give the cell as a float, or None when it is no number.

    `written`: text counts when it reads as a number. In CSV all is text; in rows, text was meant as text.
    """
    if isinstance(cell, bool) or is_missing(cell):
        return None
    if isinstance(cell, str) and not (written and _NUMBER.fullmatch(cell.strip())):
        return None
    try:
        value = float(cell)
    except OverflowError:
        return None
    return value if math.isfinite(value) and abs(value) <= LARGEST else None


def _read_csv(text, delimiter):
    lines = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=delimiter)
    try:
        cells = [line for line in lines if line]
    except csv.Error as error:
        raise ValueError(f"csv, line {lines.line_num}: {error}; is the delimiter {delimiter!r} right?") from None
    if not cells:
        return []
    names = _unique_names(cells[0], width=max(len(line) for line in cells))
    return [dict(zip(names, line, strict=False)) for line in cells[1:]]


def _unique_names(header, width):
    """Name every column: those without a name by their place, a repeated name with its place."""
    names = {}
    for place in range(width):
        name = (header[place].strip() if place < len(header) else "") or f"column_{place + 1}"
        while name in names:
            name = f"{name}_{place + 1}"
        names[name] = place
    return list(names)
