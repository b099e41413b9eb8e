"""Keeps secrets out of what this process says: every value that it resolved is known here, and masked where it shows.

One for the whole process, since a secret must not leave by any door: neither by another run's output nor by a line
of the log. `[secret NAME]` stands in its place. What a text may hide: `domain.disguises`.
"""

from collections.abc import Mapping
from threading import Lock
from typing import Any, Final, NamedTuple

from magsag.domain.errors import Retryable, StepFailed

_LIGHT_CHARACTERS: Final = 32 * 1024
_LIGHT_PARTS: Final = 1_000


class Leak(NamedTuple):
    """Where a secret was found in a value."""

    name: str
    pointer: str
    """a JSON pointer to the text; empty for the value itself"""


class Mask:
    """The secrets that are known. Safe to use from any thread."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._needles: tuple[tuple[str, str], ...] = ()
        self._forms: tuple[tuple[str, str], ...] = ()
        """both with the name of the secret, the longest first"""
        self._lock = Lock()
        self._has_numbers = False
        """whether a number may hold one"""

    @property
    def size(self) -> int:
        """How many there are: what was clean when there were as many is clean still."""
        return len(self._known)

    def __bool__(self) -> bool:
        return bool(self._needles)

    def add(self, name: str, value: str) -> bool:
        """From here on this value is masked, whatever becomes of it; whether that is new."""
        with self._lock:
            if value in self._known:
                return False
            from magsag.domain.disguises import forms, needles

            self._forms = _with(self._forms, forms(value), name)
            self._needles = _with(self._needles, found := needles(value), name)
            self._has_numbers = self._has_numbers or any(form.isdecimal() for form in found)
            self._known = {**self._known, value: name}  # last: who counts it is sure that it is looked for
            return True

    def holder(self, text: str) -> str | None:
        """The name of a secret that the text holds in any form."""
        known = self._needles
        if not known:
            return None
        from magsag.domain.disguises import views

        return next((name for view in views(text) for form, name in known if form in view), None)

    def clean(self, text: str) -> str:
        """The text without secrets; where one shows only once escapes are undone, nothing is left of it."""
        if self.holder(text) is None:
            return text
        for form, name in self._forms:
            if form in text:
                text = text.replace(form, shown(name))
        hidden = self.holder(text)
        return text if hidden is None else shown(hidden)

    def cleaned(self, value: Any) -> Any:
        """The value with clean texts and keys; the value itself where there is nothing to clean.

        Raises StepFailed(invalid_value) for one that is nested deeper than any record, or holds itself.
        """
        return value if not self._needles or self.find(value) is None else self._copied(value)

    def find(self, value: object) -> Leak | None:
        """The first secret in a JSON value. Raises StepFailed as `cleaned` does."""
        if not self._needles:
            return None
        from magsag.domain.texts import BETWEEN, texts_of

        texts = texts_of(value, self._has_numbers) or ()
        return self._place(value) if self.holder(BETWEEN.join(texts)) is not None else None

    def is_light(self, value: object) -> bool:
        """Whether looking into the value takes about a millisecond at most. Raises StepFailed as `cleaned` does."""
        if not self._needles:
            return True
        from magsag.domain.texts import is_light

        return is_light(value, _LIGHT_CHARACTERS, _LIGHT_PARTS)

    def _place(self, value: object) -> Leak | None:
        """Part by part: which secret, and where."""
        stack: list[tuple[object, str]] = [(value, "")]
        while stack:
            item, pointer = stack.pop()
            text = self._text(item)
            if text is not None:
                if (name := self.holder(text)) is not None:
                    return Leak(name, pointer)
            elif isinstance(item, Mapping):
                for key, part in item.items():
                    if isinstance(key, str) and (name := self.holder(key)) is not None:
                        return Leak(name, pointer)
                    stack.append((part, f"{pointer}/{key}"))
            elif isinstance(item, list | tuple):
                stack.extend((part, f"{pointer}/{index}") for index, part in enumerate(item))
        return None

    def softened(self, error: Retryable | StepFailed) -> Retryable | StepFailed:
        """The error without secrets; the same one where it holds none."""
        details: Any = error.details if isinstance(error, StepFailed) else None
        message = self.clean(error.message)
        try:
            kept = self.cleaned(details)
        except StepFailed:
            kept = {}  # no record would have held it either
        if message == error.message and kept is details:
            return error
        if isinstance(error, StepFailed):
            return StepFailed(error.type, message, kept, error.step)
        return Retryable(error.type, message, error.retry_after_seconds)

    def _text(self, item: object) -> str | None:
        """What is looked at: a text, and the digits of a number where a secret is one."""
        if isinstance(item, str):
            return item
        if not self._has_numbers:
            return None
        from magsag.domain.texts import number_text

        return number_text(item)

    def _copied(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return self._copied_fields(value)
        if isinstance(value, list | tuple):
            return [self._copied(part) for part in value]
        text = self._text(value)
        return value if text is None or (clean := self.clean(text)) == text else clean

    def _copied_fields(self, value: Mapping[Any, Any]) -> dict[Any, Any]:
        """Keys that read the same without their secrets are told apart, since an outcome must not lose a part."""
        found: dict[Any, Any] = {}
        for key, part in value.items():
            clean = name = self.clean(key) if isinstance(key, str) else key
            count = 1
            while name in found:
                count += 1
                name = f"{clean} ({count})"
            found[name] = self._copied(part)
        return found


def _with(known: tuple[tuple[str, str], ...], new: frozenset[str], name: str) -> tuple[tuple[str, str], ...]:
    found = {**dict.fromkeys(new, name), **dict(known)}
    return tuple(sorted(found.items(), key=lambda one: (-len(one[0]), one[0])))


def shown(name: str) -> str:
    """What stands in the place of a secret."""
    return f"[secret {name}]"


RESOLVED: Final = Mask()
"""what this process has resolved; it forgets nothing, since what was rotated must not be told either"""
