"""The budget proof: many tasks in several processes under one cap, random prices, SIGKILLs.

What it proves: at no time is more held back and spent than the cap, watched from outside and added up from the facts;
at least 95 % of the cap is used; after the last recovery nothing is held back; each refusal is `budget_exhausted`; and
no task spends more than it reported. It happens on a ledger and a catalog of its own; the project is not touched.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Final, Protocol

from magsag.domain import facts
from magsag.domain.approval import Proof
from magsag.domain.budget import Cap, Unit
from magsag.domain.errors import Broken, ErrorType, Invalid
from magsag.domain.facts import ENDS, Fact
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId
from magsag.engine.chain import unseal
from magsag.engine.evolve import evolve
from magsag.engine.run import Run
from magsag.policy.budget import settled, worst_of
from magsag.ports.ledger import RunQuery, Store
from magsag.services.driving.runs import Order, Runs
from magsag.services.proofs.bench import Ended, Said

PROGRAM: Final = "agent:spender-mag"
PRICE: Final = 10_000_000
"""the most that one act of the scene costs, in 1e-9 USD"""
ACTS: Final = 6
"""of one task, side by side; with few tasks several times so many, one after the other"""
_ENOUGH: Final = 384
"""acts of all tasks at least: with fewer, what one act may cost is too much of the cap to use it up"""
BUDGET: Final = "organisation/usd"
_USED: Final = 0.95
_EVER: Final = 1 << 62
_PAUSE_SECONDS: Final = 0.005
_GLANCE_SECONDS: Final = 0.001


class Till(Protocol):
    """An app on the ledger of the proof."""

    @property
    def runs(self) -> Runs: ...
    @property
    def store(self) -> Store: ...


class Market(Protocol):
    """A catalog whose acts cost something, a ledger, and processes."""

    def each(self, works: Sequence[Callable[[], Said]]) -> list[Ended]:
        """Do the works in processes of their own, all at once; how each ended, in their order."""

    def till(self) -> AbstractContextManager[Till]:
        """Open the ledger in this process."""

    def fuse(self, seconds: float) -> None:
        """End this process as `kill -9` does, so long from now."""

    def numbers(self, seed: int, low: int, high: int) -> Iterator[int]:
        """Random numbers, both ends included, without end; the same for the same seed."""

    def relay(self, works: Sequence[Callable[[], Said]], spares: Sequence[Callable[[], Said]]) -> list[Ended]:
        """The same, but for each process that is killed the next of the spares begins; those that ended by
        themselves in the order of `works`, after those that were killed."""


@frozen
class Asked:
    """How hard it is tried."""

    processes: int = 4
    tasks: int = 64
    kills: int = 10
    seed: int = 0


@dataclass(slots=True)
class Tally:
    """What came out. Amounts in 1e-9 USD."""

    tasks: int
    cap: int = 0
    kills: int = 0
    acts: int = 0
    """attempts that were held back for"""
    refused: int = 0
    assumed: int = 0
    """charges of attempts of which nothing came back"""
    looks: int = 0
    """how often the budget was looked at from outside while it was used"""
    highest: int = 0
    """the most that was held back and spent at once, by the rows and by the facts"""
    spent: int = 0
    held: int = 0
    """held back after the last recovery"""
    wrong: list[str] = field(default_factory=list)

    @property
    def used(self) -> float:
        """Which part of the cap was used."""
        return self.spent / self.cap if self.cap else 0.0

    @property
    def holds(self) -> bool:
        """Whether all of it is as promised."""
        return not self.wrong


class BudgetProof:
    """Proves budgets on one market."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def prove(self, asked: Asked) -> Tally:
        """Raises Invalid when the scene does not even begin."""
        # What all tasks ask for is about twice what there is, so the cap is reached whatever the prices are.
        tally = Tally(asked.tasks, cap=asked.tasks * _acts(asked) * PRICE // 4)
        (began,) = self._market.each([partial(self._begin, asked, tally.cap)])
        if began.code != 0:
            raise Invalid(f"the scene of the proof did not begin: {began.said.get('refused') or began.printed}")
        self._spend(asked, tally)
        (told,) = self._market.each([self._settled])
        if told.code != 0:
            raise Invalid(f"the ledger of the proof could not be read: {told.printed}")
        self._judge(told.said, tally)
        return tally

    def _spend(self, asked: Asked, tally: Tally) -> None:
        chance = self._market.numbers(asked.seed, 0, 40)
        fuses: list[float | None] = [wait / 1000 for wait in islice(chance, asked.kills)]
        fuses += [None] * asked.processes
        first = asked.tasks * ACTS < _ENOUGH  # few tasks: who waits for its second one may get none
        works = [partial(self._work, asked.seed * 1000 + number, fuse, first) for number, fuse in enumerate(fuses)]
        ended = self._market.relay([*works[: asked.processes], self._watch], works[asked.processes :])
        *workers, watcher = ended
        tally.kills = sum(one.code < 0 for one in workers)
        tally.wrong += [f"a process ended with {one.code}: {one.printed}" for one in ended if one.code > 0]
        tally.looks = int(watcher.said.get("looks", 0))
        tally.highest = int(watcher.said.get("highest", 0))
        if tally.kills < asked.kills:
            tally.wrong.append(f"{asked.kills} processes were to be killed, {tally.kills} were: give it more --tasks")
        if not tally.looks:
            tally.wrong.append("nobody looked at the budget while it was used")

    def _judge(self, said: Said, tally: Tally) -> None:
        tally.acts, tally.refused, tally.assumed = (int(said[name]) for name in ("acts", "refused", "assumed"))
        tally.spent, tally.held = int(said["spent"]), int(said["held"])
        tally.highest = max(tally.highest, int(said["highest"]))
        if tally.highest > tally.cap:
            tally.wrong.append(f"{tally.highest} was held back and spent at once, the cap is {tally.cap}")
        if tally.used < _USED:
            tally.wrong.append(f"{tally.used:.1%} of the cap was used, less than {_USED:.0%}")
        if tally.held:
            tally.wrong.append(f"{tally.held} is still held back, and nobody will give it back")
        if said["facts"] != tally.spent:
            tally.wrong.append(f"the budget says {tally.spent} is spent, the facts say {said['facts']}")
        if not tally.refused:
            tally.wrong.append("nothing was refused, so the cap was never reached")
        tally.wrong += [str(line) for line in said["wrong"]]

    def _begin(self, asked: Asked, cap: int) -> Said:
        """Set the cap and put every task on record."""
        prices = self._market.numbers(asked.seed, PRICE // 10, PRICE)
        with self._market.till() as till:
            store = till.store
            if not store.set_cap(Cap(1, "organisation", Unit.USD, cap, 0, "proof", Proof.OS_USER, "", "")):
                raise Invalid("the ledger of the proof is not empty")
            for number in range(asked.tasks):
                payload = {"prices": list(islice(prices, _acts(asked))), "at_once": ACTS}
                order = Order(PROGRAM, payload, run_id=f"task-{number:04}")
                asyncio.run(till.runs.start(order))
        return {}

    def _work(self, seed: int, fuse: float | None, at_first: bool) -> Said:
        """Drive whatever nobody drives, until all have ended; one with a fuse dies in its first or second task."""
        driven, chance = 0, self._market.numbers(seed, 0, 99)
        with self._market.till() as till:
            while _open_runs(till.store):
                if not (due := till.store.due(_EVER, 100)):
                    time.sleep(_PAUSE_SECONDS)
                    continue
                if fuse is not None and driven == (0 if at_first else seed % 2):
                    self._market.fuse(fuse)
                try:
                    asyncio.run(till.runs.resume(due[next(chance) % len(due)]))
                    driven += 1
                except Broken:
                    continue  # another process was quicker; the ledger is asked again
        return {"driven": driven}

    def _watch(self) -> Said:
        """Look at the budget as often as possible while it is used."""
        looks = highest = 0
        with self._market.till() as till:
            while True:
                done = not _open_runs(till.store)
                for row in till.store.budgets():
                    if row.id == BUDGET:
                        looks, highest = looks + 1, max(highest, row.reserved + row.spent)
                if done:
                    return {"looks": looks, "highest": highest}
                time.sleep(_GLANCE_SECONDS)

    def _settled(self) -> Said:
        """What the ledger says after all of it."""
        with self._market.till() as till:
            rows = {row.id: row for row in till.store.budgets()}
            row = rows[BUDGET]
            counted = _Counted()
            for run in till.store.rows(RunQuery(limit=None)):
                counted.add(run.run, [unseal(stored) for stored in till.store.read(run.run)])
            held = sum(one.amount for one in till.store.reservations()) + row.reserved
            faults = [f"{fault.where}: {fault.what}" for fault in till.store.check()]
        return {
            "acts": counted.acts,
            "refused": counted.refused,
            "assumed": counted.assumed,
            "spent": row.spent,
            "held": held,
            "facts": counted.spent,
            "highest": counted.spent,
            "wrong": [*counted.wrong, *faults],
        }


class _Counted:
    """What the facts of all runs say."""

    def __init__(self) -> None:
        self.acts = self.refused = self.assumed = self.spent = 0
        self.wrong: list[str] = []

    def add(self, id: RunId, recorded: Sequence[Fact]) -> None:
        """Count a run, and look at how its failures are told."""
        run = Run(id)
        types: Counter[str] = Counter()
        for fact in recorded:
            if isinstance(fact, facts.StepStarted) and fact.reserved is not None:
                self.acts += 1
                self.spent += (fact.lost or {}).get(Unit.USD, 0)
                self.assumed += fact.lost is not None
            self._settle(run, fact)
            if isinstance(fact, facts.StepFailed):
                types[fact.type] += 1
            evolve(run, fact)
        self.refused += types[ErrorType.BUDGET_EXHAUSTED]
        self.wrong += [f"{id}: a step failed with {type}" for type in types if type != ErrorType.BUDGET_EXHAUSTED]
        if run.holding:
            self.wrong.append(f"{id} has ended and holds something back")

    def _settle(self, run: Run, fact: Fact) -> None:
        """What an outcome is charged: as it says, and never more than was held back for it."""
        spent = getattr(fact, "spent", None)
        step = run.steps.get(getattr(fact, "step", None) or _NOWHERE)
        if step is None or step.reserved is None or spent is None:
            return
        charge = settled(spent, step.reserved)[BUDGET]
        self.spent += charge
        self.assumed += bool(getattr(fact, "assumed", None))
        if spent.get(Unit.USD, 0) > worst_of(step.reserved)[Unit.USD]:
            self.wrong.append(f"{run.id}: step {step.id} was charged more than was held back for it")


def _acts(asked: Asked) -> int:
    """Of each task: whole groups of `ACTS`."""
    return ACTS * max(1, -(-_ENOUGH // (asked.tasks * ACTS)))


_NOWHERE: Final = StepId("")


def _open_runs(store: Store) -> list[RunId]:
    return [row.run for row in store.rows(RunQuery(limit=None)) if row.status not in ENDS]
