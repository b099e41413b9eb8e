"""Semantic versions and the ranges that references carry, with the rules of npm.

    1.2.3   1.2   =1.2.3   >=1.2  >1.2  <2  <=2   ^1.2.3   ~1.2   joined by space or comma (and) and by || (or)

A version with a pre-release (`2.0.0-rc.1`) fits a range only if the range names a pre-release of the same
three numbers. Source: semver.org 2.0.0, items 9 to 11, and the range grammar of npm's `semver`.
"""

import re
from functools import total_ordering
from operator import eq, ge, gt, le, lt
from typing import Any, Final, Self

from magsag.domain.frozen import frozen

_VERSION: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?")
_PART: Final = re.compile(r"(\^|~|>=|<=|>|<|=)?(\d+)(?:\.(\d+)(?:\.(\d+)(?:-([0-9A-Za-z.-]+))?)?)?")
_SPACED_SIGN: Final = re.compile(r"(\^|~|>=|<=|>|<|=)\s+")
_COMPARE: Final[dict[str, Any]] = {"=": eq, ">": gt, ">=": ge, "<": lt, "<=": le}


@total_ordering
@frozen
class SemVer:
    """One version; ordered by precedence."""

    numbers: tuple[int, int, int]
    pre: tuple[tuple[int, int, str], ...] = ()
    """identifiers of the pre-release, numbers before words; empty for a release"""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `1.2.3` or `1.2.3-rc.1`. Raises ValueError."""
        match = _VERSION.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no version: write three numbers, e.g. 1.2.0")
        return cls((int(match[1]), int(match[2]), int(match[3])), _identifiers(match[4]))

    def __lt__(self, other: "SemVer") -> bool:
        return (self.numbers, not self.pre, self.pre) < (other.numbers, not other.pre, other.pre)


_LOWEST: Final = ((0, 0, ""),)
"""the pre-release `-0`, below all others: an upper bound `<2.0.0-0` keeps 2.0.0's pre-releases out"""


@frozen
class Comparator:
    """One comparison with a version."""

    sign: str
    version: SemVer

    def holds(self, version: SemVer) -> bool:
        return bool(_COMPARE[self.sign](version, self.version))


@frozen
class Range:
    """Alternatives, each a list of comparisons that must all hold. Without any: every version."""

    source: str = ""
    alternatives: tuple[tuple[Comparator, ...], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a range. Raises ValueError, saying what to write instead."""
        return cls(text, tuple(_alternative(text, part) for part in text.split("||")))

    def matches(self, version: SemVer) -> bool:
        """Whether the version fits."""
        if not self.alternatives:
            return True
        return any(_fits(version, comparators) for comparators in self.alternatives)

    def admits(self, version: str) -> bool:
        """Whether an exact version in a reference fits; one that is none fits where any would."""
        if not self.alternatives:
            return True
        try:
            return self.matches(SemVer.parse(version))
        except ValueError:
            return False

    def best(self, versions: list[SemVer]) -> SemVer | None:
        """The newest version that fits; without a range the newest release, else the newest of all."""
        fitting = [version for version in versions if self.matches(version)]
        releases = [version for version in fitting if not version.pre]
        return max(releases if releases and not self.alternatives else fitting, default=None)


def _fits(version: SemVer, comparators: tuple[Comparator, ...]) -> bool:
    if not all(comparator.holds(version) for comparator in comparators):
        return False
    return not version.pre or any(
        comparator.version.pre and comparator.version.numbers == version.numbers for comparator in comparators
    )


def _alternative(text: str, part: str) -> tuple[Comparator, ...]:
    words = _SPACED_SIGN.sub(r"\1", part.replace(",", " ").strip()).split()
    if not words:
        raise ValueError(f"the range {text!r} has an empty part")
    return tuple(comparator for word in words for comparator in _comparators(word))


def _comparators(word: str) -> tuple[Comparator, ...]:
    match = _PART.fullmatch(word)
    if match is None:
        fix = "leave the range out for any version" if set(word) & set("*xX") else "write e.g. ^1.2, ~1.2.3 or >=1 <3"
        raise ValueError(f"{word!r} is no range: {fix}")
    sign, major, minor, patch = match[1] or "=", int(match[2]), _number(match[3]), _number(match[4])
    low = SemVer((major, minor or 0, patch or 0), _identifiers(match[5]))
    if sign == "^":
        return Comparator(">=", low), _below(_caret_top(major, minor, patch))
    if sign == "~" or (sign == "=" and patch is None):
        return Comparator(">=", low), _below((major + 1, 0, 0) if minor is None else (major, minor + 1, 0))
    if patch is None and sign in (">", "<="):
        top = (major + 1, 0, 0) if minor is None else (major, minor + 1, 0)
        return (Comparator(">=", SemVer(top)) if sign == ">" else _below(top),)
    if patch is None and sign == "<":
        return (_below(low.numbers),)
    return (Comparator(sign, low),)


def _caret_top(major: int, minor: int | None, patch: int | None) -> tuple[int, int, int]:
    """The first version that `^` excludes: the leftmost number that is not zero may not change."""
    if major > 0 or minor is None:
        return major + 1, 0, 0
    if minor > 0 or patch is None:
        return 0, minor + 1, 0
    return 0, 0, patch + 1


def _below(numbers: tuple[int, int, int]) -> Comparator:
    return Comparator("<", SemVer(numbers, _LOWEST))


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)


def _identifiers(text: str | None) -> tuple[tuple[int, int, str], ...]:
    if not text:
        return ()
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in text.split("."))
