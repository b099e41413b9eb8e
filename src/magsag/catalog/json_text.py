"""JSON with a place for each value. Values come from the standard library, strictly; places are only
looked for when somebody asks, since most files have nothing wrong."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Final, NoReturn

from magsag.catalog.document import MAX_DEPTH, Document, Fault, Node, Unreadable

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_NO_NUMBERS: Final = frozenset({"NaN", "Infinity", "-Infinity"})


class _Questionable(Exception):
    """A key stands twice, or a number is none; where is looked for afterwards."""


def read_json(text: str) -> Document:
    """Read one value. Raises Unreadable when the syntax is broken."""
    if text.count("{") + text.count("[") > MAX_DEPTH:
        _refuse_depth(text)
    try:
        value, faults = _values(text)
    except json.JSONDecodeError as error:
        what = f"the JSON is broken: {error.msg}"
        raise Unreadable(Fault(error.lineno, error.colno, what, "mend the syntax here or just before")) from error
    except ValueError as error:
        raise Unreadable(Fault(1, 1, f"the JSON cannot be read: {error}", "write shorter numbers")) from error
    if "\\ud" in text or "\\uD" in text:
        faults += tuple(_lone_surrogates(text))
    return Document(text, value, faults, cache(lambda: _Scanner(text).node()))


def _values(text: str) -> tuple[object, tuple[Fault, ...]]:
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant), ()
    except _Questionable:
        return json.loads(text, parse_constant=lambda name: None), tuple(_find_faults(text))


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _Questionable
    return made


def _refuse_constant(name: str) -> NoReturn:
    raise _Questionable(name)


def _refuse_depth(text: str) -> None:
    depth = 0
    for token in _TOKEN.finditer(text):
        if token[0] in "{[":
            depth += 1
        elif token[0] in "}]":
            depth -= 1
        if depth > MAX_DEPTH:
            line, column = _place(text, token.start())
            raise Unreadable(Fault(line, column, f"the nesting is deeper than {MAX_DEPTH} levels", "make it flatter"))


def _find_faults(text: str) -> Iterator[Fault]:
    scanner = _Scanner(text)
    scanner.node()
    for key, at, first in scanner.twice:
        line, column = _place(text, at)
        yield Fault(line, column, f"the key `{key}` stands twice; the first is at {first[0]}:{first[1]}", "remove one")
    for token in _TOKEN.finditer(text):
        if token[0] in _NO_NUMBERS:
            yield Fault(*_place(text, token.start()), f"{token[0]} is no number that JSON has", "use null")


def _lone_surrogates(text: str) -> Iterator[Fault]:
    for token in _TOKEN.finditer(text):
        if token[0].startswith('"') and any("\ud800" <= letter <= "\udfff" for letter in str(json.loads(token[0]))):
            yield Fault(*_place(text, token.start()), "a lone surrogate is no Unicode text", "remove it")


class _Scanner:
    """Walks text that is known to be JSON and notes where each value stands."""

    def __init__(self, text: str) -> None:
        self.twice: list[tuple[str, int, tuple[int, int]]] = []
        self._text = text
        self._tokens = _TOKEN.finditer(text)

    def node(self) -> Node:
        return self._node(next(self._tokens))

    def _node(self, token: re.Match[str]) -> Node:
        line, column = _place(self._text, token.start())
        node = Node(None, line, column, token.start(), token.end())
        if token[0] == "{":
            node.children = self._members(node)
        elif token[0] == "[":
            node.children = self._items()
        elif token[0] not in _NO_NUMBERS:
            node.value = json.loads(token[0])
        return node

    def _members(self, node: Node) -> dict[str, Node]:
        children: dict[str, Node] = {}
        while (token := next(self._tokens))[0] != "}":
            if token[0] == ",":
                continue
            key: str = json.loads(token[0])
            next(self._tokens)
            if key in children:
                self.twice.append((key, token.start(), node.keys[key]))
            node.keys[key] = _place(self._text, token.start())
            children[key] = self._node(next(self._tokens))
        return children

    def _items(self) -> list[Node]:
        children: list[Node] = []
        while (token := next(self._tokens))[0] != "]":
            if token[0] != ",":
                children.append(self._node(token))
        return children


def _place(text: str, at: int) -> tuple[int, int]:
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1
