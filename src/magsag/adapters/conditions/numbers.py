"""Numbers as the schema means them: JSON has one kind, the library has two that it will not calculate with.

Where a schema says `number` a whole number is handed in as a float, where it says `integer` 2.0 as 2. A whole
number that no float can hold stays what it is: it can still be compared.
"""

from collections.abc import Callable

from magsag.domain.shapes import Shape

Convert = Callable[[object], object]


def conversion(shape: Shape | None) -> Convert | None:
    """What brings the numbers inside such a value into line; None where there is nothing to do."""
    return _conversion(shape, {})


def _conversion(shape: Shape | None, known: dict[int, Convert | None]) -> Convert | None:
    if shape is None:
        return None
    key = id(shape.schema)
    if key not in known:
        # While it is being built a schema inside itself finds this, and looks up the whole when it is used.
        known[key] = lambda value: inner(value) if (inner := known[key]) is not None else value
        known[key] = _built(shape, known)
    return known[key]


def _built(shape: Shape, known: dict[int, Convert | None]) -> Convert | None:
    kinds = shape.kinds() or frozenset()
    if kinds & {"number", "integer"}:
        return _fraction if "number" in kinds else _whole
    item = _conversion(shape.item(), known)
    declared = shape.fields()
    fields = {name: inner for name, part in declared.items() if (inner := _conversion(part, known)) is not None}
    others = _conversion(shape.other_fields(), known)
    if item is None and not fields and others is None:
        return None

    def convert(value: object) -> object:
        if isinstance(value, list) and item is not None:
            return [item(part) for part in value]
        if isinstance(value, dict):
            return {
                name: _with(fields.get(name, None if name in declared else others), part)
                for name, part in value.items()
            }
        return value

    return convert


def _with(change: Convert | None, value: object) -> object:
    return value if change is None else change(value)


def _fraction(value: object) -> object:
    if type(value) is not int:
        return value
    try:
        return as_float if (as_float := float(value)) == value else value
    except OverflowError:
        return value


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value
