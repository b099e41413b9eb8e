"""YAML as its version 1.2 core schema reads it, each value with its place.

The C parser gives events; the values are built here, because PyYAML's own reading has traps that a manifest
must not have: `no` is false, `010` is 8, `12:30` is 750, a second key silently wins, aliases explode, and
deep nesting ends the process. Anchors are read as long as they stay small; merge keys, tags, several
documents and numbers that JSON has not are refused.
"""

import math
import re
from typing import Any, Final

import yaml

from magsag.catalog.document import MAX_DEPTH, Document, Fault, Node, Unreadable

MAX_VALUES: Final = 50_000
"""values of one file with all aliases written out"""

_INT: Final = re.compile(r"[-+]?[0-9]{1,300}|0o[0-7]{1,300}|0x[0-9a-fA-F]{1,300}")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NO_NUMBER: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: Final[dict[str, object]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_PARSER: Final[type[Any]] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(text: str) -> Document:
    """Read one document. Raises Unreadable when its syntax is broken."""
    builder = _Builder(text)
    node = builder.document()
    return Document(text, node.value if node else None, tuple(builder.faults), lambda: node)


class _Builder:
    """Turns parser events into nodes; faults that leave the rest readable are collected."""

    def __init__(self, text: str) -> None:
        self.faults: list[Fault] = []
        self._text = text
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._count = 0

    def document(self) -> Node | None:
        try:
            self._parser = _PARSER(self._text)
            self._next()
            if isinstance(self._next(), yaml.StreamEndEvent):
                return None
            node = self._node(self._next(), 0)
            self._next()
            if not isinstance(end := self._next(), yaml.StreamEndEvent):
                raise _unreadable(end, "a second document starts here", "give each manifest a file of its own")
            return node
        except yaml.YAMLError as error:
            raise Unreadable(_syntax_fault(self._text, error)) from error

    def _next(self) -> Any:
        return self._parser.get_event()

    def _node(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        self._count += 1
        before = self._count
        if depth > MAX_DEPTH:
            raise _unreadable(event, f"the nesting is deeper than {MAX_DEPTH} levels", "make it flatter")
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, depth)
        else:
            node = self._mapping(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node, self._count - before + 1
        if self._count > MAX_VALUES:
            raise _unreadable(event, f"the file holds more than {MAX_VALUES:,} values", "split it")
        return node

    def _alias(self, event: Any) -> Node:
        found = self._anchors.get(event.anchor)
        if found is None:
            raise _unreadable(event, f"*{event.anchor} names no anchor before it", "write the value out")
        self._count += found[1]
        if self._count > MAX_VALUES:
            what = f"with its aliases written out the file holds more than {MAX_VALUES:,} values"
            raise _unreadable(event, what, "write the values out")
        return found[0]

    def _sequence(self, event: Any, depth: int) -> Node:
        children: list[Node] = []
        self._check_tag(event)
        while not isinstance(item := self._next(), yaml.SequenceEndEvent):
            child = self._node(item, depth + 1)
            if event.flow_style and self._is_torn(item):
                self._add(item, *_torn("", str(child.value)))
            children.append(child)
        return _made([child.value for child in children], event, item, children=children)

    def _mapping(self, event: Any, depth: int) -> Node:
        children: dict[str, Node] = {}
        keys: dict[str, tuple[int, int]] = {}
        self._check_tag(event)
        torn = False
        while not isinstance(item := self._next(), yaml.MappingEndEvent):
            known = len(self.faults)
            key = self._key(item, depth)
            child = self._node(value := self._next(), depth + 1)
            if torn and _is_empty(value):
                del self.faults[known:]
                continue
            if key is None or (key in children and self._twice(item, key, keys[key])):
                continue
            if torn := bool(event.flow_style) and self._is_torn(value):
                self._add(value, *_torn(key, str(child.value)))
            children[key], keys[key] = child, (item.start_mark.line + 1, item.start_mark.column + 1)
        return _made({key: child.value for key, child in children.items()}, event, item, keys, children)

    def _key(self, event: Any, depth: int) -> str | None:
        """The key as text; None, with a fault, for what cannot be one."""
        node = self._node(event, depth + 1)
        if not isinstance(event, yaml.ScalarEvent):
            self._add(event, "a key must be plain text", "write it as text, in quotes if it has brackets")
        elif event.value == "<<" and not event.style:
            self._add(event, "the merge key `<<` is not read", "write the keys out")
        elif not isinstance(node.value, str):
            self._add(event, f"the key {event.value} is no text", f'put it in quotes: "{event.value}"')
        else:
            return node.value
        return None

    def _twice(self, event: Any, key: str, first: tuple[int, int]) -> bool:
        self._add(event, f"the key `{key}` stands twice; the first is at {first[0]}:{first[1]}", "remove one of them")
        return True

    def _scalar(self, event: Any) -> Node:
        if event.tag is not None or event.style:
            self._check_tag(event)
            return _made(event.value, event, event)
        text: str = event.value
        value: object = text
        if text in _WORDS:
            value = _WORDS[text]
        elif text[0] in "+-.0123456789":
            value = self._number(event, text)
        return _made(value, event, event)

    def _number(self, event: Any, text: str) -> object:
        if _INT.fullmatch(text):
            base = {"0o": 8, "0x": 16}.get(text[:2], 10)
            return int(text[2:] if base != 10 else text, base)
        if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
            return number
        if _FLOAT.fullmatch(text) or _NO_NUMBER.fullmatch(text):
            self._add(event, f"{text} is no number that JSON has", "use null, or put it in quotes")
            return None
        return text

    def _check_tag(self, event: Any) -> None:
        if event.tag is None:
            return
        if event.tag.startswith("!") and not event.tag.startswith("!!") and "(" in event.tag:
            fix = "put the expression in quotes"
        else:
            fix = "leave the tag out; quote the value if it starts with `!`"
        self._add(event, f"`{event.tag}` is a YAML tag, and tags are not read", fix)

    def _is_torn(self, event: Any) -> bool:
        """Whether this is an unquoted expression in `{...}` or `[...]` that YAML cut at a comma."""
        if not isinstance(event, yaml.ScalarEvent) or event.style or not event.value.startswith("="):
            return False
        return any(event.value.count(left) > event.value.count(right) for left, right in ("()", "[]", "{}"))

    def _add(self, event: Any, what: str, fix: str) -> None:
        self.faults.append(Fault(event.start_mark.line + 1, event.start_mark.column + 1, what, fix))


def _made(
    value: object,
    first: Any,
    last: Any,
    keys: dict[str, tuple[int, int]] | None = None,
    children: dict[str, Node] | list[Node] | None = None,
) -> Node:
    start, end = first.start_mark, last.end_mark
    return Node(value, start.line + 1, start.column + 1, start.index, end.index, keys or {}, children)


def _is_empty(event: Any) -> bool:
    return isinstance(event, yaml.ScalarEvent) and not event.value and not event.style


def _torn(key: str, value: str) -> tuple[str, str]:
    where = f" of `{key}`" if key else ""
    what = f"the expression{where} is cut at a comma: in braces and brackets YAML reads `{value}` and goes on"
    return what, "put the whole expression in quotes"


def _unreadable(event: Any, what: str, fix: str) -> Unreadable:
    return Unreadable(Fault(event.start_mark.line + 1, event.start_mark.column + 1, what, fix))


def _syntax_fault(text: str, error: yaml.YAMLError) -> Fault:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        at = getattr(error, "position", 0) or 0
        line, column = text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1
        what = "a control character stands here" if hasattr(error, "position") else str(error)
        return Fault(line, column, what, "remove it")
    lines = text.split("\n")
    broken = lines[mark.line] if mark.line < len(lines) else ""
    if broken[mark.column : mark.column + 1] == "\t":
        return Fault(mark.line + 1, mark.column + 1, "a tab stands in the indentation", "indent with spaces")
    problem = str(getattr(error, "problem", None) or "the syntax is broken")
    return Fault(mark.line + 1, mark.column + 1, f"the YAML is broken: {problem}", _syntax_fix(broken))


def _syntax_fix(line: str) -> str:
    if re.search(r"[{\[].*[:\[,]\s*=", line):
        return "put expressions in `{...}` and `[...]` in quotes"
    if re.search(r""":\s*(["']).*\1\s*\S""", line):
        return "a value that begins with a quote must end with it: put the whole expression in the other quotes"
    return "mend the syntax here or in the line above"
