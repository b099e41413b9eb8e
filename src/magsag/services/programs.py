"""Runs the program of a run from its input to its end: Python agents and flows, root and child alike.

What comes out is a value: how the run ended. A run that cannot go on in this leg leaves by Stopped, with its
reasons noted in the seat. The program's code is dropped then, and `ctx` refuses every later call.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any

from magsag.catalog.bundle import Bundle, Entry
from magsag.domain import facts
from magsag.domain.effects import Level
from magsag.domain.errors import Broken, ErrorType, Invalid, StepFailed, Stopped
from magsag.domain.facts import RunStatus, StepStatus
from magsag.domain.ids import RunId, StepId, child_run_id
from magsag.domain.manifests import Agent, Flow
from magsag.domain.values import decode
from magsag.engine.chain import unseal
from magsag.engine.decisions import StepResult
from magsag.engine.run import Run, evolve, wake
from magsag.policy.judge import Policies
from magsag.ports.clock import Clock
from magsag.ports.ledger import Change, Ledger, NewRun
from magsag.ports.model import ModelProvider
from magsag.services.context import ProgramContext, SyncContext
from magsag.services.evaluation import evaluate, evaluations, failed_metric
from magsag.services.flows import FlowProgram
from magsag.services.gate import ChildEnd, ChildPlace, Gate, breach, error_bytes
from magsag.services.large import Values, plain
from magsag.services.moment import moment
from magsag.services.raised import raised
from magsag.services.recorder import Recorder
from magsag.services.seat import Leg, Seat
from magsag.services.targets import ChildAct, Targets
from magsag.services.threads import in_thread

AgentOrFlow = Entry[Agent] | Entry[Flow]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: its result, or the error, as it is recorded."""

    status: RunStatus
    output: bytes


