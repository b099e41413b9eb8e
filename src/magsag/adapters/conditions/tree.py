"""The syntax tree of a CEL expression, read from the library's serialized form (`cel.expr.ParsedExpr`).

The library shows its tree nowhere else, and the protobuf runtime is not a dependency, so the few message
types are read here by hand. Macros arrive expanded: `all`, `exists`, `map` and `filter` as Fold, `has` as a
Select with `tests`. `at` is the offset in the source, in characters.
"""

import re
import struct
from collections.abc import Iterator
from typing import Final

from magsag.domain.frozen import frozen

_PATH: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_RESERVED: Final = frozenset({"in", "true", "false", "null"})
_Fields = dict[int, list[int | bytes]]


@frozen
class Constant:
    value: object
    at: int


@frozen
class Ident:
    name: str
    at: int


@frozen
class Select:
    operand: "Tree"
    field: str
    tests: bool
    """it is the argument of `has(...)`; then `at` is that of the parenthesis, else of the dot"""
    at: int


@frozen
class Call:
    function: str
    args: "tuple[Tree, ...]"
    """the target of a member call first"""
    at: int


@frozen
class Many:
    """A list or a map."""

    parts: "tuple[Tree, ...]"
    is_list: bool
    message: str
    """the name of a message that is to be made; empty for a plain list or map"""
    at: int


@frozen
class Fold:
    """A comprehension: `variables` stand for each item of `over` (and for what is gathered) in `body`."""

    variable: str
    gathered: str
    over: "Tree"
    body: "tuple[Tree, ...]"
    at: int


Tree = Constant | Ident | Select | Call | Many | Fold


def path_tree(source: str) -> Tree | None:
    """The tree of a bare path, for which the library need not be asked; None for any other expression."""
    if _PATH.fullmatch(source) is None:
        return None
    names = source.split(".")
    if not _RESERVED.isdisjoint(names):
        return None
    tree: Tree = Ident(names[0], 0)
    at = len(names[0])
    for name in names[1:]:
        tree = Select(tree, name, False, at)
        at += 1 + len(name)
    return tree


def read_tree(serialized: bytes) -> Tree:
    """Read what `Expression.serialize()` of an unchecked expression gives."""
    parsed = _fields(_bytes(_fields(serialized), 2))
    positions: dict[int, int] = {}
    for source_info in parsed.get(3, []):
        for entry in _fields(_part(source_info)).get(4, []):
            pair = _fields(_part(entry))
            positions[_number(pair, 1)] = _number(pair, 2)
    return _Reader(positions).tree(_bytes(parsed, 2))


class _Reader:
    def __init__(self, positions: dict[int, int]) -> None:
        self._positions = positions

    def tree(self, data: bytes) -> Tree:
        fields = _fields(data)
        at = self._positions.get(_number(fields, 2), 0)
        kind = next((number for number in (3, 4, 5, 6, 7, 8, 9) if number in fields), 3)
        inner = _fields(_bytes(fields, kind))
        match kind:
            case 4:
                return Ident(_text(inner, 1), at)
            case 5:
                return Select(self.tree(_bytes(inner, 1)), _text(inner, 2), _number(inner, 3) == 1, at)
            case 6:
                return Call(_text(inner, 2), tuple(self._all(inner, 1, 3)), at)
            case 7:
                return Many(tuple(self._all(inner, 1)), True, "", at)
            case 8:
                return Many(tuple(self._entries(inner)), False, _text(inner, 1), at)
            case 9:
                body = tuple(self._all(inner, 4, 5, 6, 7))
                return Fold(_text(inner, 1), _text(inner, 3), self.tree(_bytes(inner, 2)), body, at)
            case _:
                return Constant(_constant(inner), at)

    def _all(self, fields: _Fields, *numbers: int) -> Iterator[Tree]:
        for number in numbers:
            for data in fields.get(number, []):
                yield self.tree(_part(data))

    def _entries(self, fields: _Fields) -> Iterator[Tree]:
        for data in fields.get(2, []):
            yield from self._all(_fields(_part(data)), 3, 4)


def _constant(fields: _Fields) -> object:
    if 2 in fields:
        return _number(fields, 2) == 1
    if 3 in fields:
        value = _number(fields, 3)
        return value - (1 << 64) if value >> 63 else value
    if 4 in fields:
        return _number(fields, 4)
    if 5 in fields:
        found: float = struct.unpack("<d", _bytes(fields, 5))[0]
        return found
    if 6 in fields:
        return _text(fields, 6)
    return _bytes(fields, 7) if 7 in fields else None


def _fields(data: bytes) -> _Fields:
    """The fields of one message: number -> its values, in order."""
    found: _Fields = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value: int | bytes
        if key & 7 == 0:
            value, at = _varint(data, at)
        else:
            size, at = (8, at) if key & 7 == 1 else _varint(data, at)
            value, at = data[at : at + size], at + size
        found.setdefault(key >> 3, []).append(value)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _number(fields: _Fields, number: int) -> int:
    value = fields.get(number, [0])[-1]
    return value if isinstance(value, int) else 0


def _bytes(fields: _Fields, number: int) -> bytes:
    return _part(fields.get(number, [b""])[-1])


def _text(fields: _Fields, number: int) -> str:
    return _bytes(fields, number).decode()


def _part(value: int | bytes) -> bytes:
    return value if isinstance(value, bytes) else b""
