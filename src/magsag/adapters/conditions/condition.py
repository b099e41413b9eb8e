"""One compiled expression: what is known of it, and how it is evaluated. What the errors of the library mean: `cel`."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from magsag.adapters.conditions.reading import Path, Reading, demand_lists
from magsag.adapters.conditions.values import json_of, pick, picks, reason, unfit
from magsag.domain.condition import ConditionFailed


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
