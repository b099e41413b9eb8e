"""Several conditions in one evaluation: one list of truth values costs a third of as many single ones.

Only conditions that were compiled for the same types are put together, since types decide how numbers are handed
in. When the list cannot be evaluated each is asked alone, so that every one answers exactly as it would by itself.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from magsag.adapters.conditions.condition import CelCondition, PathCondition
from magsag.domain.condition import Condition, ConditionFailed, ConditionInvalid

_Compile = Callable[[str, Mapping[str, object]], CelCondition | PathCondition]
_MOST: Final = 40
"""conditions in one list: the more there are, the more are asked again when one fails"""


class AtOnce:
    """Conditions that answer together."""

    def __init__(self, conditions: Sequence[Condition], compile: _Compile) -> None:
        self._conditions: Final = tuple(conditions)
        self._lists: list[tuple[CelCondition, list[int]]] = []
        self._single: list[int] = []
        groups: list[tuple[Mapping[str, object], list[int]]] = []
        for number, condition in enumerate(conditions):
            if not isinstance(condition, CelCondition):
                self._single.append(number)
                continue
            group = next((members for types, members in groups if types == condition.types), None)
            if group is None or len(group) == _MOST:
                groups.insert(0, (condition.types, [number]))
            else:
                group.append(number)
        for types, members in groups:
            self._gather(types, members, compile)

    def answers(self, names: Mapping[str, object]) -> list[bool | ConditionFailed]:
        """See `domain.condition.Several`."""
        told: list[bool | ConditionFailed] = [False] * len(self._conditions)
        for number in self._single:
            told[number] = self._alone(number, names)
        for asked, members in self._lists:
            truths = asked.truths(names)
            if truths is None or len(truths) != len(members):
                for number in members:
                    told[number] = self._alone(number, names)
            else:
                for number, truth in zip(members, truths, strict=True):
                    told[number] = truth is True
        return told

    def _gather(self, types: Mapping[str, object], members: list[int], compile: _Compile) -> None:
        """One list of a group; what does not compile as a list, as for its depth, is asked one by one."""
        if len(members) > 1:
            parts = [f"(({self._conditions[number].source}\n) ? true : false)" for number in members]
            try:
                asked = compile(f"[{', '.join(parts)}]", types)
            except ConditionInvalid:
                asked = None
            if isinstance(asked, CelCondition):
                self._lists.append((asked, members))
                return
        self._single.extend(members)

    def _alone(self, number: int, names: Mapping[str, object]) -> bool | ConditionFailed:
        try:
            return self._conditions[number].holds(names)
        except ConditionFailed as failure:
            return failure
        except Exception as error:  # the library's own; a condition that breaks must not hold
            return ConditionFailed(f"{type(error).__name__}: {error}")
