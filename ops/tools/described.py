"""Reads what the code says about itself: signatures, docstrings, and the line below a field.

Everything comes from the source text and from `inspect`; nothing is run beyond the import.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a class: as it is written, and the line below it."""

    name: str
    type: str
    default: str
    about: str


def summary(thing: type) -> str:
    """The first paragraph of a class's own docstring, on one line."""
    return " ".join(own_doc(thing).split("\n\n", maxsplit=1)[0].split())


def own_doc(thing: type) -> str:
    """The docstring written in this class, none of a parent's or of a generated one."""
    written = thing.__dict__.get("__doc__") or ""
    return "" if written.startswith(f"{thing.__name__}(") else inspect.cleandoc(written)


def fields_of(thing: type) -> list[Field]:
    """The public fields that the class itself writes down, in their order."""
    body = _class_body(thing)
    found = []
    for index, node in enumerate(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and not node.target.id.startswith("_"):
            below = body[index + 1] if index + 1 < len(body) else None
            default = "" if node.value is None else ast.unparse(node.value)
            found.append(Field(node.target.id, ast.unparse(node.annotation), default, _text(below)))
    return found


def _class_body(thing: type) -> list[ast.stmt]:
    (node,) = ast.parse(_source(thing)).body
    assert isinstance(node, ast.ClassDef)
    return node.body


def _source(thing: Any) -> str:
    return textwrap.dedent(inspect.getsource(thing))


def _text(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return ""


def verbs_of(thing: type) -> Iterator[tuple[str, str, str]]:
    """Name, signature as it is written, and docstring of each public function that the class itself defines."""
    for node in _class_body(thing):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node.name, _signature(node, _source(thing)), inspect.cleandoc(ast.get_docstring(node) or "")


def function_signature(function: Any) -> str:
    """The signature of a function as it is written."""
    (node,) = ast.parse(_source(function)).body
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return _signature(node, _source(function))


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef, source: str) -> str:
    """`await name(...) -> ...` or `name(...) -> ...`; a property is its name alone."""
    if any(isinstance(decorator, ast.Name) and decorator.id == "property" for decorator in node.decorator_list):
        return node.name
    lines = source.splitlines()[node.lineno - 1 : node.body[0].lineno]
    head = " ".join(line.strip() for line in lines).partition(f"def {node.name}")[2]
    head = re.split(r":(?= (?:[\"']|r\"|\.\.\.|return))", head, maxsplit=1)[0]
    head = re.sub(r"\( ?(?:self|cls)(?:, )?", "(", head, count=1)
    return f"{'await ' if isinstance(node, ast.AsyncFunctionDef) else ''}{node.name}{head}".replace("( ", "(").replace(
        ", )", ")"
    )
