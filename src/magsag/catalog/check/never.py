"""Whether a condition is false for every value that the contracts allow.

Sound, not complete: it reads comparisons of one field with constants, joined by `&&`, `||` and `!`, and takes
everything else as possibly true. So it never raises a false alarm. A conjunction is impossible when no value
of some field fits both its schema and all comparisons.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from magsag.catalog.check.cel_tokens import Token, depths, is_group, split, tokens_of, unwrapped
from magsag.catalog.check.domains import Path, Schemas, is_possible, required_at, root_of, schemas_at, sizes
from magsag.domain.frozen import frozen

_MOST: Final = 64
"""alternatives that are looked at; more count as possible"""
_LONGEST: Final = 2000
_RELATIONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
_OPPOSITE: Final = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">", "in": "not in", "not in": "in"}
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_SIZE: Final = "size()"
"""stands at the end of a path for the size of what is there"""
_WORDS: Final = {"true": True, "false": False, "null": None}


class Literal(NamedTuple):
    """A constant, or with `in` a list of them."""

    value: Any


@frozen
class Comparison:
    """`path sign value`; the sign may also be `has` and `has not`."""

    path: Path
    sign: str
    value: Any = None


@frozen
class Fixed:
    """What does not depend on any value."""

    holds: bool


Atom = Comparison | Fixed | None
"""None: nothing is known of it"""
Alternatives = list[list[Atom]]
"""a disjunction of conjunctions"""


def is_never_true(source: str, roots: Mapping[Path, Schemas]) -> bool:
    """Whether the condition cannot be true. `roots` maps known paths, e.g. `("input",)`, to their schemas."""
    tokens = tokens_of(source) if len(source) <= _LONGEST else None
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
    of_size = path[-1] == _SIZE
    schemas, rest = root_of(path[:-1] if of_size else path, roots)
    signs = {test.sign for test in tests}
    if "has not" in signs and ("has" in signs or (schemas and rest and required_at(schemas, rest))):
        return False
    compared = [(test.sign, test.value) for test in tests if test.sign not in ("has", "has not")]
    if "has not" in signs and compared:
        return False
    found = schemas_at(schemas, rest)
    return is_possible(sizes(found) if of_size else found, compared)


def _alternatives(tokens: list[Token], wanted: bool) -> Alternatives | None:
    """When the tokens are `wanted`; None where there are too many ways to look at."""
    tokens = unwrapped(tokens)
    if not tokens:
        return [[None]]
    if (choice := _choice(tokens)) is not None:
        return _of_choice(*choice, wanted)
    for sign, joins in (("||", not wanted), ("&&", wanted)):
        parts = split(tokens, sign)
        if len(parts) > 1:
            return _joined(parts, wanted) if joins else _either(parts, wanted)
    if tokens[0].text == "!" and _is_single(tokens[1:]):
        return _alternatives(tokens[1:], not wanted)
    return [[_atom(tokens, wanted)]]


def _choice(tokens: list[Token]) -> tuple[list[Token], list[Token], list[Token]] | None:
    """The three parts of `a ? b : c`."""
    outer = [(index, token.text) for index, (token, depth) in enumerate(depths(tokens)) if depth == 0]
    first = next((index for index, text in outer if text == "?"), None)
    if first is None:
        return None
    level = 0
    for index, text in outer:
        level += (text == "?") - (text == ":")
        if index > first and text == ":" and level == 0:
            return tokens[:first], tokens[first + 1 : index], tokens[index + 1 :]
    return tokens, [], []


def _of_choice(test: list[Token], then: list[Token], other: list[Token], wanted: bool) -> Alternatives | None:
    if not then:
        return [[None]]
    ways: Alternatives = []
    for condition, result in ((True, then), (False, other)):
        before, after = _alternatives(test, condition), _alternatives(result, wanted)
        if before is None or after is None or len(before) * len(after) + len(ways) > _MOST:
            return None
        ways += [one + two for one in before for two in after]
    return ways


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
    at = [index for index, (token, depth) in enumerate(depths(tokens)) if depth == 0 and token.text in _RELATIONS]
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
    tokens = unwrapped(tokens)
    if len(tokens) > 1 and tokens[0].text == "-" and tokens[1].kind == "number" and len(tokens) == 2:
        return Literal(-_number(tokens[1].text))
    if len(tokens) == 1 and (found := _scalar(tokens[0])) is not None:
        return found
    if tokens and tokens[0].text == "[" and tokens[-1].text == "]":
        items = [_operand(part) for part in split(tokens[1:-1], ",")] if len(tokens) > 2 else []
        if all(isinstance(item, Literal) and not isinstance(item.value, list) for item in items):
            return Literal([item.value for item in items if isinstance(item, Literal)])
        return None
    if len(tokens) > 3 and [token.text for token in tokens[:2]] == ["size", "("] and is_group(tokens[1:]):
        return _size_of(_operand(tokens[2:-1]))
    if len(tokens) > 4 and [token.text for token in tokens[-4:]] == [".", "size", "(", ")"]:
        return _size_of(_operand(tokens[:-4]))
    names, dots = tokens[::2], tokens[1::2]
    is_path = len(tokens) % 2 == 1 and all(name.kind == "name" and name.text not in _WORDS for name in names)
    return tuple(name.text for name in names) if is_path and all(dot.text == "." for dot in dots) else None


def _size_of(operand: Path | Literal | None) -> Path | None:
    return None if operand is None or isinstance(operand, Literal) else (*operand, _SIZE)


def _scalar(token: Token) -> Literal | None:
    if token.kind == "number":
        return Literal(_number(token.text))
    if token.kind == "text":
        return Literal(token.text[1:-1])
    return Literal(_WORDS[token.text]) if token.text in _WORDS else None


def _number(text: str) -> int | float:
    return int(text) if text.isdigit() else float(text)


def _is_single(tokens: list[Token]) -> bool:
    """Whether `!` before these tokens means all of them: a group, a path, a constant, or `has(...)`."""
    if not tokens:
        return False
    if tokens[0].text == "has":
        return len(tokens) > 2 and is_group(tokens[1:])
    return (tokens[0].text == "(" and is_group(tokens)) or _operand(tokens) is not None
