"""References: how a manifest names another one.

`agent:writer-sag@^1.2`, `skill:send-offer`, `flow:review`, `eval:quality`, `model:smart`; the long form
`magsag://sub.writer-sag@>=1` says the role of an agent too.
"""

import re
from difflib import get_close_matches
from typing import Final, Self

from magsag.catalog.versions import Range
from magsag.domain.errors import Invalid
from magsag.domain.frozen import frozen

CATALOG_KINDS: Final = ("agent", "skill", "flow", "eval")
"""what a catalog holds under a slug and a version"""
ANY_VERSION: Final = Range()
_LATER: Final = frozenset({"tool", "memory", "mcp", "route"})
_SHORT: Final = re.compile(r"([a-z]+):([^@\s]+)(?:@(.*))?")
_LONG: Final = re.compile(r"magsag://([a-z]+)\.([^@\s]+)(?:@(.*))?")
_SLUG: Final = re.compile(r"[a-z][a-z0-9-]*[a-z0-9]")
_ROLES: Final = ("main", "sub")


class BadReference(Invalid):
    """Text that names nothing; `fix` is the next move."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what}; {fix}")
        self.what = what
        self.fix = fix


@frozen
class Reference:
    """What is named, and which versions of it."""

    kind: str
    slug: str
    range: Range = ANY_VERSION
    role: str | None = None
    """of an agent, where the long form gave it"""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read either form. Raises BadReference."""
        match = _LONG.fullmatch(text) or _SHORT.fullmatch(text)
        if match is None:
            raise BadReference(
                f"{text!r} is no reference", "write kind:slug or kind:slug@range, e.g. skill:send-offer@^1"
            )
        kind, slug, range_text = match.groups()
        role = kind if text.startswith("magsag://") and kind in _ROLES else None
        kind = "agent" if role else kind
        _check(text, kind, slug)
        try:
            return cls(kind, slug, ANY_VERSION if range_text is None else Range.parse(range_text), role)
        except ValueError as error:
            raise BadReference(f"the version range of {text!r} cannot be read", str(error)) from error

    @property
    def name(self) -> str:
        """Without the range: `skill:send-offer`."""
        return f"{self.kind}:{self.slug}"

    @property
    def exact(self) -> str:
        """The one name that it means; see `policy.rules.Pattern`."""
        return self.name

    @property
    def prefix(self) -> str:
        """What every reference that it means begins with."""
        return self.name

    def matches(self, target: str) -> bool:
        """Whether an exact reference (`skill:send-offer@1.2.3`, `model:smart`) is meant."""
        name, _, version = target.partition("@")
        return name == self.name and self.range.admits(version)


def did_you_mean(word: str, known: list[str]) -> str:
    """`did you mean "x"?`, or an empty text where nothing is close."""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f'did you mean "{close[0]}"?' if close else ""


def _check(text: str, kind: str, slug: str) -> None:
    if "*" in slug:
        raise BadReference(
            f"{text!r} has a wildcard, which this version does not read", "name each one; only policies take one"
        )
    if kind in _LATER:
        raise BadReference(f"{kind} references are not enforced by this version, so {text!r} is refused", "remove it")
    if kind not in (*CATALOG_KINDS, "model", "shell", "call"):
        fix = did_you_mean(kind, [*CATALOG_KINDS, "model"]) or "the kinds are " + ", ".join((*CATALOG_KINDS, "model"))
        raise BadReference(f"{text!r} has the unknown kind {kind!r}", fix)
    if kind in CATALOG_KINDS and not _SLUG.fullmatch(slug):
        raise BadReference(f"{slug!r} is no slug", "slugs have small letters, digits and dashes, at least two")
