"""The crash proof: two clean runs, then one trial for each boundary at which a process is killed.

What it proves: whatever the instant of a crash, the run ends as if there had been none, no effect happens silently a
second time, and the ledger holds. What cannot be proved is refused with the reason: an act without a stand-in, a run
that fails before it reaches one or waits for a person, a program that takes another way each time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from magsag.domain.effects import EFFECTFUL
from magsag.domain.errors import Broken, Invalid
from magsag.domain.facts import ParkedOn
from magsag.domain.frozen import frozen
from magsag.services.driving.runs import Order
from magsag.services.insight.tree import FAILURES
from magsag.services.proofs.bench import Bench, Ended, Said, Trial
from magsag.services.proofs.outcome import Outcome, differences, is_ended
from magsag.services.proofs.point import RUN, read_outcome, try_point
from magsag.services.proofs.points import Boundary, Point, What, chosen, points_of

Told = Callable[[int, int, Said], None]
"""hears of each point that was tried: how many are done, of how many, and its story"""


@frozen
class Asked:
    """What shall be proved of what."""

    program: str
    payload: object
    kill_at: int | None = None
    """only this point"""
    points: int | None = None
    """at most so many; those around each effect are tried in any case"""
    seed: int = 0


@dataclass(slots=True)
class Tally:
    """What came out."""

    program: str
    status: str
    """how the clean run ended"""
    boundaries: int
    """how many points there are"""
    points: int = 0
    kills: int = 0
    identical: int = 0
    in_doubt: int = 0
    """points at which an act was in doubt until the sink was asked"""
    stories: list[Said] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether every kill ended as the clean run did."""
        return self.points == self.kills == self.identical > 0

    @property
    def failures(self) -> list[Said]:
        """The stories of the points that differ, in their order."""
        return [story for story in self.stories if not story["is_killed"] or story["differences"]]


@frozen
class _Clean:
    crossed: list[Boundary]
    outcome: Outcome


class CrashProof:
    """Proves one program on one bench."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def prove(self, asked: Asked, told: Told) -> Tally:
        """Raises Invalid for what cannot be proved, with the next move; Broken where a store does not answer."""
        order = Order(asked.program, asked.payload, run_id=RUN)
        one, other = self._clean_runs(order)
        points = points_of(one.crossed, other.crossed)
        taken = _taken(points, asked)
        tally = Tally(asked.program, one.outcome.status, len(points), len(taken))
        works = [partial(try_point, self._bench, point, order, one.outcome) for point in taken]
        for index, ended in self._bench.each(works):
            story = _story(taken[index], ended)
            tally.stories.append(story)
            tally.kills += bool(story["is_killed"])
            tally.identical += bool(story["is_killed"]) and not story["differences"]
            tally.in_doubt += bool(story["doubts"])
            told(len(tally.stories), len(taken), story)
        tally.stories.sort(key=lambda story: int(story["number"]))
        return tally

    def _clean_runs(self, order: Order) -> tuple[_Clean, _Clean]:
        """Nobody is killed: what the program does and leaves. Raises Invalid when the two are not the same, Broken."""
        trials = [self._bench.trial(f"clean-{number}") for number in (1, 2)]
        one, other = (self._clean(trial, order) for trial in trials)
        if found := differences(one.outcome, replace(other.outcome, faults=[]), 0):
            raise Invalid(
                f"{order.program} is timing-dependent: two clean runs differ: {found[0]}. Take clocks and chance from "
                f"`ctx`, hand them in, or give what reads the outside a stand-in in proof.yaml"
            )
        for trial in trials:
            self._bench.drop(trial)
        return one, other

    def _clean(self, trial: Trial, order: Order) -> _Clean:
        ended = self._bench.drive(trial, order, self._bench.now(), None)
        if ended.code != 0:
            raise (Broken if ended.is_broken else Invalid)(ended.why)
        if not is_ended(str(ended.said["status"])):
            reasons = "; ".join(_waits(one) for one in ended.said["reasons"])
            raise Invalid(
                f"without any crash the run is {ended.said['status']}, so there is nothing to compare: {reasons}"
            )
        (crossed,) = self._bench.crossed(trial)
        clean = _Clean(crossed, read_outcome(self._bench, trial))
        if clean.outcome.status in FAILURES and not any(_is_effect(one) for one in crossed):
            raise Invalid(
                f"without any crash the run is {clean.outcome.status} before any act with an effect, so nothing can be "
                f"proved: {clean.outcome.output['message']}; give an input with which {order.program} gets further"
            )
        return clean


def _is_effect(crossed: Boundary) -> bool:
    return crossed.what is What.ACT and crossed.effect in EFFECTFUL


def _waits(reason: Said) -> str:
    """Why it goes no further, and what would let it."""
    said = f"{reason['step']} waits for {reason['on']}: {reason['reason']}"
    if reason["on"] == ParkedOn.APPROVAL.value:
        return f"{said}; a proof asks nobody: let a rule allow it, if you like in an environment for proofs (--env)"
    if reason["event"] is None:
        return said
    return f"{said}; add `- event: {reason['event']}` under `signals:` of catalog/proof.yaml"


def _taken(points: Sequence[Point], asked: Asked) -> list[Point]:
    if asked.kill_at is None:
        return chosen(points, asked.points, asked.seed)
    taken = [point for point in points if point.number == asked.kill_at]
    if not taken:
        raise Invalid(f"--kill-at {asked.kill_at}: {asked.program} has the points 1 to {len(points)}")
    return taken


def _story(point: Point, ended: Ended) -> dict[str, Any]:
    if ended.code == 0:
        return ended.said
    said = f"the proof itself ended with {ended.code}: {ended.why}"
    return {
        "number": point.number,
        "point": str(point),
        "is_killed": False,
        "doubts": 0,
        "lines": [],
        "differences": [said],
    }
