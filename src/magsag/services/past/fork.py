"""Forks a run: a new run that takes over what was recorded before a step, and goes on from there by itself.

The facts become the new run's own, under new salts and in a new chain; what had begun before the step is taken over
whole, with its child runs. Recorded values may be set to something else (`services.past.setting`). The original is not
touched. Driving the new run is the caller's next step.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from magsag.catalog.bundle import Bundle
from magsag.domain import facts
from magsag.domain.effects import EFFECTFUL, Effect, Level
from magsag.domain.errors import ErrorType, Invalid, Refused
from magsag.domain.facts import StepStatus
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId, StepId, child_run_id, is_given_run_id, run_id
from magsag.domain.settings import Mode, Settings
from magsag.domain.values import encode_known
from magsag.domain.verdicts import START
from magsag.engine.chain import unseal_in
from magsag.engine.evolve import evolve
from magsag.engine.run import Run, Step
from magsag.ports.clock import Clock
from magsag.ports.ledger import Change, Declined, RunQuery, RunRow, Store
from magsag.services.gate.objectives import Objectives
from magsag.services.gate.outcomes import breach
from magsag.services.gate.untold import Untold
from magsag.services.past.copying import Copies
from magsag.services.past.leave import require_leave
from magsag.services.past.setting import INPUT, Setting, parse_setting
from magsag.services.programs.detached import waits_for_detached
from magsag.services.programs.starting import refusal
from magsag.services.recording.known import known_row
from magsag.services.recording.large import plain
from magsag.services.steps.bundles import Bundles
from magsag.services.steps.limits import limits_of
from magsag.services.steps.throttles import log_moved


@frozen
class Forked:
    """A run that was made from another one."""

    run: RunId
    origin: RunId
    step: StepId
    steps: int
    """how many steps it took over"""


@frozen
class _Original:
    """What is forked, and where."""

    row: RunRow
    run: Run
    recorded: list[facts.Fact]
    step: StepId
    begun: frozenset[StepId]
    """steps that come before it"""
    bundle: Bundle

    @property
    def taken(self) -> Iterable[facts.Fact]:
        """The facts that the new run begins with."""
        first = next(at for at, fact in enumerate(self.recorded) if _step_of(fact) == self.step)
        for at, fact in enumerate(self.recorded):
            is_before = isinstance(fact, facts.RunScored | facts.SignalReceived) and at < first
            is_beginning = isinstance(fact, facts.RunStarted) or is_before
            if is_beginning or _step_of(fact) in self.begun:
                yield fact


class Forks:
    """Makes new runs of recorded ones."""

    def __init__(self, store: Store, bundles: Bundles, clock: Clock, settings: Settings, untold: Untold) -> None:
        self._store = store
        self._bundles = bundles
        self._clock = clock
        self._settings = settings
        self._untold = untold
        self._objectives = Objectives(store, clock)

    def fork(self, origin: RunId, step: str, sets: Sequence[str] = (), id: str | None = None) -> Forked:
        """Put the new run on record, not yet driven; this process holds its lease.

        Raises Invalid for a run or step that is not there, an id that is taken, an act before the step of which
        nobody knows how it ended, and a value that cannot be set or does not meet its contract; Refused by the
        objectives and the limits of the program.
        """
        original = self._original(origin, step)
        self._require_same_reality(original)
        new = self._new_id(id)
        for text in sets:
            self._untold.require(original.bundle.hash, text, "--set")
        settings = [parse_setting(text, original.begun) for text in sets]
        children = self._children(original)
        started = self._started(original, settings)
        taken = [started if isinstance(fact, facts.RunStarted) else fact for fact in original.taken]
        if any(setting.of == INPUT for setting in settings):
            taken = [fact for fact in taken if not isinstance(fact, facts.RunScored)]
        for one in {setting.of for setting in settings} - {INPUT}:
            taken = self._with_output(original, StepId(one), settings, taken)
        self._bundles.keep(original.bundle)
        copies = Copies(self._store, self._clock, origin, new, self._settings.lease_seconds)
        for row, found in children:
            copies.add(row.run, found, Change(row.status, row.parked_on, row.due, row.updated))
        copies.add(origin, taken, None)
        writes = copies.writes()
        self._require_leave(original, new)
        if any(isinstance(answer, Declined) for answer in self._store.write(writes, Level.SYNCED)):
            raise Invalid(f"run {new} exists already: choose another --run-id")
        return Forked(new, origin, original.step, len(original.begun))

    def _require_leave(self, original: _Original, new: RunId) -> None:
        """A fork is a new run too: nobody can approve its start, since it begins in the middle. Asked last: what is
        refused for another reason takes nothing."""
        assert original.run.started is not None
        program = original.run.started.program
        moved = partial(log_moved, whose=f"a fork of {original.row.run}")
        verdict = self._objectives.of_start(original.bundle.find(program), "", moved, new)
        if verdict is not None and verdict.decision is not facts.Decision.ALLOW:
            raise Refused(refusal(program, verdict).message)
        if START in original.begun:
            manifest = original.bundle.find(program).manifest
            require_leave(self._store, manifest, new, self._settings.limits.step_seconds)

    def _original(self, origin: RunId, step: str) -> _Original:
        row = known_row(self._store, origin)
        if row.parent is not None:
            raise Invalid(f"run {origin} is a child run: fork {row.root}, from one of its own steps")
        run, found = self._read(origin)
        id = next((StepId(name) for name in (step, f"{step}#1") if StepId(name) in run.steps), None)
        if id is None:
            raise Invalid(f"run {origin} has no step {step!r}; it has {', '.join(run.steps) or 'none'}")
        begun = frozenset(_before(run.steps, id))
        assert run.started is not None
        return _Original(row, run, found, id, begun, self._bundles.find(run.started.bundle))

    def _require_same_reality(self, original: _Original) -> None:
        """What a dry run only showed must not count as done elsewhere. Raises Invalid."""
        started = original.run.started
        if started is not None and started.mode == Mode.DRY_RUN and self._settings.mode != Mode.DRY_RUN:
            what = f"run {original.row.run} was a dry run, so its effects never happened"
            raise Invalid(f"{what}: fork it with --mode dry_run, or start a new run")

    def _read(self, id: RunId) -> tuple[Run, list[facts.Fact]]:
        """A run whose earlier acts have certain ends and whose payloads are all there. Raises Invalid."""
        run = Run(id)
        found = []
        for stored in self._store.read(id):
            fact = unseal_in(id, stored)
            evolve(run, fact)
            found.append(fact)
            if isinstance(fact, facts.PayloadErased):
                raise Invalid(f"run {id}: payloads of it were erased, so it cannot be taken over")
        return run, found

    def _children(self, original: _Original) -> list[tuple[RunRow, list[facts.Fact]]]:
        """The runs below the steps that are taken over, whole. Raises Invalid for an act that is open."""
        rows = self._store.rows(RunQuery(root=original.row.run, roots_only=False, limit=None))
        heads = [head for id in original.begun for head in _runs_of(original.run, original.run.steps[id])]
        below = [row for row in rows if any(row.run == head or row.run.startswith(f"{head}.") for head in heads)]
        _require_certain(original.run, original.begun)
        found = []
        for row in sorted(below, key=lambda row: len(row.run), reverse=True):
            run, all_facts = self._read(row.run)
            _require_certain(run, run.steps)
            found.append((row, all_facts))
        return found

    def _new_id(self, id: str | None) -> RunId:
        if id is None:
            return run_id(self._clock.now() // 1000, self._clock.chance(7))
        if not is_given_run_id(id):
            raise Invalid(f"run id {id!r}: use letters, digits and dashes, at most 128")
        if self._store.row(RunId(id)) is not None:
            raise Invalid(f"run {id} exists already: choose another --run-id")
        return RunId(id)

    def _started(self, original: _Original, settings: Sequence[Setting]) -> facts.RunStarted:
        """Time and seed stay, so that the program comes to the same again; who asked for it, and where, does not."""
        assert original.run.started is not None
        started, today = original.run.started, self._settings
        input = started.input
        manifest = original.bundle.find(started.program).manifest
        mine = [setting for setting in settings if setting.of == INPUT]
        if mine:
            input = self._set(original, started.input, mine, manifest.contracts.input, ErrorType.INPUT_CONTRACT)
        now = self._clock.now()
        return replace(
            started,
            verdict=None,
            deadline=None if started.deadline is None else now + started.deadline - started.at,
            actor=today.actor,
            requester=today.actor,
            environment=today.environment,
            mode=today.mode,
            trace_id=self._clock.chance(16).hex(),
            span_id=self._clock.chance(8).hex(),
            forked_from=original.row.run,
            forked_at=now,
            limited=True if limits_of(manifest) is not None else None,
            input=input,
        )

    def _with_output(
        self, original: _Original, id: StepId, settings: Sequence[Setting], taken: list[facts.Fact]
    ) -> list[facts.Fact]:
        """The facts, with another output of one step."""
        step = original.run.steps[id]
        mine = [setting for setting in settings if setting.of == id]
        if step.status is not StepStatus.SUCCEEDED or step.proposal is None or step.output is None:
            raise Invalid(f"--set {mine[0].text}: step {id} has no output, it is {step.status}")
        output = self._set(
            original, step.output, mine, _output_contract(original.bundle, step), ErrorType.OUTPUT_CONTRACT
        )
        return [
            replace(fact, output=output)
            if isinstance(fact, facts.StepDone | facts.StepSucceeded | facts.StepResolved) and fact.step == id
            else fact
            for fact in taken
        ]

    def _set(
        self, original: _Original, data: bytes, settings: Sequence[Setting], name: str | None, type: ErrorType
    ) -> bytes:
        """Recorded bytes with places set, under their contract, redacted."""
        value: Any = plain(self._store, original.row.run, data)
        for setting in settings:
            value = setting.applied(value)
        if name is not None:
            contract = original.bundle.contract(name)
            if (fault := breach(contract, value, type)) is not None:
                raise Invalid(f"--set {settings[-1].text}: it {fault.message}")
            value = contract.redact(value)
        return encode_known(value)


def _step_of(fact: facts.Fact) -> StepId | None:
    step: StepId | None = getattr(fact, "step", None)
    return step


def _before(steps: Iterable[StepId], step: StepId) -> Iterable[StepId]:
    """Steps stand in the order in which they came up."""
    for id in steps:
        if id == step:
            return
        yield id


def _runs_of(run: Run, step: Step) -> list[RunId]:
    if step.proposal is None or step.proposal.effect is not Effect.DELEGATE:
        return []
    return [child_run_id(run.id, step.id, attempt) for attempt in range(1, max(1, step.attempt) + 1)]


def _require_certain(run: Run, steps: Iterable[StepId]) -> None:
    """An act that began and has no outcome would act again, under another key; so would the acts of a detached run."""
    for id in steps:
        step = run.steps[id]
        effect = step.proposal.effect if step.proposal else Effect.PURE
        if step.status in (StepStatus.STARTED, StepStatus.WAITING, StepStatus.IN_DOUBT) and effect in EFFECTFUL:
            raise Invalid(
                f"run {run.id}, step {id}: it comes before, and nobody knows yet how it ended ({step.status}); "
                "let the run go on first, or fork from an earlier step"
            )
        if waits_for_detached(step):
            raise Invalid(
                f"run {run.id}, step {id}: it comes before, and its detached child run would act once more; "
                "let the run go on first, or fork from an earlier step"
            )


def _output_contract(bundle: Bundle, step: Step) -> str | None:
    assert step.proposal is not None
    target = step.proposal.target
    if not target.startswith(("skill:", "agent:", "flow:")):
        return None
    name: str | None = bundle.find(target).manifest.contracts.output
    return name
