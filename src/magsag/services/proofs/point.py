"""One point of a crash proof: kill, go on in a fresh process, end what is in doubt, and compare."""

import asyncio
from dataclasses import asdict, dataclass, field
from typing import Final, NamedTuple

from magsag.domain import facts
from magsag.domain.effects import Effect
from magsag.domain.facts import ParkedOn, StepStatus
from magsag.domain.ids import RunId
from magsag.domain.location import shown
from magsag.engine.chain import unseal
from magsag.ports.ledger import RunQuery, Store
from magsag.services.driving.runs import Order
from magsag.services.people.doubts import Doubt
from magsag.services.people.doubts import Said as Word
from magsag.services.proofs.bench import Bench, Ended, Said, Trial
from magsag.services.proofs.driving import BY
from magsag.services.proofs.outcome import Outcome, differences, is_ended, outcome_of
from magsag.services.proofs.points import Boundary, Place, Point, Side, What
from magsag.services.steps.beginnings import read_run

KILLED: Final = -9
RUN: Final = RunId("proof")
"""the id of every run of a proof, so that keys and outputs can be compared"""
_TRIES: Final = 3
"""so many trials of a point that is passed by"""
_ROUNDS: Final = 50
"""so many times a run is gone on with"""


@dataclass(slots=True)
class Story:
    """What happened at a point: for the tally, and line by line for people."""

    number: int
    point: str
    is_killed: bool = False
    is_passed_by: bool = False
    """no process came to the point"""
    doubts: int = 0
    lines: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


class Reached(NamedTuple):
    """How a run stands between two processes."""

    at: int
    """the time of its last fact: where the clock of the next one stands"""
    begun: list[tuple[RunId, str]]
    """steps that nobody may repeat, with an intent and no outcome"""


def try_point(bench: Bench, point: Point, order: Order, clean: Outcome) -> Said:
    """Do all of it; what is told is a `Story` as JSON."""
    places = [place for place in (point.first, point.place) if place is not None]
    trial, story = _killed(bench, point, places, order)
    if story.is_killed:
        _go_on(bench, trial, order, point.place, story)
    if not story.differences:
        story.differences += differences(clean, read_outcome(bench, trial), len(places))
    if story.differences:
        story.lines.append(f"its ledger is kept: {shown(trial.ledger)}")
    else:
        bench.drop(trial)
    return asdict(story)


def _killed(bench: Bench, point: Point, places: list[Place], order: Order, number: int = 1) -> tuple[Trial, Story]:
    """Kill at the places, one process after the other.

    Commits of nothing but a change come or not, as time has it: a trial that passed a place by is begun again.
    """
    trial = bench.trial(f"point-{point.number}" + (f"-{number}" if number > 1 else ""))
    story = Story(point.number, str(point))
    story.is_killed = all(_kill(bench, trial, order, place, story) for place in places)
    if not story.is_passed_by or number == _TRIES:
        return trial, story
    bench.drop(trial)
    return _killed(bench, point, places, order, number + 1)


def read_outcome(bench: Bench, trial: Trial) -> Outcome:
    """What the trial left, in its ledger, at the sink and in its notes."""
    noted = [one for process in bench.crossed(trial) for one in process]
    asked = sum(_is_before_act(one) and one.target.startswith("model:") for one in noted)
    with bench.look(trial, bench.now()) as desk:
        return outcome_of(desk.store, RUN, bench.calls.count(trial.name), asked)


def _is_before_act(one: Boundary) -> bool:
    return one.what is What.ACT and one.side is Side.BEFORE


def _kill(bench: Bench, trial: Trial, order: Order, place: Place, story: Story) -> bool:
    ended = bench.drive(trial, order, _reached(bench, trial).at, place)
    if ended.code == KILLED:
        story.lines.append(f"killed {place}")
        return True
    story.is_passed_by = ended.code == 0
    story.differences.append(_not_killed(ended, place))
    return False


