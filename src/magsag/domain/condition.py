"""Expressions, as the core sees them: compiled once at load, asked with names bound to JSON values."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from magsag.domain.errors import MagsagError


class ConditionInvalid(MagsagError):
    """An expression does not compile or does not fit the contracts. `column` counts from 1."""

    def __init__(self, message: str, column: int = 1) -> None:
        super().__init__(message)
        self.column = column


class ConditionFailed(MagsagError):
    """An expression could not be evaluated on these values: a missing key, a wrong type, too much work."""


class Condition(Protocol):
    """One compiled expression."""

    @property
    def source(self) -> str:
        """The expression as it was written."""

    @property
    def reads(self) -> frozenset[tuple[str, ...]]:
        """The paths it reads, longest known part, e.g. `("steps", "draft", "text")`."""

    def value(self, names: Mapping[str, object]) -> object:
        """Evaluate; the result is JSON. Raises ConditionFailed."""

    def holds(self, names: Mapping[str, object]) -> bool:
        """Evaluate to exactly true or false. Raises ConditionFailed, also for any other result."""


class CheckedCondition(Condition, Protocol):
    """A condition with what its compiler found out about it."""

    @property
    def guards(self) -> frozenset[tuple[str, ...]]:
        """The paths that it asks `has(...)` of."""

    @property
    def reads_at(self) -> Mapping[tuple[str, ...], int]:
        """Each path of `reads` with the column where it first stands."""

    @property
    def path(self) -> tuple[str, ...] | None:
        """The one path that it reads, when it is nothing else."""

    @property
    def kinds(self) -> frozenset[str] | None:
        """The JSON types that its value may have, as in JSON Schema; None where that cannot be told."""


class Several(Protocol):
    """Conditions that are asked at once, which is cheaper."""

    def answers(self, names: Mapping[str, object]) -> list[bool | ConditionFailed]:
        """What `holds` of each says, in order; one that raises ConditionFailed answers with it."""


class Conditions(Protocol):
    """Compiles expressions."""

    def together(self, conditions: Sequence[Condition]) -> Several:
        """Make one question of conditions that this object has compiled."""

    def compile(self, source: str, types: Mapping[str, object]) -> CheckedCondition:
        """Compile and type-check.

        `types` maps each known name to its JSON Schema (a dict, or a `domain.shapes.Shape` of a part of one), or
        to None where nothing is known of it.
        A name that is not in `types`, a field that a schema excludes: ConditionInvalid with the column.
        """
