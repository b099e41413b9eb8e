"""Conditions in CEL, by Google's library; with `condition`, `checking` and `values` the only files that touch it.

Traps that are closed here: errors come back as values whose plain form is a text, and texts are true in
Python, so nothing but a boolean of the library's own type ever holds; its null, made plain, gives away a
reference that it does not own (on Python 3.11 the interpreter dies of it), so nulls are never made plain;
objects come back in an order that changes, so they are sorted; what JSON cannot say is an error. The library
is imported with the first expression that is more than a bare path.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from magsag.adapters.conditions.checking import TypeCheck, complaints
from magsag.adapters.conditions.condition import CelCondition, PathCondition
from magsag.adapters.conditions.reading import Reading
from magsag.adapters.conditions.tree import path_tree, read_tree
from magsag.domain.condition import Condition, ConditionInvalid, Several


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
