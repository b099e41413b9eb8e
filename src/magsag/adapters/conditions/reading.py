"""What an expression reads, held against the schemas of the known names.

Finds unknown names and fields that a schema excludes, and keeps for the evaluation: the paths that are read
(only these are handed to the library), what stands there, and which of them must be lists. The last because
the library walks objects in an order that changes from one evaluation to the next: a list that is gathered
from an object (`map`, `filter`) would differ on a replay, so it is refused; `all` and `exists` are not.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final, NamedTuple

from magsag.adapters.conditions.tree import Call, Constant, Fold, Ident, Many, Select, Tree
from magsag.domain.condition import ConditionInvalid
from magsag.domain.shapes import Absent, Shape, kind_of

ITEM: Final = "*"
"""in a pattern: every item of what stands there"""
_TYPE_NAMES: Final = frozenset({"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"})
_NO_ORDER: Final = (
    "the fields of an object have no order: `map` and `filter` are for lists (`all` and `exists` take both)"
)

Path = tuple[str, ...]
Span = tuple[int, int]
"""start and end in the source"""


class Place(NamedTuple):
    """Where a part of an expression points to."""

    shape: Shape | None
    patterns: frozenset[Path] | None
    """the paths it may stand for, with ITEM; empty for a new value that is no object; None where nobody can tell"""
    path: Path | None = None
    """its path, when it is a name with fields"""


_MADE: Final = Place(None, frozenset())
_SOMEWHERE: Final = Place(None, None)


class Reading:
    """The findings about one expression. Raises ConditionInvalid for the first fault."""

    def __init__(self, source: str, tree: Tree, types: Mapping[str, object]) -> None:
        self._source = source
        self._types = types
        self.reads_at: dict[Path, int] = {}
        """each path that is read, with the column where it first stands"""
        self.whole: set[Path] = set()
        """those of which more is asked than whether they are there"""
        self.guards: set[Path] = set()
        """the paths that `has(...)` asks for"""
        self.shapes: dict[Path, Shape | None] = {}
        """what stands at each path, where that is known"""
        self.spans: dict[Span, Shape | None] = {}
        """where a path stands that is written with dots, and what stands there"""
        self.names: Final = frozenset(types)
        self.lists: set[Path] = set()
        """patterns of what must be lists"""
        self.calculates = False
        """it does more than pick out values"""
        whole = self._use(tree, {})
        self.path = whole.path
        """the path, when the whole expression is nothing else"""
        self.kinds = _constant_kinds(tree) if whole.shape is None else whole.shape.kinds()
        """the JSON types of the value, of an expression that calculates nothing"""

    def _use(self, tree: Tree, scope: Mapping[str, Place]) -> Place:
        """Look at a part whose whole value is used."""
        place = self._place(tree, scope)
        if place.path is not None:
            self.reads_at.setdefault(place.path, _start(tree) + 1)
            self.whole.add(place.path)
            end = _end(tree, self._source)
            if "".join(self._source[_start(tree) : end].split()) == ".".join(place.path):
                self.spans[_start(tree), end] = place.shape
        return place

    def _place(self, tree: Tree, scope: Mapping[str, Place]) -> Place:
        match tree:
            case Constant():
                return _MADE
            case Ident(name, at):
                return scope[name] if name in scope else self._name(name, at)
            case Select(operand, field, tests, at):
                return self._field(self._place(operand, scope), field, tests, at)
            case Call("_[_]", (operand, Constant(str() as field, at))):
                self.calculates = True
                return self._field(self._place(operand, scope), field, False, at)
            case Call(function, args):
                self.calculates = True
                return self._call(function, [self._use(part, scope) for part in args])
            case Many(parts, is_list, message, at):
                if message:
                    raise ConditionInvalid(f"`{message}{{...}}` makes a message, and there are none here", at + 1)
                for part in parts:
                    self._use(part, scope)
                return _MADE if is_list else _SOMEWHERE
            case Fold():
                self.calculates = True
                return self._fold(tree, scope)

    def _name(self, name: str, at: int) -> Place:
        if name in self._types:
            shape = Shape.of(self._types[name])
            self.shapes[(name,)] = shape
            return Place(shape, frozenset({(name,)}), (name,))
        if name in _TYPE_NAMES:
            return _MADE
        raise ConditionInvalid(f"there is no name `{name}` here{_meant(name, self._types)}", at + 1)

    def _field(self, place: Place, field: str, tests: bool, at: int) -> Place:
        shape = place.shape.field(field) if place.shape is not None else None
        if isinstance(shape, Absent):
            column = max(self._source.find(field, at), 0) + 1
            where = f"`{'.'.join(place.path)}`" if place.path else "what stands before the dot"
            raise ConditionInvalid(f"{where} has no field `{field}`{_meant(field, shape.known)}", column)
        path = None if place.path is None else (*place.path, field)
        if path is not None:
            self.shapes[path] = shape
        if tests:
            if path is not None:
                self.guards.add(path)
                self.reads_at.setdefault(path, at + 1)
            return _MADE
        patterns = frozenset((*pattern, field) for pattern in place.patterns) if place.patterns else None
        return Place(shape, patterns, path)

    def _call(self, function: str, args: list[Place]) -> Place:
        if function == "_[_]":
            operand = args[0]
            inside = operand.shape and (operand.shape.item() or operand.shape.other_fields())
            return Place(inside or None, _items(operand.patterns))
        if function == "_?_:_" and len(args) == 3:
            _, yes, no = args
            return Place(None, None if yes.patterns is None or no.patterns is None else yes.patterns | no.patterns)
        return args[0]._replace(path=None) if function == "dyn" and args else _MADE

    def _fold(self, fold: Fold, scope: Mapping[str, Place]) -> Place:
        if fold.variable in self._types:
            raise ConditionInvalid(f"`{fold.variable}` is a name already: call the items otherwise", fold.at + 1)
        over = self._use(fold.over, scope)
        if gathers := isinstance(fold.body[0], Many):
            self._demand_list(fold, over)
        item = Place(over.shape and over.shape.item(), _items(over.patterns))
        inner = {**scope, fold.variable: item, fold.gathered: _MADE}
        for part in fold.body:
            self._use(part, inner)
        return _MADE if gathers else _SOMEWHERE

    def _demand_list(self, fold: Fold, over: Place) -> None:
        kinds = over.shape.kinds() if over.shape is not None else None
        if over.patterns is None or (kinds is not None and "array" not in kinds):
            raise ConditionInvalid(_NO_ORDER, fold.at + 1)
        self.lists |= over.patterns


def demand_lists(patterns: frozenset[Path], names: Mapping[str, object]) -> str | None:
    """Say what is wrong when something that must be a list is an object."""
    for pattern in patterns:
        values: list[object] = [names]
        for part in pattern:
            if part == ITEM:
                values = [item for value in values for item in _members(value)]
            else:
                values = [value[part] for value in values if isinstance(value, dict) and part in value]
        if any(isinstance(value, dict) for value in values):
            return _NO_ORDER
    return None


def _constant_kinds(tree: Tree) -> frozenset[str] | None:
    match tree:
        case Constant(value):
            return kind_of(value)
        case Many(_, is_list):
            return frozenset({"array" if is_list else "object"})
        case Select(_, _, True):
            return frozenset({"boolean"})
        case _:
            return None


def _items(patterns: frozenset[Path] | None) -> frozenset[Path] | None:
    return frozenset((*pattern, ITEM) for pattern in patterns) if patterns else None


def _members(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _start(tree: Tree) -> int:
    while isinstance(tree, Select) and not tree.tests:
        tree = tree.operand
    return tree.at


def _end(tree: Tree, source: str) -> int:
    match tree:
        case Select(_, field, _, at):
            return source.find(field, at) + len(field)
        case Ident(name, at):
            return at + len(name)
        case _:
            return -1


def _meant(name: str, known: "Mapping[str, object] | tuple[str, ...]") -> str:
    if close := get_close_matches(name, known, n=1):
        return f". Did you mean `{close[0]}`?"
    listed = ", ".join(sorted(known)[:12])
    return f": there is {listed}{' and more' if len(known) > 12 else ''}" if listed else ""
