"""Python of catalogs as syntax trees. Reads, never runs."""

import ast
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")
_TIMES: Final = 5


def parsed(source: str | bytes, path: str = "<unknown>") -> ast.Module:
    """As `ast.parse`, whatever other threads do. Raises SyntaxError, ValueError, RecursionError, MemoryError."""
    return undisturbed(lambda: ast.parse(source, path))


def undisturbed(build: Callable[[], T]) -> T:
    """What builds a tree, asked again when another thread got in its way.

    Two threads that build trees at once may confuse CPython 3.11, which then ends with a SystemError (its issue
    106905); the formatting of a traceback builds trees too.
    """
    for _ in range(_TIMES):
        try:
            return build()
        except SystemError:
            continue
    return build()
