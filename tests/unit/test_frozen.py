"""Values: what `frozen` makes is what a frozen dataclass with slots is."""

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from typing import Any

import pytest

from magsag.domain.frozen import frozen


@frozen
class Point:
    """A value of each sort of field."""

    x: int
    y: int = 2
    marks: list[str] = field(default_factory=list)
    note: str = field(default="", compare=False, repr=False)


@frozen
class Solid(Point):
    z: int = 3


@frozen(kw_only=True)
class Named:
    first: int = 1
    second: str


@frozen(eq=False)
class Same:
    x: int


@frozen
class Nothing:
    """No field."""


@frozen
class Own:
    x: int
    double: int = 0

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("below zero")

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 7

    def __repr__(self) -> str:
        return "own"


@pytest.mark.parametrize("value", [Point(1), Solid(1, 2, [], z=4), Named(second="b"), Nothing()])
def test_it_is_what_the_dataclass_of_the_same_fields_is(value: Any) -> None:
    made: Any = dataclass(frozen=True, slots=True, kw_only=isinstance(value, Named))(_bare(type(value)))
    twin = made(**{one.name: getattr(value, one.name) for one in fields(value)})
    assert repr(value) == repr(twin)
    assert value.__match_args__ == twin.__match_args__
    assert [one.name for one in fields(value)] == [one.name for one in fields(twin)]
    assert inspect.signature(type(value)).parameters.keys() == inspect.signature(made).parameters.keys()
    assert not hasattr(value, "__dict__")


def test_nothing_changes_it() -> None:
    value = Point(1)
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'x'"):
        value.x = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'x'"):
        del value.x
    with pytest.raises(FrozenInstanceError):
        value.other = 2  # type: ignore[attr-defined]


def test_equal_fields_make_equal_values_of_one_class() -> None:
    assert Point(1) == Point(1, note="not compared")
    assert Point(1) != Point(2)
    assert Point(1) != Solid(1)
    assert Nothing() == Nothing()
    assert len({Named(second="b"), Named(second="b"), Named(second="c")}) == 2
    assert hash(Nothing()) == hash(Nothing())
    assert Same(1) != Same(1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(Point(1))


def test_a_factory_makes_a_new_default_for_each() -> None:
    assert Point(1).marks is not Point(1).marks
    assert "marks: list[str] = <factory>" in str(inspect.signature(Point))


def test_it_is_copied_replaced_pickled_and_matched() -> None:
    value = Solid(1, marks=["a"])
    assert replace(value, x=5) == Solid(5, marks=["a"])
    assert copy.deepcopy(value) == pickle.loads(pickle.dumps(value)) == value
    match value:
        case Solid(x, y):
            assert (x, y) == (1, 2)


def test_arguments_are_checked_as_those_of_any_function() -> None:
    wrongs: list[dict[str, Any]] = [{}, {"x": 1, "w": 2}]
    for wrong in wrongs:
        with pytest.raises(TypeError, match=r"Point.__init__\(\)"):
            Point(**wrong)
    with pytest.raises(TypeError):
        Named(1)  # type: ignore[call-arg]


def test_what_a_class_says_itself_stands() -> None:
    assert Own(1) == Own(2)
    assert (repr(Own(1)), hash(Own(1))) == ("own", 7)
    with pytest.raises(ValueError, match="below zero"):
        Own(-1)


def _bare(cls: type) -> type:
    """The class as it was written, without what was made of it."""
    known = {one.name: one for one in fields(cls)}
    body: dict[str, object] = {"__annotations__": {name: one.type for name, one in known.items()}}
    for name, one in known.items():
        body[name] = field(
            default=one.default,
            default_factory=one.default_factory,
            repr=one.repr,
            compare=one.compare,
        )
    body["__qualname__"] = cls.__qualname__
    return type(cls.__name__, (), body)
