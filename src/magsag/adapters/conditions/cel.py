"""Conditions in CEL, by Google's library; with `checking` and `values` the only files that touch it.

Traps that are closed here: errors come back as values whose plain form is a text, and texts are true in
Python, so nothing but a boolean of the library's own type ever holds; its null, made plain, gives away a
reference that it does not own (on Python 3.11 the interpreter dies of it), so nulls are never made plain;
objects come back in an order that changes, so they are sorted; what JSON cannot say is an error. The library
is imported with the first expression that is more than a bare path.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from magsag.adapters.conditions.checking import TypeCheck, complaints
from magsag.adapters.conditions.reading import Path, Reading, demand_lists
from magsag.adapters.conditions.tree import path_tree, read_tree
from magsag.adapters.conditions.values import json_of, pick, picks, reason, unfit
from magsag.domain.condition import Condition, ConditionFailed, ConditionInvalid, Several


class CelConditions:
    """Compiles expressions; one object for all, since it keeps what is costly to make."""

    def __init__(self) -> None:
        self._loaded: tuple[Any, TypeCheck] | None = None

    def compile(self, source: str, types: Mapping[str, object]) -> "CelCondition | PathCondition":
        """See `domain.condition.Conditions`."""
        if (path := path_tree(source)) is not None:
            reading = Reading(source, path, types)
            if reading.path is not None:
                return PathCondition(source, reading, reading.kinds)  # known without the library
        environment, check = self._load()
        try:
            expression = environment.compile(source, disable_check=True)
            tree = read_tree(expression.serialize())
        except Exception as error:
            column, message = complaints(source, str(error))[0]
            raise ConditionInvalid(message, column) from None
        reading = Reading(source, tree, types)
        if reading.path is not None:
            return PathCondition(source, reading, reading.kinds)
        kinds = check.kinds(source, reading) if reading.calculates else reading.kinds
        return CelCondition(source, reading, kinds, expression.eval, types)

    def together(self, conditions: Sequence[Condition]) -> Several:
        """See `domain.condition.Conditions`. Those that were compiled for the same types share one evaluation."""
        from magsag.adapters.conditions.several import AtOnce

        return AtOnce(conditions, self.compile)

    def _load(self) -> tuple[Any, TypeCheck]:
        if self._loaded is None:
            from cel_expr_python import cel

            self._loaded = cel.NewEnv(), TypeCheck(cel)
        return self._loaded


class _Checked:
    """What is known of an expression whatever evaluates it."""

    def __init__(self, source: str, reading: Reading, kinds: frozenset[str] | None) -> None:
        self.source: Final = source
        self.path: Final = reading.path
        self.kinds: Final = kinds
        self.reads: Final = frozenset(reading.reads_at)
        self.reads_at: Final[Mapping[Path, int]] = reading.reads_at
        self.guards: Final = frozenset(reading.guards)


class PathCondition(_Checked):
    """A bare path, read without the library: its value is handed on untouched, however large."""

    def value(self, names: Mapping[str, object]) -> object:
        """See `domain.condition.Condition`."""
        value: object = names
        path = self.path or ()
        for depth, part in enumerate(path):
            if not isinstance(value, Mapping):
                raise ConditionFailed(f"{self.source}: `{'.'.join(path[:depth])}` is no object")
            if part not in value:
                where = f" in `{'.'.join(path[:depth])}`" if depth else ""
                raise ConditionFailed(f"{self.source}: there is no `{part}`{where}")
            value = value[part]
        return value

    def holds(self, names: Mapping[str, object]) -> bool:
        """See `domain.condition.Condition`."""
        value = self.value(names)
        if value is True or value is False:
            return value
        raise ConditionFailed(f"{self.source}: is neither true nor false")


class CelCondition(_Checked):
    """An expression that the library evaluates."""

    def __init__(
        self,
        source: str,
        reading: Reading,
        kinds: frozenset[str] | None,
        evaluate: Callable[..., Any],
        types: Mapping[str, object],
    ) -> None:
        super().__init__(source, reading, kinds)
        self.types: Final = types
        self._evaluate = evaluate
        self._picks = picks(reading)
        self._lists = frozenset(reading.lists)

    def value(self, names: Mapping[str, object]) -> object:
        """See `domain.condition.Condition`."""
        try:
            return json_of(self._result(names))
        except ConditionFailed as failure:
            raise ConditionFailed(f"{self.source}: {failure}") from None

    def holds(self, names: Mapping[str, object]) -> bool:
        """See `domain.condition.Condition`."""
        try:
            result = self._result(names)
            if result.type().name() != "BOOL":
                raise ConditionFailed(unfit(result, "true or false"))
            return result.plain_value() is True
        except ConditionFailed as failure:
            raise ConditionFailed(f"{self.source}: {failure}") from None

    def truths(self, names: Mapping[str, object]) -> list[bool] | None:
        """Of a list that holds nothing but booleans: its items; None when it cannot be evaluated."""
        try:
            result = self._result(names)
        except ConditionFailed:
            return None
        if not result.type().name().startswith("LIST"):
            return None
        found: list[bool] = result.plain_value()
        return found

    def _result(self, names: Mapping[str, object]) -> Any:
        if self._lists and (wrong := demand_lists(self._lists, names)) is not None:
            raise ConditionFailed(wrong)
        try:
            return self._evaluate(data=pick(names, self._picks))
        except Exception as error:
            raise ConditionFailed(reason(str(error))) from None
