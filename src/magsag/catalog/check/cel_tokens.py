"""The text of an expression as tokens, as far as comparisons with constants need it; not a parser of CEL."""

import re
from typing import Final, NamedTuple

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.]))
    |(?P<text>"[^"\\\n]*"|'[^'\\\n]*')
    |(?P<name>[A-Za-z_]\w*)
    |(?P<sign>==|!=|<=|>=|&&|\|\||[<>!()\[\],.?:+\-*/%]))""",
    re.VERBOSE,
)


class Token(NamedTuple):
    kind: str
    text: str


def tokens_of(source: str) -> list[Token] | None:
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


def depths(tokens: list[Token]) -> list[tuple[Token, int]]:
    """Each token with the brackets open around it; a bracket counts as inside."""
    found, depth = [], 0
    for token in tokens:
        depth += token.text in ("(", "[") and token.kind == "sign"
        found.append((token, depth))
        depth -= token.text in (")", "]") and token.kind == "sign"
    return found


def split(tokens: list[Token], sign: str) -> list[list[Token]]:
    parts: list[list[Token]] = [[]]
    for token, depth in depths(tokens):
        if depth == 0 and token == Token("sign", sign):
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def unwrapped(tokens: list[Token]) -> list[Token]:
    while len(tokens) > 2 and tokens[0] == Token("sign", "(") and is_group(tokens):
        tokens = tokens[1:-1]
    return tokens


def is_group(tokens: list[Token]) -> bool:
    """Whether the first bracket closes with the last token."""
    inside = all(depth >= 1 for _, depth in depths(tokens))
    return tokens[-1].text == ")" and inside