class Programs:
    """Runs programs; also the gate's way to child runs."""

    def __init__(
        self,
        gate: Gate,
        recorder: Recorder,
        values: Values,
        ledger: Ledger,
        clock: Clock,
        policies: Policies,
        models: Mapping[str, tuple[ModelProvider, str]],
    ) -> None:
        self._gate = gate
        self._recorder = recorder
        self._values = values
        self._ledger = ledger
        self._clock = clock
        self._policies = policies
        self._models = models
        self._known: dict[tuple[str, str], Targets] = {}
        gate.children = self

    def seat(self, leg: Leg, run: Run, bundle: Bundle, above: ChildPlace | None = None) -> Seat:
        """Give a run its place in a leg. Raises Invalid when its program is not in the bundle."""
        started = _started(run)
        targets = self._targets(bundle, started.program)
        seat = Seat(leg, run, targets, (started.program,), started.environment, started.mode)
        if above is not None:
            seat.lineage = (*above.seat.lineage, started.program)
            seat.parent, seat.branches = (above.seat, above.scope), (above.branch,)
        return seat

    def _targets(self, bundle: Bundle, program: str) -> Targets:
        """What a program may call; the same for all its runs in this process."""
        known = self._known.get((bundle.hash, program))
        if known is None:
            entry: AgentOrFlow = bundle.find(program)
            uses = entry.manifest.uses if isinstance(entry.manifest, Agent) and entry.manifest.flow is None else None
            known = Targets(bundle, self._policies, self._models, program, entry, uses)
            self._known[bundle.hash, program] = known
        return known

    async def conduct(self, seat: Seat) -> Ended:
        """Run the program to its end. Raises Stopped; CancelledError when it was cancelled from outside."""
        entry = seat.targets.entry
        try:
            payload = self._values.decode(seat.leg.tree, _started(seat.run).input)
            self._evaluate(seat, entry, "input", payload)
            result = await self._program(seat, entry, payload)
            output = self._checked(seat, entry, result)
        except StepFailed as error:
            return Ended(RunStatus.DENIED if error.type is ErrorType.DENIED else RunStatus.FAILED, error_bytes(error))
        except Broken as error:
            raise Stopped(str(error)) from error
        except asyncio.CancelledError:
            if seat.leg.cancelled_by is None:
                raise
            return Ended(RunStatus.CANCELLED, error_bytes(StepFailed("raised", f"cancelled by {seat.leg.cancelled_by}")))
        except (Exception, SystemExit) as error:
            return Ended(RunStatus.FAILED, error_bytes(raised(error)))
        return Ended(RunStatus.PARTIAL if seat.partial else RunStatus.SUCCEEDED, output)

    async def run(self, place: ChildPlace, input: bytes) -> ChildEnd:
        """Start or go on with the child run of a step, in this leg."""
        leg, parent = place.seat.leg, place.seat.run
        child = child_run_id(parent.id, place.step, place.attempt)
        run = leg.tree.runs.get(child) or self._read(leg, child) or self._begin(place, child, input)
        leg.tree.runs[child] = run
        if run.ended is None:
            await self._conduct_child(place, run)
        assert run.ended is not None
        head = leg.tree.heads.get(child, b"").hex()
        if run.ended.status in (RunStatus.SUCCEEDED, RunStatus.PARTIAL):
            place.seat.partial = place.seat.partial or run.ended.status is RunStatus.PARTIAL
            return ChildEnd(run.ended.output, None, head)
        return ChildEnd(None, _child_error(place, run.ended), head)

    async def _conduct_child(self, place: ChildPlace, run: Run) -> None:
        leg = place.seat.leg
        wake(run)
        seat = self.seat(leg, run, place.seat.targets.bundle, place)
        try:
            ended = await self.conduct(seat)
        except Stopped:
            await self._park_child(place, seat)
            raise
        except asyncio.CancelledError:
            if not place.seat.given_up(place.scope) and not place.branch.cancelled:
                raise
            ended = Ended(RunStatus.CANCELLED, error_bytes(StepFailed("raised", "the delegating step was given up")))
            await self._end_child(leg, run, ended)
            raise
        await self._end_child(leg, run, ended)
        if ended.status is RunStatus.CANCELLED:
            raise asyncio.CancelledError

    async def _end_child(self, leg: Leg, run: Run, ended: Ended) -> None:
        now = self._clock.now()
        fact = facts.RunEnded(at=now, status=ended.status, output=ended.output)
        await self._recorder.record(leg.tree, run, [fact], Level.WRITTEN, change=Change(ended.status, updated=now))

    async def _park_child(self, place: ChildPlace, seat: Seat) -> None:
        """The child's reasons become the parent's, with the way to the step that waits."""
        if not seat.reasons or seat.leg.tree.lost is not None:
            return
        now = self._clock.now()
        fact = parked(now, seat)
        change = Change(RunStatus.PARKED, fact.on, fact.due, now)
        await self._recorder.record(seat.leg.tree, seat.run, [fact], Level.WRITTEN, change=change)
        for reason in seat.reasons:
            place.seat.park(reason.on, StepId(f"{place.step}/{reason.step}"), reason.reason)

    def _begin(self, place: ChildPlace, child: RunId, input: bytes) -> Run:
        above, act = _started(place.seat.run), place.target.act
        assert isinstance(act, ChildAct)
        now = self._clock.now()
        run = Run(child)
        fact = facts.RunStarted(
            at=now,
            program=act.entry.ref,
            bundle=above.bundle,
            actor=above.program,
            requester=above.requester,
            environment=above.environment,
            mode=above.mode,
            seed=self._clock.chance(16).hex(),
            trace_id=above.trace_id,
            span_id=self._clock.chance(8).hex(),
            parent_span_id=above.span_id,
            parent=place.seat.run.id,
            parent_step=place.step,
            input=input,
        )
        row = new_run(fact, place.seat.leg.tree.root)
        self._recorder.keep(place.seat.leg.tree, run, fact, create=row)
        return run

    def _read(self, leg: Leg, child: RunId) -> Run | None:
        """A child that an earlier leg began."""
        if not leg.resumed:
            return None
        run = read_run(self._ledger, child)
        if run is not None and run.ended is not None:
            stored = self._ledger.read(child, run.count - 1)
            leg.tree.heads[child] = stored[-1].head
        return run

    async def _program(self, seat: Seat, entry: AgentOrFlow, payload: object) -> object:
        if isinstance(entry.manifest, Flow):
            return await self._flow(seat, entry, payload)
        if entry.manifest.flow is not None:
            flow: Entry[Flow] = seat.targets.bundle.find(entry.manifest.flow, "flow")
            return await self._flow(seat, flow, payload)
        return await self._agent(seat, entry, payload)

    async def _agent(self, seat: Seat, entry: AgentOrFlow, payload: object) -> object:
        function: Any = seat.targets.bundle.function(entry)
        context = ProgramContext(self._gate, seat)
        try:
            if iscoroutinefunction(function):
                result: object = await function(payload, context)
            else:
                result = await in_thread(function, [payload, SyncContext(context)], _drop)
        finally:
            context.close()
        if context.root.stopped:
            raise Stopped("the program caught the end of its leg and went on; its result is not believed")
        return result

    async def _flow(self, seat: Seat, entry: Entry[Flow], payload: object) -> object:
        started = _started(seat.run)
        names: dict[str, object] = {
            "input": payload,
            "run": {"id": seat.run.id, "program": started.program, "requester": started.requester},
            "env": seat.environment,
            "time": moment(started.at),
        }
        select = frozenset(started.select) if started.select is not None else None
        given = self._given(started)
        return await FlowProgram(self._gate, seat).run(seat.targets.bundle.graph(entry), names, select, given)

    def _given(self, started: facts.RunStarted) -> dict[str, StepResult]:
        """Outputs that stand for steps which were not selected, from the run that this one continues."""
        before = read_run(self._ledger, started.continues) if started.continues is not None else None
        if before is None:
            return {}
        return {
            id: StepResult(step.status, plain(self._ledger, before.id, step.output))
            for id, step in before.steps.items()
            if id not in (started.select or ()) and step.status is StepStatus.SUCCEEDED
        }

    def _evaluate(self, seat: Seat, entry: AgentOrFlow, on: str, payload: object) -> None:
        if not isinstance(entry.manifest, Agent):
            return
        for evaluation in evaluations(seat.targets.bundle, entry, on):
            known = [it for it in seat.run.scores if (it.evaluation, it.on) == (evaluation.ref, on)]
            if known:
                scores = known[-1].scores
            else:
                scores = evaluate(seat.targets.bundle, evaluation, payload)
                fact = facts.RunScored(at=self._clock.now(), evaluation=evaluation.ref, on=on, scores=scores)
                self._recorder.keep(seat.leg.tree, seat.run, fact)
            if (error := failed_metric(evaluation, scores, on)) is not None:
                raise error

    def _checked(self, seat: Seat, entry: AgentOrFlow, result: object) -> bytes:
        """The result as JSON, under its contract, redacted, evaluated."""
        tree, run = seat.leg.tree, seat.run
        output, value = self._values.encode(tree, run, result, f"output of {entry.ref}")
        name = entry.manifest.contracts.output
        if name is not None:
            contract = seat.targets.bundle.contract(name)
            if (error := breach(contract, value, ErrorType.OUTPUT_CONTRACT)) is not None:
                raise error
            if contract.redacts:
                output, value = self._values.known(tree, run, contract.redact(value))
        self._evaluate(seat, entry, "output", value)
        return output


