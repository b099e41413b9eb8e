"""Reads secrets beside the event loop where that may take long: a keyring asks somebody, a disk may be far away.

Decides which of two readings counts that overlapped while a secret was changed: the one that began last. So nobody is
handed an older value than somebody was before, and the record never has a change that was none.
"""

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


class SecretReads:
    """Readings for all runs of this process."""

    def __init__(self, source: Secrets) -> None:
        self._source = source
        self._begun = 0
        self._newest: dict[str, tuple[int, Answer]] = {}
        """by reference: the number of the reading that began last of those that are over, and what it gave"""

    def may_wait(self, texts: Collection[str]) -> bool:
        """Whether reading these may take long."""
        return any(self._source.may_wait(reference_of(text)) for text in texts)

    def is_read(self, text: str) -> bool:
        """Whether this process has read the reference, or tried to."""
        return str(reference_of(text)) in self._newest

    async def read(self, texts: Collection[str]) -> Mapping[str, Answer]:
        """By reference as it is written: the value as it is now. Waits for nothing when nothing can take long."""
        self._begun = number = self._begun + 1
        references = {text: reference_of(text) for text in texts}
        slow = {text: one for text, one in references.items() if self._source.may_wait(one)}
        answers = {text: self._answer(one) for text, one in references.items() if text not in slow}
        if slow:
            answers |= await aside(lambda: {text: self._answer(one) for text, one in slow.items()})
        return {text: self._newer(str(references[text]), number, one) for text, one in answers.items()}

    def _answer(self, reference: SecretReference) -> Answer:
        try:
            value = self._source.read(reference)
            return Had(value, self._source.version(value))
        except Invalid as error:
            return error

    def _newer(self, reference: str, number: int, answer: Answer) -> Answer:
        known = self._newest.get(reference)
        if known is not None and known[0] > number:
            return known[1]
        self._newest[reference] = number, answer
        return answer
