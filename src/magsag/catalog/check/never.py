"""Whether a condition is false for every value that the contracts allow.

Sound, not complete: it reads comparisons of one field with constants, joined by `&&`, `||` and `!`, and takes
everything else as possibly true. So it never raises a false alarm. A conjunction is impossible when no value
of some field fits both its schema and all comparisons.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from magsag.catalog.check.domains import Schemas, is_possible, required_at, schemas_at

Path = tuple[str, ...]
_MOST: Final = 64
"""alternatives that are looked at; more count as possible"""
_LONGEST: Final = 2000
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.]))
    |(?P<text>"[^"\\\n]*"|'[^'\\\n]*')
    |(?P<name>[A-Za-z_]\w*)
    |(?P<sign>==|!=|<=|>=|&&|\|\||[<>!()\[\],.?:+\-*/%]))""",
    re.VERBOSE,
)
_RELATIONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
_OPPOSITE: Final = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">", "in": "not in", "not in": "in"}
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_WORDS: Final = {"true": True, "false": False, "null": None}


class Token(NamedTuple):
    kind: str
    text: str


class Literal(NamedTuple):
    """A constant, or with `in` a list of them."""

    value: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """`path sign value`; the sign may also be `has` and `has not`."""

    path: Path
    sign: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Fixed:
    """What does not depend on any value."""

    holds: bool


Atom = Comparison | Fixed | None
"""None: nothing is known of it"""
Alternatives = list[list[Atom]]
"""a disjunction of conjunctions"""


def is_never_true(source: str, roots: Mapping[Path, Schemas]) -> bool:
    """Whether the condition cannot be true. `roots` maps known paths, e.g. `("input",)`, to their schemas."""
    tokens = _tokens(source) if len(source) <= _LONGEST else None
    if tokens is None:
        return False
    alternatives = _alternatives(tokens, True)
    return alternatives is not None and not any(_can_hold(atoms, roots) for atoms in alternatives)


def _can_hold(atoms: list[Atom], roots: Mapping[Path, Schemas]) -> bool:
    tests: dict[Path, list[Comparison]] = {}
    for atom in atoms:
        if isinstance(atom, Fixed) and not atom.holds:
            return False
        if isinstance(atom, Comparison):
            tests.setdefault(atom.path, []).append(atom)
    return all(_is_possible(path, found, roots) for path, found in tests.items())


def _is_possible(path: Path, tests: list[Comparison], roots: Mapping[Path, Schemas]) -> bool:
    root, schemas, rest = _root(path, roots)
    signs = {test.sign for test in tests}
    if "has not" in signs and ("has" in signs or (root and rest and required_at(schemas, rest))):
        return False
    compared = [(test.sign, test.value) for test in tests if test.sign not in ("has", "has not")]
    if "has not" in signs and compared:
        return False
    return is_possible(schemas_at(schemas, rest), compared)


def _root(path: Path, roots: Mapping[Path, Schemas]) -> tuple[Path, Schemas, Path]:
    for length in range(len(path), 0, -1):
        if path[:length] in roots:
            return path[:length], roots[path[:length]], path[length:]
    return (), [], path


def _alternatives(tokens: list[Token], wanted: bool) -> Alternatives | None:
    """When the tokens are `wanted`; None where there are too many ways to look at."""
    tokens = _unwrapped(tokens)
    if not tokens or any(token.text == "?" for token, depth in _depths(tokens) if depth == 0):
        return [[None]]
    for sign, joins in (("||", not wanted), ("&&", wanted)):
        parts = _split(tokens, sign)
        if len(parts) > 1:
            return _joined(parts, wanted) if joins else _either(parts, wanted)
    if tokens[0].text == "!" and _is_single(tokens[1:]):
        return _alternatives(tokens[1:], not wanted)
    return [[_atom(tokens, wanted)]]


def _either(parts: list[list[Token]], wanted: bool) -> Alternatives | None:
    found: Alternatives = []
    for part in parts:
        ways = _alternatives(part, wanted)
        if ways is None or len(found) + len(ways) > _MOST:
            return None
        found += ways
    return found


def _joined(parts: list[list[Token]], wanted: bool) -> Alternatives | None:
    found: Alternatives = [[]]
    for part in parts:
        ways = _alternatives(part, wanted)
        if ways is None or len(found) * len(ways) > _MOST:
            return None
        found = [before + after for before in found for after in ways]
    return found


