"""Starting, resuming and cancelling runs: what every surface calls."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from magsag.catalog.bundle import Entry
from magsag.domain import facts
from magsag.domain.breaking import BreakerMoved, BreakerState
from magsag.domain.effects import Level
from magsag.domain.errors import ErrorType, Invalid
from magsag.domain.facts import RunStatus
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, is_given_run_id, run_id
from magsag.domain.large import LARGE_BYTES
from magsag.domain.manifests import Agent, Flow
from magsag.domain.settings import Settings
from magsag.domain.values import decode
from magsag.domain.verdicts import START
from magsag.domain.waits import LONGEST_SECONDS
from magsag.engine.chain import seal
from magsag.engine.run import Run
from magsag.ports.clock import Clock
from magsag.ports.ledger import Lease, Store, Write
from magsag.ports.runner import Busy, Runner, Told
from magsag.services.driving.drive import Drive
from magsag.services.driving.results import RunResult, result_of
from magsag.services.gate.given import asked_right, encoded, fitting
from magsag.services.gate.objectives import Objectives
from magsag.services.gate.secrets import SecretDesk
from magsag.services.recording.driven import Tree
from magsag.services.recording.known import known_row
from magsag.services.recording.large import Values, plain, require_no_secret
from magsag.services.recording.recorder import Recorder, RunExists
from magsag.services.steps.beginnings import new_run, read_run
from magsag.services.steps.bundles import Bundles
from magsag.services.steps.limits import limits_of
from magsag.services.steps.throttles import log_moved


@frozen
class Order:
    """What is asked for: a program and its input."""

    program: str
    """`agent:slug`, `flow:slug`, with a version range or without"""
    payload: object
    run_id: str | None = None
    requester: str | None = None
    """on whose behalf; the actor's own when left out"""
    select: tuple[str, ...] | None = None
    continues: RunId | None = None