def _not_killed(ended: Ended, place: Place) -> str:
    if ended.code == 0:
        return f"no process came to this point ({place}): the run takes another way each time"
    return f"the process that was to be killed {place} ended with {ended.code}: {ended.why}"


def _go_on(bench: Bench, trial: Trial, order: Order, place: Place, story: Story) -> None:
    """Fresh processes until the run has ended; every doubt is ended by what the sink says."""
    for _ in range(_ROUNDS):
        at, begun = _reached(bench, trial)
        ended = bench.drive(trial, order, at, None)
        if ended.code != 0:
            story.differences.append(f"the process that goes on ended with {ended.code}: {ended.why}")
            return
        status, reasons = str(ended.said["status"]), ended.said["reasons"]
        story.lines.append(", ".join([f"gone on: {status}", *(f"{one['step']} on {one['on']}" for one in reasons)]))
        with bench.look(trial, at) as desk:
            silent = [f"{run} {step}" for run, step in begun if not _was_in_doubt(desk.store, run, step)]
        story.differences += [f"{step} may have acted and is not in doubt" for step in silent]
        if silent or is_ended(status):
            return
        doubts = [(RunId(one["run"]), one["step"]) for one in reasons if one["on"] == ParkedOn.DOUBT.value]
        if not doubts:
            story.differences.append(f"the run is {status}: " + "; ".join(one["reason"] for one in reasons))
            return
        if not _resolve(bench, trial, doubts, place, story):
            return
    story.differences.append(f"the run did not end in {_ROUNDS} legs")


def _resolve(bench: Bench, trial: Trial, steps: list[tuple[RunId, str]], place: Place, story: Story) -> bool:
    """Ask the sink and say it; whether it could be said."""
    with bench.look(trial, _reached(bench, trial).at) as desk:
        for run, step in steps:
            word = _looked_up(bench, trial, desk.doubts.find(run, step), place)
            story.doubts += 1
            if word is None:
                story.differences.append(f"{step} is in doubt, and nobody but its real target knows how it ended")
                return False
            asyncio.run(desk.doubts.resolve(run, step, word))
            story.lines.append(f"{step} resolved: {word.how.value}")
    return True


def _looked_up(bench: Bench, trial: Trial, doubt: Doubt, place: Place) -> Word | None:
    """What the sink says; of an act that was really performed, what its process noted. None: nobody can tell."""
    found = bench.calls.find(trial.name, doubt.key)
    if found is not None:
        return Word(StepStatus.SUCCEEDED, BY, found["output"])
    noted = [one for process in bench.crossed(trial) for one in process if one.what is What.ACT and one.is_real]
    real = [one for one in noted if one.names[0].split(" ")[:2] == [doubt.run, doubt.step]]
    if not real or (real[-1].is_at(place) and place.side is Side.BEFORE):
        return Word(StepStatus.WAITING, BY)
    return Word(StepStatus.SUCCEEDED, BY, real[-1].output) if real[-1].side is Side.AFTER else None


def _reached(bench: Bench, trial: Trial) -> Reached:
    at = bench.now()
    with bench.look(trial, at) as desk:
        begun: list[tuple[RunId, str]] = []
        for row in desk.store.rows(RunQuery(roots_only=False, limit=None)):
            run = read_run(desk.store, row.run)
            if run is None:
                continue
            at = max(at, run.at)
            started = [step for step in run.steps.values() if step.status is StepStatus.STARTED]
            begun += [(run.id, step.id) for step in started if _is(step.proposal, Effect.UNREPEATABLE)]
        return Reached(at, begun)


def _is(proposal: facts.Proposal | None, effect: Effect) -> bool:
    return proposal is not None and proposal.effect is effect


def _was_in_doubt(store: Store, run: RunId, step: str) -> bool:
    stored = (unseal(one) for one in store.read(run))
    return any(isinstance(fact, facts.StepInDoubt) and fact.step == step for fact in stored)
