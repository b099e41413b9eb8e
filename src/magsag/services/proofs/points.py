"""Where a process can be killed: the boundaries that a clean run crosses, and which of them a proof takes.

A boundary is named by what it is about, never by its number: commits hold more or less in each run, as time has it,
but a fact is in one of them in every run.
"""

import hashlib
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, Final

from magsag.domain.effects import EFFECTFUL, Effect
from magsag.domain.frozen import frozen

CREATION: Final = "RunStarted"


class Side(StrEnum):
    """On which side of something a process is killed."""

    BEFORE = "before"
    AFTER = "after"


class What(StrEnum):
    """What is crossed."""

    BUNDLE = "bundle"
    COMMIT = "commit"
    LEASE = "lease"
    ACT = "act"
    LOOKUP = "lookup"


@frozen
class Place:
    """One side of something that happens once in a process."""

    what: What
    side: Side
    name: str
    """of a commit: one of its facts, as `RUN KIND STEP`"""

    def __str__(self) -> str:
        names = {
            What.BUNDLE: "keeping the bundle",
            What.COMMIT: f"the commit of {self.name}",
            What.LEASE: f"taking the lease of {self.name}",
            What.ACT: f"the act of {self.name}",
            What.LOOKUP: f"the lookup of {self.name}",
        }
        return f"{self.side} {names[self.what]}"


@frozen
class Boundary:
    """One crossing, as a process noted it."""

    what: What
    side: Side
    names: tuple[str, ...]
    """all that it is about"""
    effect: str = ""
    """of an act"""
    target: str = ""
    """of an act"""
    is_real: bool = False
    """it is performed and not stood in for"""
    output: Any = None
    """of a real act, after it"""

    def is_at(self, place: Place) -> bool:
        """Whether this is where that place is."""
        return self.what is place.what and self.side is place.side and place.name in self.names


@frozen
class Point:
    """One kill of a proof."""

    number: int
    """from 1, in the order of the clean run"""
    place: Place
    first: Place | None = None
    """where a process is killed before, so that the next one comes to the place"""
    near_effect: bool = False

    def __str__(self) -> str:
        return str(self.place)


def points_of(crossed: Sequence[Boundary], again: Sequence[Boundary]) -> list[Point]:
    """The points of a program: what two clean runs both crossed, then the lease, which a second process takes."""
    common = {(one.what, one.side, name) for one in again for name in one.names}
    near = set(_near_effects(crossed))
    places: dict[Place, bool] = {}
    for index, one in enumerate(crossed):
        named = [name for name in one.names if (one.what, one.side, name) in common]
        if named:
            places.setdefault(Place(one.what, one.side, named[-1]), index in near)
    points = [Point(number, place, near_effect=close) for number, (place, close) in enumerate(places.items(), 1)]
    return points + list(_lease_points(crossed, len(points)))


def chosen(points: Sequence[Point], most: int | None, seed: int) -> list[Point]:
    """All points, or at most so many by a seed; those around each effect are among them in any case."""
    if most is None or len(points) <= most:
        return list(points)
    near = [point for point in points if point.near_effect]
    others = sorted((point for point in points if not point.near_effect), key=lambda point: _drawn(seed, point))
    return sorted([*near, *others[: max(0, most - len(near))]], key=lambda point: point.number)


def _drawn(seed: int, point: Point) -> bytes:
    return hashlib.sha256(f"{seed} {point.number}".encode()).digest()


def _near_effects(crossed: Sequence[Boundary]) -> Iterator[int]:
    """Three boundaries for each act with an effect: before it, after it, and after the commit of its outcome."""
    for index, one in enumerate(crossed):
        if one.what is not What.ACT or not one.effect or Effect(one.effect) not in EFFECTFUL:
            continue
        yield index
        if one.side is Side.AFTER:
            run, step = one.names[0].split(" ")[:2]
            ends = {f"{run} {kind} {step}" for kind in ("StepSucceeded", "StepFailed", "StepWillRetry")}
            yield from _first_commit(crossed, index, ends)


def _first_commit(crossed: Sequence[Boundary], start: int, names: set[str]) -> Iterator[int]:
    for index in range(start, len(crossed)):
        one = crossed[index]
        if one.what is What.COMMIT and one.side is Side.AFTER and names.intersection(map(unnumbered, one.names)):
            yield index
            return


def _lease_points(crossed: Sequence[Boundary], before: int) -> Iterator[Point]:
    """A run is created together with its first lease; a later lease is taken by the process that goes on."""
    created = next((name for one in crossed for name in one.names if unnumbered(name).endswith(CREATION)), None)
    if created is None:
        return
    first = Place(What.COMMIT, Side.AFTER, created)
    for number, side in enumerate(Side, before + 1):
        yield Point(number, Place(What.LEASE, side, created.split(" ")[0]), first)


def unnumbered(name: str) -> str:
    """The name of a boundary without the count behind it."""
    return name.partition(" #")[0]
