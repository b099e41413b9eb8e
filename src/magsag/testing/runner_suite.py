"""What every runner must do: the same facts as the local one, whatever is lost, doubled or killed on the way.

An adapter's tests subclass RunnerSuite and say how a process carries runs to their rest:

    class TestMine(RunnerSuite):
        @pytest.fixture
        def carry(self):
            return lambda app, runs: asyncio.run(MyRunner(app.drive).carry(runs))

`carry(app, runs)` returns when each of these runs has ended or parked, or raises Broken when the store failed. It may
drive other runs that are due too.
"""

import asyncio
import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from functools import cached_property
from pathlib import Path
from textwrap import indent
from typing import Any, Final

import pytest

from magsag.adapters.store.sqlite import SqliteStore
from magsag.app import App
from magsag.catalog.load import Loaded
from magsag.domain import facts
from magsag.domain.errors import Broken, Invalid
from magsag.domain.facts import ParkedOn, RunStatus
from magsag.domain.ids import RunId
from magsag.engine.chain import unseal
from magsag.ports.ledger import RunQuery, Store
from magsag.services.driving.runs import Order
from magsag.testing.breaking import breaking
from magsag.testing.project import build_app

Carry = Callable[[App, Sequence[RunId]], None]
Steps = dict[str, list[tuple[object, ...]]]
"""run and step -> its facts in order, without what depends on time, place and chance"""

KINDS: Final = ("pure", "read", "idempotent", "transactional", "unrepeatable")
PROGRAMS: Final = {
    "one-after-another": "return [await ctx.skill(kind, payload) for kind in payload['kinds']]",
    "side-by-side": "return await ctx.gather(*(ctx.skill(kind, payload) for kind in payload['kinds']))",
    "mapped": "return await ctx.map(lambda n: ctx.skill('idempotent', {**payload, 'n': n}), range(5))",
    "delegating": "return await ctx.gather(*(ctx.delegate('below', {**payload, 'n': n}) for n in range(3)))",
    "denied": "return await ctx.skill('denied', payload)",
    "asking": "return await ctx.skill('asked', payload)",
    "raising": "await ctx.skill('idempotent', payload)\nraise ValueError('no luck')",
    "choosing": "return [ctx.random(), str(ctx.uuid()), await ctx.race(ctx.skill('pure', 1))]",
}
_ACT: Final = """
def run(payload, ctx):
    if isinstance(payload, dict):
        with open(payload["acts"], "a") as file:
            file.write(SLUG + " " + ctx.idempotency_key + "\\n")
    return payload
"""


