"""Whether a compiled condition is false for every value that the contracts allow, found by trying them all.

Only where the fields that it reads have few values: truth values, constants, enumerations, small ranges of whole
numbers. Everything else is the business of `never`. Like that one it gives no false alarm.
"""

from collections.abc import Mapping
from itertools import product
from typing import Any, Final

from magsag.catalog.check.domains import Path, Schemas, finite_values, required_at, root_of, schemas_at
from magsag.domain.condition import Condition, ConditionFailed

_MOST: Final = 512
"""combinations of values that are tried"""
_ABSENT: Final = object()


def never_holds(condition: Condition, roots: Mapping[Path, Schemas]) -> bool:
    """Whether no combination of values makes it true; False also where there are too many to try."""
    paths = sorted(condition.reads)
    if any(one == other[: len(one)] for one in paths for other in paths if one is not other):
        return False
    domains: list[list[Any]] = []
    count = 1
    for path in paths:
        values = _values(path, roots)
        count *= len(values or ())
        if values is None or count > _MOST:
            return False
        domains.append(values)
    return not any(_holds(condition, dict(zip(paths, values, strict=True))) for values in product(*domains))


def _values(path: Path, roots: Mapping[Path, Schemas]) -> list[Any] | None:
    """All values that may stand at the path, absence included; None where they cannot be listed."""
    schemas, rest = root_of(path, roots)
    found = finite_values(schemas_at(schemas, rest)) if rest else None
    if found is None:
        return None
    is_there = len(rest) == 1 and required_at(schemas, rest)
    whole = [float(value) for value in found if isinstance(value, int) and not isinstance(value, bool)]
    return [*found, *whole, *([] if is_there else [_ABSENT])]


def _holds(condition: Condition, values: Mapping[Path, Any]) -> bool:
    names: dict[str, Any] = {}
    for path, value in values.items():
        here = names
        for part in path[:-1]:
            here = here.setdefault(part, {})
        if value is not _ABSENT:
            here[path[-1]] = value
    try:
        return condition.holds(names)
    except ConditionFailed:
        return False
