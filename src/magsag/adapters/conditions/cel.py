"""Conditions in CEL, by Google's library; with `checking` and `values` the only files that touch it.

Traps that are closed here: errors come back as values whose plain form is a text, and texts are true in
Python, so nothing but a boolean of the library's own type ever holds; its null, made plain, gives away a
reference that it does not own (on Python 3.11 the interpreter dies of it), so nulls are never made plain;
objects come back in an order that changes, so they are sorted; what JSON cannot say is an error. The library
is imported with the first expression that is compiled.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from magsag.adapters.conditions.checking import TypeCheck, complaints
from magsag.adapters.conditions.reading import Path, Reading, demand_lists
from magsag.adapters.conditions.tree import read_tree
from magsag.adapters.conditions.values import json_of, pick, picks, reason, unfit
from magsag.domain.condition import ConditionFailed, ConditionInvalid


class CelConditions:
    """Compiles expressions; one object for all, since it keeps what is costly to make."""

    def __init__(self) -> None:
        self._loaded: tuple[Any, TypeCheck] | None = None

    def compile(self, source: str, types: Mapping[str, object]) -> "CelCondition":
        """See `domain.condition.Conditions`."""
        environment, check = self._load()
        try:
            expression = environment.compile(source, disable_check=True)
            tree = read_tree(expression.serialize())
        except Exception as error:
            column, message = complaints(source, str(error))[0]
            raise ConditionInvalid(message, column) from None
        reading = Reading(source, tree, types)
        kinds = check.kinds(source, reading) if reading.calculates else reading.kinds
        return CelCondition(source, reading, kinds, expression.eval)

    def _load(self) -> tuple[Any, TypeCheck]:
        if self._loaded is None:
            from cel_expr_python import cel

            self._loaded = cel.NewEnv(), TypeCheck(cel)
        return self._loaded


class CelCondition:
    """One compiled expression; see `domain.condition.CheckedCondition`."""

    def __init__(
        self, source: str, reading: Reading, kinds: frozenset[str] | None, evaluate: Callable[..., Any]
    ) -> None:
        self.source: Final = source
        self.reads: Final = frozenset(reading.reads_at)
        self.reads_at: Final[Mapping[Path, int]] = reading.reads_at
        self.guards: Final = frozenset(reading.guards)
        self._evaluate = evaluate
        self.path: Final = reading.path
        self.kinds: Final = kinds
        self._picks = picks(reading)
        self._lists = frozenset(reading.lists)

    def value(self, names: Mapping[str, object]) -> object:
        """See `domain.condition.Condition`. The value of a bare path is handed on untouched."""
        try:
            return _follow(self.path, names) if self.path is not None else json_of(self._result(names))
        except ConditionFailed as failure:
            raise ConditionFailed(f"{self.source}: {failure}") from None

    def holds(self, names: Mapping[str, object]) -> bool:
        """See `domain.condition.Condition`."""
        try:
            if self.path is not None:
                return _boolean(_follow(self.path, names))
            result = self._result(names)
            if result.type().name() == "BOOL":
                return _boolean(result.plain_value())
            raise ConditionFailed(unfit(result, "true or false"))
        except ConditionFailed as failure:
            raise ConditionFailed(f"{self.source}: {failure}") from None

    def _result(self, names: Mapping[str, object]) -> Any:
        if self._lists and (wrong := demand_lists(self._lists, names)) is not None:
            raise ConditionFailed(wrong)
        try:
            return self._evaluate(data=pick(names, self._picks))
        except Exception as error:
            raise ConditionFailed(reason(str(error))) from None


def _follow(path: Path, names: Mapping[str, object]) -> object:
    """Read a bare path without the library, so that large values stay what they are."""
    value: object = names
    for depth, part in enumerate(path):
        if not isinstance(value, Mapping):
            raise ConditionFailed(f"`{'.'.join(path[:depth])}` is no object")
        if part not in value:
            raise ConditionFailed(f"there is no `{part}`" + (f" in `{'.'.join(path[:depth])}`" if depth else ""))
        value = value[part]
    return value


def _boolean(value: object) -> bool:
    if value is True or value is False:
        return value
    raise ConditionFailed("gives something else than true or false")