def _atom(tokens: list[Token], wanted: bool) -> Atom:
    at = [index for index, (token, depth) in enumerate(_depths(tokens)) if depth == 0 and token.text in _RELATIONS]
    if len(at) > 1:
        return None
    if not at:
        return _truth(tokens, wanted)
    sign = tokens[at[0]].text
    left, right = _operand(tokens[: at[0]]), _operand(tokens[at[0] + 1 :])
    if isinstance(left, Literal) and isinstance(right, Literal):
        return _constant(left.value, sign, right.value, wanted)
    if isinstance(left, Literal) and isinstance(right, tuple) and sign != "in":
        left, sign, right = right, _MIRRORED[sign], left
    if not isinstance(left, tuple) or isinstance(left, Literal) or not isinstance(right, Literal):
        return None
    if isinstance(right.value, list) != (sign == "in"):
        return None
    return Comparison(left, sign if wanted else _OPPOSITE[sign], right.value)


def _truth(tokens: list[Token], wanted: bool) -> Atom:
    """A constant, a boolean field or `has(path)`."""
    operand = _operand(tokens)
    if isinstance(operand, Literal):
        return Fixed(operand.value is wanted) if isinstance(operand.value, bool) else None
    if operand is not None:
        return Comparison(operand, "==", wanted)
    if tokens[0].text == "has" and len(tokens) > 3 and tokens[1].text == "(" and tokens[-1].text == ")":
        path = _operand(tokens[2:-1])
        if path is not None and not isinstance(path, Literal):
            return Comparison(path, "has" if wanted else "has not")
    return None


def _constant(left: Any, sign: str, right: Any, wanted: bool) -> Atom:
    if isinstance(left, list) or isinstance(right, list) != (sign == "in"):
        return None
    return Fixed(is_possible([{"const": left}], [(sign if wanted else _OPPOSITE[sign], right)]))


def _operand(tokens: list[Token]) -> Path | Literal | None:
    """A path, a constant or a list of constants; None for anything else."""
    tokens = _unwrapped(tokens)
    if len(tokens) > 1 and tokens[0].text == "-" and tokens[1].kind == "number" and len(tokens) == 2:
        return Literal(-_number(tokens[1].text))
    if len(tokens) == 1 and (found := _scalar(tokens[0])) is not None:
        return found
    if tokens and tokens[0].text == "[" and tokens[-1].text == "]":
        items = [_operand(part) for part in _split(tokens[1:-1], ",")] if len(tokens) > 2 else []
        if all(isinstance(item, Literal) and not isinstance(item.value, list) for item in items):
            return Literal([item.value for item in items if isinstance(item, Literal)])
        return None
    names, dots = tokens[::2], tokens[1::2]
    is_path = len(tokens) % 2 == 1 and all(name.kind == "name" and name.text not in _WORDS for name in names)
    return tuple(name.text for name in names) if is_path and all(dot.text == "." for dot in dots) else None


def _scalar(token: Token) -> Literal | None:
    if token.kind == "number":
        return Literal(_number(token.text))
    if token.kind == "text":
        return Literal(token.text[1:-1])
    return Literal(_WORDS[token.text]) if token.text in _WORDS else None


def _number(text: str) -> int | float:
    return int(text) if text.isdigit() else float(text)


def _tokens(source: str) -> list[Token] | None:
    """None for text that is not wholly understood, such as escapes and other number forms."""
    found: list[Token] = []
    at, source = 0, source.rstrip()
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None or match.lastgroup is None:
            return None
        text = match[match.lastgroup]
        is_prefix = match.lastgroup == "name" and source[match.end() : match.end() + 1] in ("'", '"')
        is_long = match.lastgroup == "text" and len(text) == 2 and source[match.end() : match.end() + 1] == text[0]
        if is_prefix or is_long:
            return None
        found.append(Token(match.lastgroup, text))
        at = match.end()
    return found


def _depths(tokens: list[Token]) -> list[tuple[Token, int]]:
    """Each token with the brackets open around it; a bracket counts as inside."""
    found, depth = [], 0
    for token in tokens:
        depth += token.text in ("(", "[") and token.kind == "sign"
        found.append((token, depth))
        depth -= token.text in (")", "]") and token.kind == "sign"
    return found


def _split(tokens: list[Token], sign: str) -> list[list[Token]]:
    parts: list[list[Token]] = [[]]
    for token, depth in _depths(tokens):
        if depth == 0 and token == Token("sign", sign):
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _unwrapped(tokens: list[Token]) -> list[Token]:
    while len(tokens) > 2 and tokens[0] == Token("sign", "(") and _is_group(tokens):
        tokens = tokens[1:-1]
    return tokens


def _is_group(tokens: list[Token]) -> bool:
    """Whether the first bracket closes with the last token."""
    depths = [depth for _, depth in _depths(tokens)]
    return tokens[-1].text == ")" and all(depth >= 1 for depth in depths)


def _is_single(tokens: list[Token]) -> bool:
    """Whether `!` before these tokens means all of them: a group, a path, a constant, or `has(...)`."""
    if not tokens:
        return False
    if tokens[0].text == "has":
        return len(tokens) > 2 and _is_group(tokens[1:])
    return (tokens[0].text == "(" and _is_group(tokens)) or _operand(tokens) is not None
