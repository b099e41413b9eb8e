"""`frozen`: the decorator of values. What `dataclass(frozen=True, slots=True)` makes, cheaper to make and to fill.

A dataclass compiles six functions for each class, of which a process that starts calls few: with two hundred classes
that is a third of its start. Here only `__init__` is compiled, when the first value is made; the others are shared
and read the fields' names.
"""

from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from inspect import Signature, signature
from operator import attrgetter
from typing import Any, Final, TypeVar, dataclass_transform, overload

_T = TypeVar("_T")


class _Factory:
    """Stands in a signature for what a call makes anew."""

    def __repr__(self) -> str:
        return "<factory>"


_MADE: Final = _Factory()


class _Readers(dict[type[Any], Callable[[object], object]]):
    """By class what reads the fields by which its values are equal; made when a class is first asked."""

    def __missing__(self, cls: type[Any]) -> Callable[[object], object]:
        names = [one.name for one in fields(cls) if one.compare]
        read = self[cls] = attrgetter(*names) if names else lambda value: ()
        return read


_READERS: Final = _Readers()


@overload
def frozen(cls: type[_T], /) -> type[_T]: ...
@overload
def frozen(*, eq: bool = True, kw_only: bool = False) -> Callable[[type[_T]], type[_T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(
    cls: type[_T] | None = None, /, *, eq: bool = True, kw_only: bool = False
) -> type[_T] | Callable[[type[_T]], type[_T]]:
    """A dataclass with slots that nothing changes; `fields`, `replace` and `match` know it.

    Equal and hashed by its fields, by identity where `eq` is False.
    """

    def made(cls: type[_T]) -> type[_T]:
        return _made(cls, eq, kw_only)

    return made if cls is None else made(cls)


def _made(cls: type[_T], eq: bool, kw_only: bool) -> type[_T]:
    own = frozenset(vars(cls))
    made: Any = dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(cls)
    shared: dict[str, object] = {
        "__setattr__": _set,
        "__delattr__": _delete,
        "__getstate__": _state,
        "__setstate__": _restore,
        "__repr__": _shown,
        "__signature__": _Signature(),
    }
    if eq:
        shared |= {"__eq__": _equals, "__hash__": _hashed}
    for name in shared.keys() - own:
        setattr(made, name, shared[name])
    made.__init__ = _first(made)
    return made  # type: ignore[no-any-return]


def _first(cls: Any) -> Callable[..., None]:
    """`__init__` until somebody calls it: most classes of a process never are."""

    def __init__(self: object, *args: object, **named: object) -> None:
        filling = cls.__init__ = _filling(cls)
        filling(self, *args, **named)

    return __init__


class _Signature:
    """What `inspect.signature` asks a class for."""

    def __get__(self, value: object, cls: Any) -> Signature:
        whole = signature(_filling(cls))
        return whole.replace(parameters=list(whole.parameters.values())[1:])


def _filling(cls: Any) -> Callable[..., None]:
    """`__init__`: each field goes through the descriptor of its slot, past the refusal to change it."""
    known: dict[str, Any] = {"_made": _MADE}
    ordered: list[str] = []
    by_name: list[str] = []
    lines: list[str] = []
    for one in fields(cls):
        known[f"_set_{one.name}"] = getattr(cls, one.name).__set__
        (by_name if one.kw_only else ordered).append(_parameter(one, known))
        made = f"_new_{one.name}() if {one.name} is _made else " if one.default_factory is not MISSING else ""
        lines.append(f"    _set_{one.name}(self, {made}{one.name})")
    if hasattr(cls, "__post_init__"):
        lines.append("    self.__post_init__()")
    parameters = ", ".join(["self", *ordered, *(["*", *by_name] if by_name else [])])
    exec("\n".join([f"def __init__({parameters}):", *(lines or ["    pass"])]), known)
    filling: Callable[..., None] = known["__init__"]
    filling.__qualname__ = f"{cls.__qualname__}.__init__"
    filling.__annotations__ = {one.name: one.type for one in fields(cls)} | {"return": None}
    return filling


def _parameter(one: Field[Any], known: dict[str, Any]) -> str:
    if one.default_factory is not MISSING:
        known[f"_new_{one.name}"] = one.default_factory
        return f"{one.name}=_made"
    if one.default is not MISSING:
        known[f"_default_{one.name}"] = one.default
        return f"{one.name}=_default_{one.name}"
    return one.name


def _set(self: object, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delete(self: object, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _equals(self: Any, other: object) -> object:
    if other.__class__ is not self.__class__:
        return NotImplemented
    read = _READERS[self.__class__]
    return read(self) == read(other)


def _hashed(self: object) -> int:
    return hash(_READERS[self.__class__](self))


def _shown(self: Any) -> str:
    said = ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.repr)
    return f"{self.__class__.__qualname__}({said})"


def _state(self: Any) -> list[object]:
    return [getattr(self, one.name) for one in fields(self)]


def _restore(self: Any, state: Sequence[object]) -> None:
    for one, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, one.name, value)
