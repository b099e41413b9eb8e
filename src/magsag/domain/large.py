"""Large values: kept once per run tree, and passed on by name.

A value whose JSON is longer than LARGE_BYTES stands in the ledger as `{"\\u0000blob": id}`; programs get a
read-only handle (a dict or a list like any other) that carries the id, so that passing it on costs nothing.
"""

from collections.abc import Callable
from typing import Any, Final, NoReturn

LARGE_BYTES: Final = 64 * 1024
MARK: Final = "\x00blob"
MARK_BYTES: Final = b'{"\\u0000blob":'
"""how the mark stands in JSON bytes: a cheap way to see that there is none"""


def _read_only(self: object, *_: object, **__: object) -> NoReturn:
    raise TypeError(
        "a large value is a read-only handle: copy what you want to change, e.g. dict(value) or list(value)"
    )


class LargeDict(dict[str, Any]):
    """A large JSON object."""

    __slots__ = ("id",)
    id: str
    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _read_only

    def __reduce__(self) -> tuple[object, ...]:
        return (dict, (dict(self),))


class LargeList(list[Any]):
    """A large JSON array."""

    __slots__ = ("id",)
    id: str
    __setitem__ = __delitem__ = append = extend = insert = pop = remove = clear = sort = reverse = _read_only
    __iadd__ = __imul__ = _read_only

    def __reduce__(self) -> tuple[object, ...]:
        return (list, (list(self),))


Handle = LargeDict | LargeList


def handle(value: object, id: str) -> object:
    """The handle of a large value; what is neither object nor array (a long text) has none and stays as it is."""
    made: Handle
    if isinstance(value, dict):
        made = LargeDict(value)
    elif isinstance(value, list):
        made = LargeList(value)
    else:
        return value
    made.id = id
    return made


def lifted(value: Any) -> Any:
    """The value with every handle in it replaced by its mark. Raises ValueError for a mark of the program's own."""
    if isinstance(value, LargeDict | LargeList):
        return {MARK: value.id}
    if type(value) is dict:
        if MARK in value:
            raise ValueError(f"the key {MARK!r} is not for programs")
        return {key: lifted(part) for key, part in value.items()}
    if type(value) is list:
        return [lifted(part) for part in value]
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
