"""Large values: kept once per run tree, and passed on by name.

A value whose JSON is longer than LARGE_BYTES stands in the ledger as `{"\\u0000blob": id}`; programs get a
read-only handle (a dict or a list like any other, to its last part) that carries the id, so that passing it on costs
nothing.
"""

from collections.abc import Callable, Container
from typing import Any, Final, NoReturn

LARGE_BYTES: Final = 64 * 1024
MARK: Final = "\x00blob"
MARK_BYTES: Final = b'{"\\u0000blob":'
"""how the mark stands in JSON bytes: a cheap way to see that there is none"""
_OPEN: Final = frozenset({dict, list})


def _read_only(self: object, *_: object, **__: object) -> NoReturn:
    raise TypeError(
        "a large value is a read-only handle: copy what you want to change, e.g. dict(value) or list(value)"
    )


class ReadOnlyDict(dict[str, Any]):
    """An object inside a large value: what the ledger holds under the name must not change in memory either."""

    __slots__ = ()
    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _read_only

    def __reduce__(self) -> tuple[object, ...]:
        return (dict, (dict(self),))


class ReadOnlyList(list[Any]):
    """An array inside a large value."""

    __slots__ = ()
    __setitem__ = __delitem__ = append = extend = insert = pop = remove = clear = sort = reverse = _read_only
    __iadd__ = __imul__ = _read_only

    def __reduce__(self) -> tuple[object, ...]:
        return (list, (list(self),))


class LargeDict(ReadOnlyDict):
    """A large JSON object."""

    __slots__ = ("id",)
    id: str


class LargeList(ReadOnlyList):
    """A large JSON array."""

    __slots__ = ("id",)
    id: str


_OBJECTS: Final[tuple[type, ...]] = (dict, ReadOnlyDict, LargeDict)
_ARRAYS: Final[tuple[type, ...]] = (list, ReadOnlyList, LargeList)


def handle(value: object, id: str) -> object:
    """The handle of a large value; what is neither object nor array (a long text) has none and stays as it is."""
    made: LargeDict | LargeList
    if isinstance(value, dict):
        made = LargeDict(_closed(dict(value)))
    elif isinstance(value, list):
        made = LargeList(_closed(list(value)))
    else:
        return value
    made.id = id
    return made


def _closed(value: Any) -> Any:
    """A copy of an object or an array that is read-only to its last part; handles are already."""
    if type(value) is dict:
        return ReadOnlyDict({key: _closed(part) if type(part) in _OPEN else part for key, part in value.items()})
    return ReadOnlyList([_closed(part) if type(part) in _OPEN else part for part in value])


def lifted(value: Any, known: Container[str]) -> Any:
    """The value with every handle in it replaced by its mark. Raises ValueError for a mark of the program's own.

    A handle whose id is not `known` comes from another run tree: here it is a value like any other.
    """
    if isinstance(value, LargeDict | LargeList) and value.id in known:
        return {MARK: value.id}
    if type(value) in _OBJECTS:
        if MARK in value:
            raise ValueError(f"the key {MARK!r} is not for programs")
        return {key: lifted(part, known) for key, part in value.items()}
    if type(value) in _ARRAYS:
        return [lifted(part, known) for part in value]
    return value


def lowered(value: Any, find: Callable[[str], object]) -> Any:
    """The value with every mark replaced by what `find(id)` gives."""
    if isinstance(value, dict):
        if len(value) == 1 and MARK in value:
            return find(value[MARK])
        return {key: lowered(part, find) for key, part in value.items()}
    if isinstance(value, list):
        return [lowered(part, find) for part in value]
    return value