class RunnerSuite:
    """All of it. Subclasses give the fixture `carry`."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator["Place"]:
        """A project on a ledger of its own."""
        place = Place(tmp_path)
        yield place
        place.close()

    @pytest.mark.parametrize("program", PROGRAMS)
    def test_it_leaves_the_same_facts_as_the_local_runner(self, place: "Place", carry: Carry, program: str) -> None:
        ours, theirs = place.put(program, "ours"), place.put(program, "theirs")
        carry(place.process(), [ours])
        place.locally(theirs)
        assert place.steps(ours) == place.steps(theirs)
        assert place.status(ours) is place.status(theirs) is not RunStatus.RUNNING

    def test_it_leaves_the_same_decisions(self, place: "Place", carry: Carry) -> None:
        ours = [place.put(program, f"ours-{program}") for program in PROGRAMS]
        theirs = [place.put(program, f"theirs-{program}") for program in PROGRAMS]
        carry(place.process(), ours)
        for run in theirs:
            place.locally(run)
        assert place.decisions(ours) == place.decisions(theirs)

    def test_a_run_that_was_never_submitted_is_due_until_it_is_driven(self, place: "Place", carry: Carry) -> None:
        run = place.put("one-after-another")
        assert place.process().drive.due(10) == [run]
        carry(place.process(), [run])
        assert place.process().drive.due(10) == []

    def test_a_run_that_is_submitted_twice_acts_once(self, place: "Place", carry: Carry) -> None:
        run = place.put("one-after-another")
        for _ in range(2):
            carry(place.process(), [run])
        assert place.acts() == Counter(dict.fromkeys(KINDS, 1))

    def test_two_processes_that_carry_the_same_runs_act_once(self, place: "Place", carry: Carry) -> None:
        runs = [place.put("one-after-another", f"run-{number}") for number in range(6)]
        errors = list[BaseException]()

        def work(app: App) -> None:
            try:
                carry(app, runs)
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(place.process(),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        carry(place.process(), runs)
        assert place.acts() == Counter(dict.fromkeys(KINDS, len(runs)))
        assert {place.status(run) for run in runs} == {RunStatus.SUCCEEDED}

    @pytest.mark.parametrize("number", range(1, 8))
    def test_a_leg_that_broke_at_any_commit_is_finished_by_another_process(
        self, place: "Place", carry: Carry, number: int
    ) -> None:
        run = place.put("one-after-another")
        with suppress(Broken):
            carry(place.process(breaking(place.store(), number)), [run])
        place.close()
        carry(place.process(), [run])
        acts, doubtful = place.acts(), place.status(run) is RunStatus.PARKED
        assert (acts["unrepeatable"], acts["idempotent"] in (1, 2)) == (1, True)
        if doubtful:
            assert place.parked_on(run) is ParkedOn.DOUBT
        else:
            assert place.status(run) is RunStatus.SUCCEEDED
            assert place.ends(run) == dict.fromkeys(place.steps(run), 1)

    def test_a_run_that_waits_for_a_person_waits_on(self, place: "Place", carry: Carry) -> None:
        run = place.put("asking")
        for _ in range(2):
            carry(place.process(), [run])
        assert place.parked_on(run) is ParkedOn.APPROVAL
        assert place.process().drive.due(10) == []
        assert place.acts() == Counter()

    def test_a_run_that_somebody_cancelled_ends_so_and_acts_no_more(self, place: "Place", carry: Carry) -> None:
        run = place.put("asking")
        carry(place.process(), [run])
        asyncio.run(place.process().runs.cancel(run, "maria"))
        carry(place.process(), [run])
        assert place.status(run) is RunStatus.CANCELLED
        assert place.acts() == Counter()

    def test_the_ledger_has_no_faults_after_all(self, place: "Place", carry: Carry) -> None:
        carry(place.process(), [place.put(program) for program in PROGRAMS])
        assert place.process().store.check() == []

    def test_a_run_that_is_unknown_is_refused_by_name(self, place: "Place") -> None:
        with pytest.raises(Invalid, match="run nobody is not in the ledger"):
            asyncio.run(place.process().drive.drive(RunId("nobody"), asyncio.Event()))


class Place:
    """A project on a ledger of its own, and the processes that use it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = _files()
        self._acts = folder / "acts"
        self._opened: list[App] = []
        self._catalog: Loaded | None = None

    def store(self) -> Store:
        """The ledger, opened once more."""
        return SqliteStore(self._folder / ".magsag" / "ledger.db")

    def process(self, store: Store | None = None) -> App:
        """Another process."""
        app = build_app(self._folder, self._files, store=store or self.store(), sound=False)
        if self._catalog is None:
            self._catalog, self._files = app.catalog, {}
        app.__dict__["catalog"] = self._catalog
        self._opened.append(app)
        return app

    def close(self) -> None:
        """All processes end."""
        for app in self._opened:
            app.close()
        self._opened.clear()
        self.__dict__.pop("_reading", None)

    @cached_property
    def _reading(self) -> App:
        return self.process()

    def put(self, program: str, name: str | None = None) -> RunId:
        """Put a run on record and tell nobody."""
        payload = {"acts": str(self._acts), "kinds": list(KINDS)}
        with closing(self.process()) as app:
            return asyncio.run(app.runs.submit(Order(f"agent:{program}", payload, run_id=name or program)))

    def locally(self, run: RunId) -> None:
        """Carry it with the runner that all others are held against."""
        asyncio.run(self.process().runs.resume(run))

    def acts(self) -> Counter[str]:
        """How often each skill acted."""
        lines = self._acts.read_text().splitlines() if self._acts.exists() else []
        return Counter(line.partition(" ")[0] for line in lines)

    def status(self, run: RunId) -> RunStatus:
        return self._reading.runs.result(run).status

    def parked_on(self, run: RunId) -> ParkedOn | None:
        row = self._reading.store.row(run)
        return row.parked_on if row is not None else None

    def steps(self, run: RunId) -> Steps:
        """What became of each step, here and in child runs."""
        found: Steps = {}
        for id, fact in self._facts(run):
            step = getattr(fact, "step", None)
            if step is not None:
                found.setdefault(f"{id.removeprefix(run)} {step}", []).append(_plain(fact))
        return found

    def ends(self, run: RunId) -> dict[str, int]:
        """How many outcomes each step has."""
        kinds = {kind.__name__ for kind in (facts.StepDone, facts.StepSucceeded, facts.StepFailed)}
        return {step: sum(one[0] in kinds for one in listed) for step, listed in self.steps(run).items()}

    def decisions(self, runs: Sequence[RunId]) -> str:
        """One hash of all verdicts."""
        listed = [
            (id.removeprefix(run), fact.step, fact.proposal, fact.verdict)
            for run in runs
            for id, fact in self._facts(run)
            if isinstance(fact, facts.StepDone | facts.StepStarted | facts.StepHeld)
        ]
        return hashlib.sha256("\n".join(sorted(map(repr, listed))).encode()).hexdigest()

    def _facts(self, run: RunId) -> Iterator[tuple[RunId, facts.Fact]]:
        store = self._reading.store
        for row in store.rows(RunQuery(root=run, roots_only=False, limit=None)):
            for stored in store.read(row.run):
                yield row.run, unseal(stored)


