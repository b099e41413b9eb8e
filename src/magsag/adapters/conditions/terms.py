"""The meaning of an expression in the core's words: logic, comparisons, paths and literals; the rest is Other."""

from typing import Final

from magsag.adapters.conditions.tree import Call, Constant, Ident, Many, Select, Tree
from magsag.domain.condition import Literal, Operation, Other, Path, Term

_OPERATIONS: Final = {
    "_&&_": "&&",
    "_||_": "||",
    "!_": "!",
    "_==_": "==",
    "_!=_": "!=",
    "_<_": "<",
    "_<=_": "<=",
    "_>_": ">",
    "_>=_": ">=",
    "@in": "in",
}


def term_of(tree: Tree) -> Term:
    match tree:
        case Constant(value) if not isinstance(value, bytes):
            return Literal(value)
        case Ident(name):
            return Path((name,))
        case Select(operand, field, False):
            below = term_of(operand)
            return Path((*below.parts, field)) if isinstance(below, Path) else Other()
        case Many(parts, True) if all(isinstance(part, Constant) for part in parts):
            return Literal([part.value for part in parts if isinstance(part, Constant)])
        case Call(function, args) if function in _OPERATIONS:
            return Operation(_OPERATIONS[function], tuple(map(term_of, args)))
        case _:
            return Other()
