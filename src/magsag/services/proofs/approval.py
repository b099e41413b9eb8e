"""The approval proof: one ticket, many answers from many processes at once, then every byte of the arguments altered.

What it proves: each person counts once, the quorum is reached once and no answer counts after it, requester and
strangers never count, one effect happens although every process goes on with the run, and arguments that were altered
in the store are not acted on. It happens on a ledger and a catalog of its own; nothing of the project is touched.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Final, NoReturn, Protocol

from magsag.domain.approval import Acting, Answer, Proof, TicketState
from magsag.domain.errors import Broken, Invalid, Refused
from magsag.domain.facts import ApprovalDecided, RunStatus
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.engine.chain import unseal
from magsag.ports.ledger import Store, TicketQuery
from magsag.services.driving.runs import Order, Runs
from magsag.services.people.approvals import Approvals, Decision
from magsag.services.proofs.bench import Ended, Said

QUORUM: Final = 20
REQUESTER: Final = "requester"
APPROVERS: Final = tuple(f"person-{number:02}" for number in range(2 * QUORUM))
STRANGER: Final = "stranger"
PROGRAM: Final = "agent:asker-mag"
PAYLOAD: Final = {"to": "ann", "amount": 120}
RUN: Final = RunId("storm")
_SEVENTH: Final = 7


class Desk(Protocol):
    """An app on the ledger of the proof."""

    @property
    def runs(self) -> Runs: ...
    @property
    def approvals(self) -> Approvals: ...
    @property
    def store(self) -> Store: ...


class Scene(Protocol):
    """A catalog that asks, a ledger, processes, and a count of what happened outside."""

    ledger: str

    def each(self, works: Sequence[Callable[[], Said]]) -> list[Ended]:
        """Do the works in processes of their own, all at once; how each ended, in their order."""

    def desk(self, ledger: str, altered: int | None = None) -> AbstractContextManager[Desk]:
        """Open a ledger in this process; with `altered` that byte of every recorded input reads otherwise."""

    def copies(self, count: int) -> list[str]:
        """Other ledgers with what is in this one now, which nobody has open."""

    def effects(self) -> int:
        """How often the act that was asked about has happened, in all ledgers."""

    def die(self) -> NoReturn:
        """End this process as `kill -9` does."""


@frozen
class Asked:
    """How hard it is tried."""

    processes: int = 4
    decisions: int = 200
    restart: bool = False
    """one process is killed in the middle, and another one goes on with what it had left"""
    seed: int = 0
    """who answers when"""


@dataclass(slots=True)
class Tally:
    """What came out."""

    decisions: int
    kills: int = 0
    approvals: int = 0
    """answers that count, by the record"""
    people: int = 0
    """how many people gave them"""
    refused: int = 0
    """those of a process that was killed are not told"""
    effects: int = 0
    altered: int = 0
    """bytes that were altered, one after the other, each in a copy of the ledger"""
    altered_effects: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether all of it is as promised."""
        return not self.wrong


