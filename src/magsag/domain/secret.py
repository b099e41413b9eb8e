"""References to secrets: where a value is found, never the value itself.

env:NAME            a variable of the environment
file:PATH           a file, relative to the project
keyring:SERVICE/NAME   an entry of the operating system's keyring
...?                the same, and it may be missing
"""

import re
from typing import Final, NamedTuple

from magsag.domain.errors import Invalid

SHORTEST: Final = 8
"""how many characters a secret has at least: a shorter one cannot be told from other words, and is refused"""
_REFERENCE: Final = re.compile(
    r"(?:(env):([A-Za-z_][A-Za-z0-9_]*)|(file):([^\0\n?]+)|(keyring):([^/\0\n]+/[^\0\n?]+))(\??)"
)


class NoAnswer(Invalid):
    """Whoever keeps a secret has not answered in time: there may be one, and nobody knows it."""


class SecretReference(NamedTuple):
    """Where a secret is found."""

    source: str
    """env, file or keyring"""
    name: str
    """of the variable, of the file, or `SERVICE/NAME`"""
    is_optional: bool = False

    def __str__(self) -> str:
        """As it is written, without the mark of an optional one: `env:MAIL_TOKEN`."""
        return f"{self.source}:{self.name}"


def reference_of(text: str) -> SecretReference:
    """Read a reference. Raises ValueError, in words that do not repeat the text: it may be the secret itself."""
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise ValueError(
            "a secret is named by where it is found, never by its value: write env:NAME, file:PATH or "
            "keyring:SERVICE/NAME, with a ? behind it when it may be missing"
        )
    env, variable, file, path, keyring, entry, optional = match.groups()
    return SecretReference(env or file or keyring, variable or path or entry, bool(optional))
