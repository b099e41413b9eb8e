"""Type-checks an expression with the library's checker, each path that it reads under its type.

The checker knows no JSON: numbers and nulls that it will not mix, the evaluation does, and those complaints
are passed over. Paths are declared as dotted variables. One that `has(...)` asks for gets no type: the
checker would take the question for the value.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from magsag.adapters.conditions.reading import Path, Reading
from magsag.domain.condition import ConditionInvalid
from magsag.domain.shapes import Shape

_TYPES: Final = {"string": "STRING", "boolean": "BOOL", "integer": "INT", "null": "NULL", "object": "object"}
_LIST: Final = "list of "
_LISTS_INSIDE: Final = 4
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ERROR: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_OVERLOAD: Final = re.compile(r"found no matching overload for '(\S+)' applied to '\((.*)\)'")
_COMPARISONS: Final = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in"})
_ARITHMETIC: Final = frozenset({"_+_", "_-_", "_*_", "_/_", "_%_"})


class TypeCheck:
    """Keeps one checking environment per set of typed paths."""

    def __init__(self, cel: Any) -> None:
        self._cel = cel
        self._environments: dict[frozenset[tuple[str, str]], Any] = {}

    def check(self, source: str, reading: Reading) -> None:
        """Raises ConditionInvalid for the first complaint that the evaluation would share."""
        known = frozenset(_typed(reading.shapes, reading.guards))
        if known not in self._environments:
            variables = {name: self._type(type) for name, type in known}
            self._environments[known] = self._cel.NewEnv(variables=variables)
        try:
            self._environments[known].compile(source)
        except Exception as error:
            for column, message in complaints(source, str(error)):
                if (told := _told(message)) is not None:
                    raise ConditionInvalid(told, column) from None

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


def _typed(shapes: Mapping[Path, Shape | None], asked: Iterable[Path]) -> Iterator[tuple[str, str]]:
    untyped = frozenset(asked)
    for path, shape in shapes.items():
        if path not in untyped and all(_WORD.fullmatch(part) for part in path):
            yield ".".join(path), _type(shape, _LISTS_INSIDE)


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
    match = _OVERLOAD.fullmatch(message)
    if match is None:
        undeclared = re.match(r"undeclared reference to '(\S+)'", message)
        return f"there is no function `{undeclared[1]}`" if undeclared else message
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
