"""Reads secrets beside the event loop where that may take long: a keyring asks somebody, a disk may be far away.

Decides which of two readings counts that overlapped while a secret was changed: the one that began last. So nobody is
handed an older value than somebody was before, and the record never has a change that was none. One that gave nothing
counts less than one that overlapped it and gave a value.
"""

import asyncio
from collections.abc import Collection, Mapping
from typing import NamedTuple

from magsag.domain.errors import Invalid
from magsag.domain.secret import SecretReference, reference_of
from magsag.ports.secrets import Secrets
from magsag.services.steps.threads import aside


class Had(NamedTuple):
    """A secret as it was read."""

    value: str
    version: str


Answer = Had | Invalid
"""what a reading gave, or why it gave nothing"""


class _Reading(NamedTuple):
    """One that is over."""

    number: int
    """readings are counted as they begin"""
    before: int
    """the number of the last one that had begun when this one ended: those overlapped it"""
    gave: Answer


class SecretReads:
    """Readings for all runs of this process."""

    def __init__(self, source: Secrets) -> None:
        self._source = source
        self._begun = 0
        self._newest: dict[str, _Reading] = {}
        """by reference: the reading that counts of those that are over"""

    def may_wait(self, texts: Collection[str]) -> bool:
        """Whether reading these may take long."""
        return any(self._source.may_wait(reference_of(text)) for text in texts)

    def is_read(self, text: str) -> bool:
        """Whether this process has read the reference, or tried to."""
        return str(reference_of(text)) in self._newest

    async def read(self, texts: Collection[str]) -> Mapping[str, Answer]:
        """By reference as it is written: the value as it is now. Waits for nothing when nothing can take long.

        Those that may are read side by side: what has no answer holds up none but itself.
        """
        self._begun = number = self._begun + 1
        references = {text: reference_of(text) for text in texts}
        slow = {text: one for text, one in references.items() if self._source.may_wait(one)}
        answers = {text: self._answer(one) for text, one in references.items() if text not in slow}
        if slow:
            given = await asyncio.gather(*(aside(self._answer, one) for one in slow.values()))
            answers |= dict(zip(slow, given, strict=True))
        return {text: self._newer(str(references[text]), number, one) for text, one in answers.items()}

    def _answer(self, reference: SecretReference) -> Answer:
        try:
            value = self._source.read(reference)
            return Had(value, self._source.version(value))
        except Invalid as error:
            return error

    def _newer(self, reference: str, number: int, answer: Answer) -> Answer:
        known = self._newest.get(reference)
        if known is not None and _counts(known, number, answer):
            return known.gave
        self._newest[reference] = _Reading(number, self._begun, answer)
        return answer


def _counts(known: _Reading, number: int, answer: Answer) -> bool:
    """Whether the known reading counts, rather than the one of this number that has just ended."""
    if isinstance(known.gave, Had) is not isinstance(answer, Had):
        return isinstance(known.gave, Had) and number <= known.before
    return known.number > number