def _plain(fact: facts.Fact) -> tuple[object, ...]:
    told = [getattr(fact, name, None) for name in ("proposal", "verdict", "type", "partial", "output")]
    return type(fact).__name__, *map(repr, told)


def _files() -> dict[str, str]:
    """A skill of each kind, one that is asked about, one that is denied, and an agent for each program."""
    found, rules = dict[str, str](), list[str]()
    verdicts: dict[str, Any] = {**dict.fromkeys(KINDS, "allow"), "asked": "ask", "denied": "deny"}
    for slug, verdict in verdicts.items():
        effect = slug if slug in KINDS else "unrepeatable"
        head = f"kind: skill\nschema: 1\nslug: {slug}\nversion: 1.0.0\nentrypoint: skill.py:run\n"
        found[f"skills/{slug}/skill.yaml"] = f"{head}effect: {effect}\n"
        found[f"skills/{slug}/skill.py"] = f"SLUG = {slug!r}\n{_ACT}"
        rules.append(f'  - {{id: {verdict}-{slug}, on: ["skill:{slug}"], verdict: {verdict}}}\n')
    found["policies/all.yaml"] = "kind: policy\nschema: 1\nrules:\n" + "".join(rules)
    uses = ", ".join(["agent:below", *(f"skill:{slug}" for slug in verdicts)])
    for slug, body in {**PROGRAMS, "below": "return await ctx.skill('idempotent', payload)"}.items():
        head = f"kind: agent\nschema: 1\nslug: {slug}\nversion: 1.0.0\nrole: main\nentrypoint: agent.py:run\n"
        uses_here = "skill:idempotent" if slug == "below" else uses
        found[f"agents/main/{slug}/agent.yaml"] = f"{head}uses: [{uses_here}]\n"
        found[f"agents/main/{slug}/agent.py"] = f"async def run(payload, ctx):\n{indent(body, '    ')}\n"
    return found
