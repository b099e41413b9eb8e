"""What the Python of a skill reads of the environment past its `secrets`, and which variables are secrets at all.

A skill that shares its process with others can read every variable. What it takes so is neither on record nor masked.
"""

import ast
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from magsag.catalog.bundle import Bundle
from magsag.catalog.python_text import parsed
from magsag.domain.secret import reference_of

SECRET_NAME: Final = re.compile(r"(?i)(?:^|[_-])(?:password|passwd|secret|token|api_?key|private_?key)$")
_LOOKUPS: Final = frozenset({"get", "pop", "setdefault", "__getitem__"})


class Reading(NamedTuple):
    """One look at the environment."""

    line: int
    name: str | None
    """of the variable; None for all of them, or for one that the text does not name"""


def secret_variables(bundle: Bundle) -> frozenset[str]:
    """The variables that skills of the bundle name as their secrets."""
    skills = [entry.manifest for versions in bundle.skills.values() for entry in versions]
    found = [reference_of(text) for skill in skills for text in skill.secrets.values()]
    return frozenset(reference.name for reference in found if reference.source == "env")


def readings(text: str) -> list[Reading]:
    """In the order of the lines; nothing for text that is no Python."""
    try:
        tree = parsed(text)
    except (SyntaxError, ValueError):
        return []
    named = dict(_named(tree))
    whole = {
        id(node): Reading(node.lineno, None)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Name) and _is_environ(node) and id(node) not in named
    }
    found = {*(one for one in named.values() if one is not None), *whole.values()}
    return sorted(found, key=lambda one: (one.line, one.name or ""))


def _named(tree: ast.AST) -> Iterator[tuple[int, Reading | None]]:
    """By the node that stands for the environment: which variable is read there. Writing one reads none."""
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=owner, slice=key) if _is_environ(owner):
                is_read = isinstance(node.ctx, ast.Load)
                yield id(owner), Reading(node.lineno, _word(key)) if is_read else None
            case ast.Call(func=ast.Attribute(value=owner, attr=name), args=[key, *_]) if _is_environ(owner):
                if name in _LOOKUPS:
                    yield id(owner), Reading(node.lineno, _word(key))
            case ast.Compare(left=key, comparators=[owner]) if _is_environ(owner):
                yield id(owner), None
            case ast.Call(func=ast.Name("getenv") | ast.Attribute(value=ast.Name("os"), attr="getenv"), args=[key, *_]):
                yield id(node), Reading(node.lineno, _word(key))


def _is_environ(node: ast.AST) -> bool:
    match node:
        case ast.Attribute(value=ast.Name("os"), attr="environ" | "environb"):
            return True
        case ast.Name("environ" | "environb", ctx=ast.Load()):
            return True
    return False


def _word(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
