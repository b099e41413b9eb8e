"""Type-checks an expression with the library's checker.

Each path in the text is replaced by a variable of its type, so that one environment serves all expressions;
making one costs ten times a check. The checker knows no JSON: numbers and nulls that it will not mix, the
evaluation does, and such complaints are passed over.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from magsag.adapters.conditions.reading import Reading, Span
from magsag.domain.condition import ConditionInvalid
from magsag.domain.shapes import Shape

_TYPES: Final = {"string": "STRING", "boolean": "BOOL", "integer": "INT", "null": "NULL", "object": "object"}
_KINDS: Final = {
    "BOOL": frozenset({"boolean"}),
    "INT": frozenset({"integer"}),
    "UINT": frozenset({"integer"}),
    "DOUBLE": frozenset({"number", "integer"}),
    "STRING": frozenset({"string"}),
    "NULL": frozenset({"null"}),
    "LIST": frozenset({"array"}),
    "MAP": frozenset({"object"}),
}
_LIST: Final = "list of "
_LISTS_INSIDE: Final = 4
_ERROR: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_OVERLOAD: Final = re.compile(r"found no matching overload for '(\S+)' applied to '\((.*)\)'")
_UNDECLARED: Final = re.compile(r"undeclared reference to '(\S+)'")
_COMPARISONS: Final = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in"})
_ARITHMETIC: Final = frozenset({"_+_", "_-_", "_*_", "_/_", "_%_"})


class TypeCheck:
    """One checking environment, made anew when an unknown name or type turns up."""

    def __init__(self, cel: Any) -> None:
        self._cel = cel
        self._variables: dict[str, Any] = {}
        self._environment: Any = None

    def kinds(self, source: str, reading: Reading) -> frozenset[str] | None:
        """The JSON types of the value, where the checker can tell them.

        Raises ConditionInvalid for the first complaint that the evaluation would share.
        """
        text = _Text(source, {span: _type(shape, _LISTS_INSIDE) for span, shape in reading.spans.items()})
        self._declare({**dict.fromkeys(reading.names, "DYN"), **text.variables})
        try:
            given = self._environment.compile(text.typed).return_type().name()
        except Exception as error:
            for column, message in complaints(text.typed, str(error)):
                _complain(source, text.column(column), message)
            return None
        return _KINDS.get(given.partition("<")[0])

    def _declare(self, variables: Mapping[str, str]) -> None:
        new = variables.keys() - self._variables.keys()
        if new or self._environment is None:
            self._variables.update({name: self._type(variables[name]) for name in new})
            self._environment = self._cel.NewEnv(variables=self._variables)

    def _type(self, name: str) -> Any:
        type = self._cel.Type
        if name.startswith(_LIST):
            return type.List(self._type(name.removeprefix(_LIST)))
        return type.Map(type.STRING, type.DYN) if name == "object" else getattr(type, name)


def complaints(source: str, text: str) -> list[tuple[int, str]]:
    """The library's error text as (column in the whole source, message)."""
    lines = source.split("\n")
    found = []
    for line, column, message in _ERROR.findall(text):
        before = lines[: int(line) - 1] if int(line) <= len(lines) else []
        found.append((sum(len(part) + 1 for part in before) + max(int(column), 1), _short(message)))
    return found or [(1, text.strip())]


def _short(message: str) -> str:
    """A complaint about the syntax without the list of all that could have stood there."""
    told, syntax, _ = message.partition(" expecting ")
    return f"{told}; this is CEL: it writes &&, ||, ! and ==" if syntax else told


class _Text:
    """An expression with variables in place of its paths, and the way back to its columns."""

    def __init__(self, source: str, types: Mapping[Span, str]) -> None:
        self.variables = {"magsag_" + type.replace(" ", "_"): type for type in types.values()}
        self._shifts: list[tuple[int, int]] = []
        parts, at, length = [], 0, 0
        for (start, end), type in sorted(types.items()):
            name = "magsag_" + type.replace(" ", "_")
            parts += [source[at:start], name]
            length += start - at + len(name)
            self._shifts += [(length - len(name), start), (length, end)]
            at = end
        self.typed = "".join([*parts, source[at:]])

    def column(self, typed: int) -> int:
        """The column in the source of one in the typed text."""
        before = [shift for shift in self._shifts if shift[0] < typed]
        at, source = before[-1] if before else (0, 0)
        inside = len(before) % 2 == 1
        return source + 1 if inside else source + typed - at


def _complain(source: str, column: int, message: str) -> None:
    """Raise ConditionInvalid, unless the evaluation has nothing against it."""
    if (unknown := _UNDECLARED.match(message)) is not None:
        start = source.rfind(unknown[1], 0, column)
        raise ConditionInvalid(f"there is no function `{unknown[1]}`", start + 1 or column) from None
    if (told := _told(message)) is not None:
        raise ConditionInvalid(told, column) from None


def _type(shape: Shape | None, depth: int) -> str:
    kinds = shape.kinds() if shape is not None else None
    if shape is None or not kinds or depth == 0:
        return "DYN"
    if kinds <= {"number", "integer"} and "number" in kinds:
        return "DOUBLE"
    kind = next(iter(kinds)) if len(kinds) == 1 else ""
    return _LIST + _type(shape.item(), depth - 1) if kind == "array" else _TYPES.get(kind, "DYN")


def _told(message: str) -> str | None:
    """The complaint in our words; None when the evaluation has nothing against it."""
    if "*error*" in message:
        return None  # what follows from another complaint, told or passed over itself
    match = _OVERLOAD.fullmatch(message)
    if match is None:
        return message
    function, types = match[1], _split(match[2])
    if _works(function, types):
        return None
    sign = function.replace("_", " ").replace("@", " ").strip()
    advice = ""
    if function in _ARITHMETIC and {"int", "double"} <= set(types):
        advice = ": fractions and whole numbers do not mix, write 2.0 for 2 or double(...) around a whole number"
    return f"`{sign}` does not take {' and '.join(types)}{advice}"


def _works(function: str, types: list[str]) -> bool:
    if function == "_?_:_":
        return types[0] in ("bool", "dyn")
    alike = {type.replace("double", "int").replace("uint", "int") for type in types}
    if function in _ARITHMETIC:
        return function == "_+_" and len(alike) == 1 and "list" in types[0]
    if function == "@in" and len(types) == 2:
        alike = {types[0].replace("double", "int"), types[1].replace("double", "int")[5:-1]}
    return function in _COMPARISONS and (len(alike) == 1 or (function in ("_==_", "_!=_") and "null_type" in types))


def _split(types: str) -> list[str]:
    parts, depth = [""], 0
    for letter in types:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]
