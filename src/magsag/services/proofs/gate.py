"""The gate proof: the same requests under the same policies get the same verdicts, by every runner and surface.

What is compared is the log of decisions: each verdict whole, with rule, place, reason, policy hash and counts. Ids,
times and what is salted are left out: they are of one run alone. Then the policies are taken away under runs that wait
to be driven, and everything must be denied.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Final, Protocol

from magsag.domain import facts
from magsag.domain.errors import Invalid
from magsag.domain.facts import Decision
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.engine.chain import unseal
from magsag.policy.judge import UNREADABLE
from magsag.ports.ledger import RunQuery, Store
from magsag.services.proofs.gate_cases import Batch, batches

RUNNERS: Final = ("local", "workers")
SURFACES: Final = ("cli", "python")
_SHOWN: Final = 5
Line = dict[str, Any]
"""one decision, as the log has it"""


@frozen
class Way:
    """One runner, reached through one surface."""

    runner: str
    surface: str

    def __str__(self) -> str:
        return f"{self.runner}/{self.surface}"


class Scene(Protocol):
    """A catalog, a ledger for each way, and processes that use the product as people and programs do."""

    @property
    def more(self) -> Sequence[Way]:
        """Ways besides those of the product; a test of the proof adds one."""

    def drive(self, way: Way, asked: Sequence[Batch]) -> str:
        """Start the runs by the surface and have the runner drive them; what went wrong, else nothing."""

    def drive_lawless(self, way: Way, asked: Sequence[Batch], how: str) -> str:
        """The same, but the policies are spoilt after the runs are on record and before anybody drives them."""

    def log(self, way: Way) -> list[Line]:
        """The decisions in the ledger of the way since it was last asked."""


@frozen
class Asked:
    """How hard it is tried."""

    runners: tuple[str, ...] = RUNNERS
    cases: int = 500
    seed: int = 0
    surfaces: tuple[str, ...] = SURFACES

    def __post_init__(self) -> None:
        """Raises Invalid for a runner that this version does not have, and for none at all."""
        if not self.runners:
            raise Invalid(f"there is no runner to compare: name one of {', '.join(RUNNERS)}")
        if unknown := [name for name in self.runners if name not in RUNNERS]:
            raise Invalid(f"there is no runner {unknown[0]!r}; this version has {', '.join(RUNNERS)}")


SPOILT: Final = ("unreadable", "gone")
"""the file is no YAML; it is a link to nothing"""


@dataclass(slots=True)
class Tally:
    """What came out."""

    cases: int
    decisions: dict[str, int] = field(default_factory=dict)
    """how many of the log are allow, ask, deny"""
    hashes: dict[str, str] = field(default_factory=dict)
    """of the log, by way"""
    denied: dict[str, int] = field(default_factory=dict)
    """decisions without policies, all of them denies, by way"""
    wrong: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether all ways decide alike, and deny everything without policies."""
        return not self.wrong


class GateProof:
    """Proves the gate on one scene."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def prove(self, asked: Asked) -> Tally:
        """Raises Invalid when a way does not even begin."""
        wanted = batches(asked.cases, asked.seed)
        ways = [*(Way(runner, surface) for runner in asked.runners for surface in asked.surfaces), *self._scene.more]
        tally = Tally(asked.cases)
        logs = {way: self._driven(way, wanted) for way in ways}
        first, *others = logs
        tally.decisions = {kind: sum(line["decision"] == kind for line in logs[first]) for kind in Decision}
        tally.hashes = {str(way): digest(log) for way, log in logs.items()}
        for way in others:
            tally.wrong += [f"{way} and {first}: {told}" for told in differences(logs[first], logs[way])]
        if len(logs[first]) < asked.cases:
            tally.wrong.append(f"{len(logs[first])} decisions on {asked.cases} cases, so not all were judged")
        tally.wrong += [f"no case is decided {kind}: try more" for kind, count in tally.decisions.items() if not count]
        for way in ways:
            self._without(way, wanted[:1], tally)
        return tally

    def _driven(self, way: Way, wanted: Sequence[Batch]) -> list[Line]:
        if fault := self._scene.drive(way, wanted):
            raise Invalid(f"the runs of the proof did not go by {way}: {fault}")
        return self._scene.log(way)

    def _without(self, way: Way, wanted: Sequence[Batch], tally: Tally) -> None:
        """Everything is denied."""
        tally.denied[str(way)] = 0
        for how in SPOILT:
            fault = self._scene.drive_lawless(way, wanted, how)
            lines = self._scene.log(way)
            others = [line for line in lines if line["decision"] != Decision.DENY]
            tally.denied[str(way)] += len(lines) - len(others)
            for line in others[:_SHOWN]:
                tally.wrong.append(f"{way}, policies {how}: {line['target']} is {line['decision']} by {line['rule']}")
            if not any(line["rule"] == UNREADABLE for line in lines):
                tally.wrong.append(f"{way}, policies {how}: nothing was denied for the lack of them; {fault}")


def digest(log: Sequence[Line]) -> str:
    """One sha256 over the decisions, in the order of runs and steps."""
    return sha256("\n".join(json.dumps(line, sort_keys=True) for line in log).encode()).hexdigest()


def differences(one: Sequence[Line], other: Sequence[Line]) -> list[str]:
    """The first decisions that are not alike."""
    mine, theirs = ({(line["run"], line["step"]): line for line in log} for log in (one, other))
    found = []
    for run, step in sorted(mine.keys() | theirs.keys()):
        a, b = mine.get((run, step)), theirs.get((run, step))
        if a != b:
            named = [f"{line['decision']} by {line['rule']}" if line else "not judged" for line in (b, a)]
            found.append(f"step {step} of {run} is {named[0]} in one and {named[1]} in the other")
    return found[:_SHOWN]


def decisions(store: Store, runs: Sequence[str]) -> list[Line]:
    """The first verdict on each step of these runs and of those below them, without what is of one run alone."""
    found: list[Line] = []
    for root in sorted(runs):
        for row in store.rows(RunQuery(root=RunId(root), roots_only=False, limit=None)):
            judged: dict[str, Line] = {}
            started: facts.RunStarted | None = None
            for stored in store.read(row.run):
                fact = unseal(stored)
                if isinstance(fact, facts.RunStarted):
                    started = fact
                elif started is not None and isinstance(fact, _JUDGED):
                    judged.setdefault(fact.step, _line(row.run, started, fact))
            found += [line for line in judged.values() if line]
    return sorted(found, key=lambda line: (line["run"], line["step"]))


_JUDGED: Final = (facts.StepHeld, facts.StepStarted, facts.StepDone, facts.StepFailed)


def _line(
    run: RunId,
    started: facts.RunStarted,
    fact: facts.StepHeld | facts.StepStarted | facts.StepDone | facts.StepFailed,
) -> Line:
    """Empty for a step that failed before it was judged."""
    if fact.verdict is None or fact.proposal is None:
        return {}
    about = {"run": run, "step": fact.step, "agent": started.program, "env": started.environment, "mode": started.mode}
    return {**about, "target": fact.proposal.target, "effect": fact.proposal.effect, **asdict(fact.verdict)}
