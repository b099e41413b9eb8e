"""Runs the program of a run from its input to its end: Python agents and flows, root and child alike.

What comes out is a value: how the run ended. A run that cannot go on in this leg leaves by Stopped, with its
reasons noted in the seat. The program's code is dropped then, and `ctx` refuses every later call.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from magsag.catalog.bundle import Bundle, Entry
from magsag.domain import facts
from magsag.domain.errors import Broken, ErrorType, StepFailed, Stopped
from magsag.domain.facts import RunStatus
from magsag.domain.graph import Graph
from magsag.domain.manifests import Agent, Flow
from magsag.domain.values import encode_known
from magsag.engine.closing import expired
from magsag.engine.decisions import StepResult
from magsag.engine.run import Run
from magsag.policy.people import People
from magsag.policy.rules import Policies
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store
from magsag.ports.model import BoundModel
from magsag.services.gate.gate import Gate
from magsag.services.gate.outcomes import breach, error_bytes
from magsag.services.programs.children import ChildRuns
from magsag.services.programs.context import ProgramContext, SyncContext
from magsag.services.programs.earlier import earlier_outputs
from magsag.services.programs.evaluation import evaluate, evaluations, failed_metric
from magsag.services.programs.flows import FlowProgram
from magsag.services.programs.leftovers import Leftovers
from magsag.services.programs.starting import admit, is_refusal, watched
from magsag.services.recording.large import Values, plain
from magsag.services.recording.recorder import Recorder
from magsag.services.steps.attempt import ChildPlace
from magsag.services.steps.beginnings import read_run, started_of
from magsag.services.steps.budgeting import bounds_of
from magsag.services.steps.cleaning import cleaned
from magsag.services.steps.moment import moment
from magsag.services.steps.raised import raised
from magsag.services.steps.seat import Ended, Leg, Scope, Seat
from magsag.services.steps.targets import Targets
from magsag.services.steps.threads import in_thread
from magsag.services.steps.whereabouts import WHEREABOUTS

AgentOrFlow = Entry[Agent] | Entry[Flow]


class Programs:
    """Runs programs, root and child alike."""

    def __init__(
        self,
        gate: Gate,
        recorder: Recorder,
        values: Values,
        store: Store,
        clock: Clock,
        policies: Policies,
        models: Mapping[str, BoundModel],
        people: Callable[[], People] | None = None,
    ) -> None:
        """`people` gives those in force."""
        self._gate = gate
        self._recorder = recorder
        self._values = values
        self._ledger = store
        self._clock = clock
        self._policies = policies
        self._models = models
        self._people = people
        self._known: dict[tuple[str, tuple[str, ...], str], Targets] = {}
        children = ChildRuns(self, recorder, store, clock)
        self.detached = children.detached
        gate.drive_children(children)
        self._leftovers = Leftovers(gate, children)
        children.clear = self._leftovers.clear

    def judge_by(self, policies: Policies) -> None:
        """Other policies are in force from here on; legs under way keep those that they began with."""
        self._policies = policies
        self._known.clear()

    def seat(self, leg: Leg, run: Run, bundle: Bundle, above: ChildPlace | None = None) -> Seat:
        """Give a run its place in a leg. Raises Invalid when its program is not in the bundle."""
        started = started_of(run)
        lineage = above.seat.lineage if above is not None else started.lineage or ()
        targets = self._targets(bundle, started.program, lineage)
        own = (*lineage, started.program)
        seat = Seat(leg, run, targets, own, started.environment, started.mode, recorded=run.order)
        seat.bounds = (*bounds_of(targets.entry.manifest, run.id), *(started.bounds or ()))
        if above is not None:
            seat.bounds += above.seat.bounds
            seat.above = above.branch
        return seat

    def _targets(self, bundle: Bundle, program: str, above: tuple[str, ...]) -> Targets:
        """What a program may call below those others; the same for all such runs in this process."""
        known = self._known.get((bundle.hash, above, program))
        if known is None:
            entry: AgentOrFlow = bundle.find(program)
            uses = entry.manifest.uses if isinstance(entry.manifest, Agent) and entry.manifest.flow is None else None
            known = Targets(bundle, self._policies, self._models, program, entry, uses, above, self._people)
            self._known[bundle.hash, above, program] = known
        return known

    async def conduct(self, seat: Seat) -> Ended:
        """Run the program to its end. Raises Stopped; CancelledError when it was cancelled from outside."""
        return await watched(self._gate, seat, self._conducted(seat))

    async def _conducted(self, seat: Seat) -> Ended:
        if (cancelled := _cancelled(seat)) is not None:
            return cancelled
        try:
            try:
                ended = await self._to_its_end(seat)
            finally:
                await seat.join()
            self._leftovers.require_reached(seat)
            await self._leftovers.clear(seat)
            return ended
        except Broken as error:
            seat.leg.tree.lose(error)
            raise Stopped(str(error)) from error
        except (Stopped, asyncio.CancelledError):
            if (cancelled := _cancelled(seat)) is None or seat.leg.tree.lost is not None:
                raise
            return cancelled

    async def _to_its_end(self, seat: Seat) -> Ended:
        entry = seat.targets.entry
        try:
            await self._gate.secrets.remember(seat)
            await admit(self._gate, seat)
            payload = self._values.decode(seat.leg.tree, started_of(seat.run).input)
            self._evaluate(seat, entry, "input", payload)
            result = await cleaned(await self._program(seat, entry, payload))
            output = self._checked(seat, entry, result)
        except StepFailed as error:
            return Ended(RunStatus.DENIED if is_refusal(error) else RunStatus.FAILED, error_bytes(error))
        except (Broken, Stopped, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            if _is_cancelled():
                raise
            return Ended(RunStatus.FAILED, error_bytes(raised(error)))
        return Ended(RunStatus.PARTIAL if seat.partial else RunStatus.SUCCEEDED, output)

    async def _program(self, seat: Seat, entry: AgentOrFlow, payload: object) -> object:
        if isinstance(entry.manifest, Flow):
            return await self._flow(seat, entry, payload)
        if entry.manifest.flow is not None:
            flow: Entry[Flow] = seat.targets.bundle.find(entry.manifest.flow, "flow")
            return await self._flow(seat, flow, payload)
        return await self._agent(seat, payload)

    async def _agent(self, seat: Seat, payload: object) -> object:
        code = seat.targets.code
        context = ProgramContext(self._gate, seat)
        before = WHEREABOUTS.get()
        WHEREABOUTS.set((seat.run.id, ""))
        try:
            if code.is_async:
                result: object = await code.function(payload, context)
            else:
                result = await in_thread(code.function, [payload, SyncContext(context)], _drop)
            return result
        finally:
            WHEREABOUTS.set(before)
            context.close()
            seat.partial = context.root.partial
            _require_going_on(context.root)

    async def _flow(self, seat: Seat, entry: Entry[Flow], payload: object) -> object:
        started = started_of(seat.run)
        names: dict[str, object] = {
            "input": payload,
            "run": {"id": seat.run.id, "program": started.program, "requester": started.requester},
            "env": seat.environment,
            "time": moment(started.at),
        }
        select = frozenset(started.select) if started.select is not None else None
        graph = seat.targets.bundle.graph(entry)
        return await FlowProgram(self._gate, seat).run(graph, names, select, self._given(started, graph))

    def _given(self, started: facts.RunStarted, graph: Graph) -> dict[str, StepResult]:
        """Outputs that stand for steps which were not selected, from the run that this one continues."""
        if started.continues is None:
            return {}
        read, value = partial(read_run, self._ledger), partial(plain, self._ledger)
        found = earlier_outputs(read(started.continues), graph, read, value)
        return {id: result for id, result in found.items() if id not in (started.select or ())}

    def _evaluate(self, seat: Seat, entry: AgentOrFlow, on: str, payload: object) -> None:
        if not isinstance(entry.manifest, Agent):
            return
        for evaluation in evaluations(seat.targets.bundle, entry, on):
            known = [it for it in seat.run.scores if (it.evaluation, it.on) == (evaluation.ref, on)]
            if known:
                scores = known[-1].scores
            else:
                scores, details = evaluate(seat.targets.bundle, evaluation, payload)
                output, now = encode_known(details), self._clock.now()
                fact = facts.RunScored(at=now, evaluation=evaluation.ref, on=on, scores=scores, output=output)
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


def _cancelled(seat: Seat) -> Ended | None:
    """The end of a run whose tree somebody asked to cancel, or whose time is over."""
    if seat.leg.cancelled_by is None:
        return _expired(seat)
    by = StepFailed(ErrorType.RAISED, f"cancelled by {seat.leg.cancelled_by}")
    return Ended(RunStatus.CANCELLED, error_bytes(by))


def _expired(seat: Seat) -> Ended | None:
    deadline = started_of(seat.run).deadline
    if not seat.leg.expired or deadline is None:
        return None
    return Ended(RunStatus.FAILED, error_bytes(expired(deadline)))


def _is_cancelled() -> bool:
    """Whether somebody cancelled the task at hand, and not the program itself."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False  # the loop is gone, and the program is being thrown away
    return task is not None and task.cancelling() > 0


def _require_going_on(root: Scope) -> None:
    """What a program makes of being dropped or cancelled is not believed, be it a result or an error."""
    if _is_cancelled():
        raise asyncio.CancelledError
    if root.stopped:
        raise Stopped("the program caught the end of its leg and went on; its result is not believed")


def _drop(_: object, __: BaseException | None) -> None:
    """A sync agent that overstayed: its run went on without it."""
