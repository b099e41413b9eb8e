"""A manifest or contract as plain values, with the line and column of each.

Decides where a value stands in its file; not how a file is read (`reading`), nor what the values mean. A pointer is the
path of keys and indexes from the top, e.g. `("steps", 0, "with", "salary")`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from magsag.domain.frozen import frozen

Pointer = tuple[str | int, ...]

MAX_DEPTH: Final = 100
"""levels of nesting; a manifest of people's hands has fewer than ten"""


@frozen
class Fault:
    """Something that the text itself has wrong. Line and column count from 1."""

    line: int
    column: int
    what: str
    next: str


class Unreadable(Exception):
    """The text has no values to go on with."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.what)
        self.fault = fault


@dataclass(slots=True)
class Node:
    """One value with its place; `start` and `end` are its offsets in the text."""

    value: object
    line: int
    column: int
    start: int
    end: int
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    children: "dict[str, Node] | list[Node] | None" = None


class Document:
    """The values of one file. `value` is None when `faults` left nothing to read."""

    def __init__(self, text: str, value: object, faults: tuple[Fault, ...], node: Callable[[], Node | None]) -> None:
        self.text = text
        self.value = value
        self.faults = faults
        self._node = node

    def place(self, pointer: Pointer = ()) -> tuple[int, int]:
        """Line and column of the value there, or of the nearest parent that exists."""
        node, _ = self._reach(pointer)
        return (node.line, node.column) if node else (1, 1)

    def key_place(self, pointer: Pointer) -> tuple[int, int]:
        """Line and column of the key that names the value there; of the value where it has none."""
        node, depth = self._reach(pointer[:-1])
        if node and pointer and depth == len(pointer) - 1 and (found := node.keys.get(str(pointer[-1]))):
            return found
        return self.place(pointer)

    def text_place(self, pointer: Pointer, offset: int) -> tuple[int, int]:
        """Line and column of one character of a text value, counted from 0; follows quotes, escapes and folding."""
        node, depth = self._reach(pointer)
        if node is None or depth < len(pointer) or not isinstance(node.value, str):
            return self.place(pointer)
        at = _source_offset(self.text, node, offset)
        return self.text.count("\n", 0, at) + 1, at - (self.text.rfind("\n", 0, at) + 1) + 1

    def _reach(self, pointer: Pointer) -> tuple[Node | None, int]:
        """The deepest node on the way, and how many parts of the pointer led to it."""
        node = self._node()
        for depth, part in enumerate(pointer):
            if node is None or (child := _child(node, part)) is None:
                return node, depth
            node = child
        return node, len(pointer)


def _child(node: Node, part: str | int) -> Node | None:
    if isinstance(node.children, dict):
        return node.children.get(str(part))
    if isinstance(node.children, list) and isinstance(part, int) and 0 <= part < len(node.children):
        return node.children[part]
    return None


def _source_offset(text: str, node: Node, offset: int) -> int:
    """Walk value and text side by side; what the text has more (quotes, indentation, escapes) is passed over."""
    value, at = str(node.value), node.start
    if text[at : at + 1] in ("|", ">") and "\n" in text[at : node.end]:
        at = text.index("\n", at) + 1
    for letter in value[:offset]:
        at = _past(text, at, node.end, letter)
    while at < node.end and offset < len(value) and text[at] != value[offset]:
        at += 1
    return min(at, max(node.end - 1, node.start))


def _past(text: str, at: int, end: int, letter: str) -> int:
    """The offset after the place where `letter` stands, searched from `at`."""
    if letter == " " and at < end and text[at] in "\r\n":
        while at < end and text[at].isspace():
            at += 1
        return at
    found = text.find(letter, at, end)
    return found + 1 if found >= 0 else at