class ApprovalProof:
    """Proves approvals on one scene."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def prove(self, asked: Asked) -> Tally:
        """Raises Invalid when the scene does not even begin."""
        tally = Tally(asked.decisions)
        (began,) = self._scene.each([self._begin])
        if began.code != 0 or "ticket" not in began.said:
            raise Invalid(f"the scene of the proof did not begin: {began.said.get('refused') or began.printed}")
        ticket = str(began.said["ticket"])
        self._storm(ticket, asked, tally)
        copies = self._scene.copies(int(began.said["bytes"]) + 1)
        self._spend(asked, tally)
        self._alter(copies, tally)
        return tally

    def _storm(self, ticket: str, asked: Asked, tally: Tally) -> None:
        """All processes answer at once, with the same person in the same round."""
        count = asked.processes
        numbers = range(max(len(APPROVERS), -(-asked.decisions // count)))
        rounds = [_who(number) for number in sorted(numbers, key=partial(_drawn, asked.seed))]
        tally.decisions = count * len(rounds)
        dies = len(rounds) // 2 if asked.restart else None
        first, other = partial(self._answer, ticket, rounds, dies), partial(self._answer, ticket, rounds, None)
        ended = self._scene.each([first, *[other] * (count - 1)])
        tally.kills = sum(one.code < 0 for one in ended)
        if dies is not None:
            ended += self._scene.each([partial(self._answer, ticket, rounds[dies:], None)])
        tally.refused = sum(int(one.said.get("refused", 0)) for one in ended)
        tally.wrong += [f"a process ended with {one.code}: {one.printed}" for one in ended if one.code > 0]
        (told,) = self._scene.each([partial(self._counted, ticket)])
        who: Counter[str] = Counter(told.said["approved"])
        tally.approvals, tally.people = sum(who.values()), len(who)
        if dies is not None and tally.kills != 1:
            tally.wrong.append(f"one process was to be killed, {tally.kills} were")
        if tally.approvals != QUORUM:
            tally.wrong.append(f"{tally.approvals} approvals are on record, the quorum is {QUORUM}")
        tally.wrong += [f"{name} is counted {count} times" for name, count in sorted(who.items()) if count > 1]
        tally.wrong += [f"{name} is counted" for name in (REQUESTER, STRANGER) if name in who]
        if told.said["state"] != TicketState.APPROVED:
            tally.wrong.append(f"the ticket is {told.said['state']}")

    def _spend(self, asked: Asked, tally: Tally) -> None:
        """All processes go on with the run at once, twice."""
        for _ in range(2):
            for one in self._scene.each([partial(self._resume, self._scene.ledger, None)] * asked.processes):
                if one.said.get("status") != RunStatus.SUCCEEDED:
                    tally.wrong.append(f"the run is {one.said.get('status')}: {one.printed}")
        tally.effects = self._scene.effects()
        if tally.effects != 1:
            tally.wrong.append(f"one approval was given, and {tally.effects} effects happened")

    def _alter(self, copies: Sequence[str], tally: Tally) -> None:
        """In each copy another byte reads otherwise; in the last one none, so that it would be noticed."""
        control, *altered = copies
        tally.altered = len(altered)
        for start in range(0, len(altered), _SEVENTH):
            part = altered[start : start + _SEVENTH]
            self._scene.each([partial(self._resume, copy, start + at) for at, copy in enumerate(part)])
        tally.altered_effects = self._scene.effects() - tally.effects
        if tally.altered_effects:
            tally.wrong.append(f"{tally.altered_effects} effects happened on arguments that nobody approved")
        (one,) = self._scene.each([partial(self._resume, control, None)])
        if self._scene.effects() != tally.effects + tally.altered_effects + 1:
            tally.wrong.append(f"the unaltered copy did not act, so nothing is proved: {one.said} {one.printed}")

    def _begin(self) -> Said:
        """Start the run; it parks. What it asks, and how many bytes there are to alter."""
        with self._scene.desk(self._scene.ledger) as desk:
            result = asyncio.run(desk.runs.run(Order(PROGRAM, PAYLOAD, run_id=RUN)))
            waiting = desk.approvals.list(TicketQuery(waiting=True))
            if result.status is not RunStatus.PARKED or len(waiting) != 1:
                return {"refused": f"the run is {result.status}"}
            inputs = [fact.input for fact in desk.store.read(RUN) if fact.kind == "StepHeld" and fact.input]
            return {"ticket": waiting[0].id, "bytes": len(inputs[0])}

    def _answer(self, ticket: str, names: Sequence[str], dies: int | None) -> Said:
        refused = 0
        with self._scene.desk(self._scene.ledger) as desk:
            for number, name in enumerate(names):
                if number == dies:
                    self._scene.die()
                try:
                    desk.approvals.decide(ticket, Decision(Acting(name, Proof.OS_USER), Answer.APPROVE))
                except Refused:
                    refused += 1
        return {"refused": refused}

    def _counted(self, ticket: str) -> Said:
        with self._scene.desk(self._scene.ledger) as desk:
            facts = [unseal(stored) for stored in desk.store.read(RUN)]
            approved = [fact.by for fact in facts if isinstance(fact, ApprovalDecided)]
            return {"approved": approved, "state": desk.approvals.show(ticket).state}

    def _resume(self, ledger: str, altered: int | None) -> Said:
        with self._scene.desk(ledger, altered) as desk:
            try:
                return {"status": asyncio.run(desk.runs.resume(RUN)).status}
            except Broken as error:
                return {"status": "broken", "why": str(error)}


def _drawn(seed: int, number: int) -> bytes:
    """The place of a round; without a seed they keep their order."""
    return sha256(b"%d %d" % (seed, number)).digest() if seed else b"%08d" % number


def _who(number: int) -> str:
    """Who answers in a round: approvers in turn, and in between those who may not."""
    if number % _SEVENTH == 0:
        return REQUESTER if number % 2 else STRANGER
    return APPROVERS[number % len(APPROVERS)]
