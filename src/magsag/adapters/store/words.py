"""What a search sees of a fact: the words of its body and payloads, without the hashes."""

import re
from collections.abc import Iterator
from typing import Final

from pydantic_core import from_json

from magsag.domain.sealed import Sealed

_WORD: Final = re.compile(r"[^\W_]+")
_HIDDEN: Final = frozenset({"input_hash", "output_hash", "policy", "bundle", "seed", "schema", "child_head"})


def text_of(fact: Sealed) -> str:
    """Keys and values as plain text, one space between; what cannot be read is left out."""
    parts: list[str] = []
    for data in (fact.body, fact.input, fact.output):
        if data is not None:
            parts.extend(_words(_read(data)))
    return " ".join(parts)


def tokens(text: str) -> list[str]:
    """The words of a text, as a full-text index would cut it."""
    return [word.casefold() for word in _WORD.findall(text)]


def _read(data: bytes) -> object:
    try:
        value: object = from_json(data)
    except ValueError:
        return None
    return value


def _words(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key not in _HIDDEN:
                yield str(key)
                yield from _words(part)
    elif isinstance(value, list):
        for part in value:
            yield from _words(part)
    elif value is not None:
        yield str(value)