class Runs:
    """The write side of runs."""

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        values: Values,
        drive: Drive,
        runner: Runner,
        bundles: Bundles,
        clock: Clock,
        settings: Settings,
        secrets: SecretDesk,
        policies: Callable[[], str],
    ) -> None:
        """`policies` gives the content hash of those in force."""
        self._store = store
        self._recorder = recorder
        self._values = values
        self._drive = drive
        self._runner = runner
        self._bundles = bundles
        self._clock = clock
        self._settings = settings
        self._secrets = secrets
        self._policies = policies
        self._objectives = Objectives(store, clock)

    async def run(self, order: Order) -> RunResult:
        """Start a run and drive it to its end or park.

        Raises Invalid for an unknown program, an input that does not meet the contract, or a `run_id` that
        exists with another input; Broken when the store fails.
        """
        run = await self.start(order)
        return await self._driven(run, root=run)  # no child run can be ordered, so it is the root of its tree

    async def submit(self, order: Order) -> RunId:
        """Put a run on record for whoever drives next: a worker of this store, or somebody who resumes it.

        One that its objectives refuse is ended here.

        Raises what `run` raises, and Invalid where runs live in the memory of this process.
        """
        if not self._settings.features.durable:
            raise Invalid("a run can only be left to others in a ledger; switch [features] durable on")
        run = await self.start(order, Level.SYNCED)
        if self._is_refused(run):
            await self._driven(run, root=run)  # it ends at once, and no driver is needed for that
        self._drive.hand_over(run)
        return run

    async def start(self, order: Order, level: Level = Level.WRITTEN) -> RunId:
        """Put a run on record, not yet driven; with a known `run_id` and the same input that run."""
        entry, data = await self.prepare(order)
        if order.run_id is not None and (known := self._known(order, entry, data)) is not None:
            return known
        self._bundles.keep(self._bundles.current())
        now = self._clock.now()
        id = RunId(order.run_id) if order.run_id else run_id(now // 1000, self._clock.chance(7))
        moves: list[facts.Fact] = []
        moved = partial(_moved, moves, entry.ref, now)
        verdict = self._objectives.of_start(entry, self._policies(), moved, id)
        started = facts.RunStarted(
            at=now,
            program=entry.ref,
            bundle=self._bundles.current().hash,
            actor=self._settings.actor,
            requester=order.requester or self._settings.actor,
            environment=self._settings.environment,
            mode=self._settings.mode,
            seed=self._clock.chance(16).hex(),
            trace_id=self._clock.chance(16).hex(),
            span_id=self._clock.chance(8).hex(),
            select=order.select,
            continues=order.continues,
            deadline=_deadline(entry, now),
            verdict=verdict,
            limited=True if limits_of(entry.manifest) is not None else None,
            input=data,
        )
        try:
            await self._create(id, started, moves, level)
        except RunExists:
            await self._recorder.settle()
            known = self._known(order, entry, data)
            assert known is not None
            return known
        return id

    async def prepare(self, order: Order) -> tuple[Entry[Agent] | Entry[Flow], bytes]:
        """Find the program and check its input, recording nothing. Raises Invalid."""
        if order.run_id is not None and not is_given_run_id(order.run_id):
            raise Invalid(f"run id {order.run_id!r}: use letters, digits and dashes, at most 128")
        bundle = self._bundles.current()
        entry: Entry[Agent] | Entry[Flow] = bundle.find(order.program, order.program.partition(":")[0])
        what = f"input of {entry.ref}"
        name = entry.manifest.contracts.input
        contract = bundle.contract(name) if name is not None else None
        data, value = fitting(*encoded(order.payload, what), contract, what, ErrorType.INPUT_CONTRACT)
        await self._secrets.learn_declared(bundle)
        with asked_right():
            require_no_secret(value, what)
        self._bundles.require_enforceable(bundle, entry.ref)
        return entry, data

    def _is_refused(self, id: RunId) -> bool:
        """Whether its objectives did not let it start."""
        run = read_run(self._store, id)
        verdict = run.started.verdict if run is not None and run.started is not None else None
        return verdict is not None and verdict.decision is facts.Decision.DENY

    async def resume(self, run: RunId) -> RunResult:
        """Drive a run until it ends or parks; an ended one's result. Raises Invalid for an unknown run.

        A child run is driven with the tree it is in.
        """
        return await self._driven(run, known_row(self._store, run).root)

    async def _driven(self, run: RunId, root: RunId) -> RunResult:
        while True:
            told: Told = await self._runner.submit(root)
            if not isinstance(told, Busy):
                return self.result(run)
            await asyncio.sleep(min(0.2, told.seconds))

    async def cancel(self, run: RunId, by: str) -> RunResult:
        """Cancel a run and all below it: at once when nobody drives it, else its driver does within a second."""
        row = known_row(self._store, run)
        current = self.result(row.root)
        if current.status in facts.ENDS:
            raise Invalid(f"run {row.root} has ended already: {current.status}")
        fact = facts.CancelRequested(at=self._clock.now(), by=by)
        write = Write(row.root, row.root, [seal(fact, self._clock.chance(16))], wake=fact.at)
        self._store.write([write], Level.SYNCED)
        self._drive.forget(row.root)
        return await self.resume(row.root)

    def result(self, run: RunId) -> RunResult:
        """How a run stands. Raises Invalid for an unknown run."""
        return result_of(self._store, run)

    def status(self, run: RunId) -> RunStatus:
        """Where a run is now. Raises Invalid for an unknown run."""
        return known_row(self._store, run).status

    def _known(self, order: Order, entry: Entry[Agent] | Entry[Flow], data: bytes) -> RunId | None:
        """The run of that id, when it was asked the same before."""
        run = read_run(self._store, RunId(order.run_id or ""))
        if run is None or run.started is None:
            return None
        if run.started.program.partition("@")[0] != entry.ref.partition("@")[0]:
            raise Invalid(
                f"run {run.id} exists and ran {run.started.program}, not {entry.ref}: choose another --run-id"
            )
        if run.started.input != data and plain(self._store, run.id, run.started.input) != decode(data):
            raise Invalid(f"run {run.id} exists with another input: choose another --run-id")
        if run.started.mode != self._settings.mode:
            raise Invalid(f"run {run.id} exists in mode {run.started.mode}: choose another --run-id")
        if (run.started.select, run.started.continues) != (order.select, order.continues):
            raise Invalid(f"run {run.id} exists with another choice of steps: choose another --run-id")
        return run.id

    async def _create(self, id: RunId, started: facts.RunStarted, moves: Sequence[facts.Fact], level: Level) -> None:
        """Write the first facts and take the lease, in one transaction."""
        owner = self._store.owner()
        row = new_run(started, id, owner, self._settings.lease_seconds)
        tree = Tree(id, Lease(id, owner, 1))
        run = tree.runs[id] = Run(id)
        if len(started.input) > LARGE_BYTES:
            data, _ = self._values.known(tree, run, decode(started.input))
            started = replace(started, input=data)
        await self._recorder.record(tree, run, [started, *moves], level, create=row)
        self._drive.begun(tree, run)


def _moved(moves: list[facts.Fact], ref: str, now: int, name: str, state: BreakerState, reason: str) -> None:
    """A breaker that a start has changed: told in the logs, and with the first facts of the run."""
    log_moved(name, state, reason, f"a start of {ref}")
    moves.append(BreakerMoved(at=now, step=START, name=name, state=state, reason=reason))


def _deadline(entry: Entry[Agent] | Entry[Flow], now: int) -> int | None:
    """When the run of an agent that has a `timeout` must have ended; flows have none."""
    seconds = entry.manifest.timeout if isinstance(entry.manifest, Agent) else None
    return None if seconds is None else now + int(min(seconds, LONGEST_SECONDS) * 1e6)