def read_run(ledger: Ledger, id: RunId) -> Run | None:
    """Fold a run from the ledger; None when there is no such run."""
    run = Run(id)
    for stored in ledger.read(id):
        evolve(run, unseal(stored))
    return run if run.started is not None else None


def new_run(
    started: facts.RunStarted, root: RunId, owner: str | None = None, lease_seconds: float = 0.0
) -> NewRun:
    """The row of a run that begins with this fact, in the tree of `root`; with `owner` it takes the lease."""
    return NewRun(
        root=root,
        parent=started.parent,
        program=started.program,
        bundle=started.bundle,
        tenant="local",
        actor=started.actor,
        requester=started.requester,
        trace_id=started.trace_id,
        span_id=started.span_id,
        created=started.at,
        owner=owner,
        lease_seconds=lease_seconds,
    )


DAY = 86_400_000_000


def parked(now: int, seat: Seat) -> facts.RunParked:
    """The fact that a run waits; it is looked at again in a day even if nothing wakes it."""
    return facts.RunParked(at=now, on=seat.reasons[0].on, due=now + DAY, reasons=tuple(seat.reasons))


def _started(run: Run) -> facts.RunStarted:
    if run.started is None:
        raise Invalid(f"run {run.id} is not in the ledger")
    return run.started


def _child_error(place: ChildPlace, ended: facts.RunEnded) -> StepFailed:
    error: Any = decode(ended.output or b"{}")
    inside = error.get("step")
    details = {**error.get("details", {}), "run": child_run_id(place.seat.run.id, place.step, place.attempt)}
    return StepFailed(
        error.get("type", ErrorType.RAISED),
        error.get("message", "the child run failed"),
        details,
        f"{place.step}/{inside}" if inside else place.step,
    )


def _drop(_: object) -> None:
    """A sync agent that overstayed: its run went on without it."""
