"""How a secret may look in a text: as it is, in base64, in hex, URL-encoded, escaped. Pure.

`needles` are what is looked for in all `views`: what a text says once its escapes are undone, so that a value that was
encoded only in part is seen as well. What is compressed, encrypted or cut into pieces is not seen.
"""

import html
import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from pydantic_core import to_json

from magsag.domain.secret import SHORTEST

_ESCAPE: Final = re.compile(
    r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|U(000[0-9a-fA-F]{5}|0010[0-9a-fA-F]{4})|[\"'\\/nrt])"
)
_SHORT: Final = {rf"\{letter}": letter for letter in "\"'\\/"} | {r"\n": "\n", r"\r": "\r", r"\t": "\t"}
_SURROGATES: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_SHORTEST_LINE: Final = 16
_LEAST_LETTERS: Final = 8
"""different ones that a line has if it is to count by itself"""
_ARMOUR: Final = re.compile(r"-----(?:BEGIN|END) [^-]*-----")
_NAMED: Final = re.compile(r"""[\s{[,"'-]*(?:export\s+)?[A-Za-z_][\w.-]*["']?\s*[:=](?!=)\s*(.+)""")
_ADDRESS: Final = re.compile(r"[a-z]+://[\w.-]+(?:/[\w.-]{0,12})*|[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
"""one that holds no key itself: of a service, of somebody"""


def needles(secret: str) -> frozenset[str]:
    """What to look for in every view.

    Of a secret with several lines each one that could be a secret counts by itself: 16 characters with variety. What
    other texts say as well, such as `-----BEGIN KEY-----` or `"type": "service_account"`, does not.
    """
    return frozenset(form for part in _parts(secret) for form in _plain_forms(part) if len(form) >= SHORTEST)


def forms(secret: str) -> frozenset[str]:
    """What to put the mask in the place of: the needles, and what stands for them where escapes are not undone."""
    escaped = (form for part in _parts(secret) for form in _escaped_forms(part) if len(form) >= SHORTEST)
    return needles(secret).union(escaped)


def views(text: str) -> Iterator[str]:
    """The text as it is first, then as it reads without its escapes and line breaks."""
    yield text
    if "%" in text:
        yield from _unquoted(text, 2 if "%25" in text else 1)
    elif "+" in text:
        yield text.replace("+", " ")
    if "\\" in text:
        once = _unescaped(text)
        yield once
        if "\\" in once:
            yield _unescaped(once)
    if "&" in text:
        yield html.unescape(text)
    joined = "".join(text.replace(r"\n", "").replace(r"\r", "").split())
    if len(joined) != len(text):
        yield joined


def _unquoted(text: str, times: int) -> Iterator[str]:
    """As it reads without the escapes of a URL, once, and twice where they are escaped themselves."""
    for _ in range(times):
        if "+" in text:
            yield unquote_plus(text)
        text = unquote(text)
        yield text


def _parts(secret: str) -> set[str]:
    lines = secret.splitlines()
    return {secret, *(part for line in lines for part in _parts_of_line(line))} if len(lines) > 1 else {secret}


def _parts_of_line(line: str) -> Iterator[str]:
    """The line, or of `name: value` the value alone, of which lines may be written as one: a key inside of JSON."""
    named = _NAMED.fullmatch(line)
    written = [line] if named is None else _unescaped(named[1].strip(" \t,;}]\"'")).splitlines()
    for part in written:
        bare = part.strip()
        is_known = _ARMOUR.fullmatch(bare) or (named is not None and _ADDRESS.fullmatch(bare))
        if not is_known and len(bare) >= _SHORTEST_LINE and len(set(bare)) >= _LEAST_LETTERS:
            yield bare


def _escaped_forms(part: str) -> Iterator[str]:
    data = part.encode("utf-8", "surrogatepass")
    yield quote(data, safe="")
    yield quote(data)
    yield quote_plus(data)
    yield to_json(part).decode()[1:-1]
    yield ascii(part)[1:-1]


def _plain_forms(part: str) -> Iterator[str]:
    data = part.encode("utf-8", "surrogatepass")
    yield part
    yield data.hex()
    yield data.hex().upper()
    yield repr(data)[2:-1]
    for shift in range(3):
        middle = _aligned(data, shift)
        yield middle
        yield middle.replace("+", "-").replace("/", "_")


def _aligned(data: bytes, shift: int) -> str:
    """The letters of its base64 that stand there whatever comes before and after it, `shift` bytes into a group."""
    text = b64encode(b"\0" * shift + data).decode().rstrip("=")
    first = (0, 2, 3)[shift]
    whole = (shift + len(data)) * 8 // 6
    return text[first:whole]


def _unescaped(text: str) -> str:
    def read(match: re.Match[str]) -> str:
        short = _SHORT.get(match[0])
        return chr(int(match[1] or match[2] or match[3], 16)) if short is None else short

    return _SURROGATES.sub(
        lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), _ESCAPE.sub(read, text)
    )
