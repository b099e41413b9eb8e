"""The gate of a replay: answers every step from the record after comparing it, and has no way to act.

A step whose outcome the record does not hold waits: live it may have been given up at that point. Whoever waits for
nothing else any more (`services.past.replay`) says whether that is a difference.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType, Invalid, StepFailed, Stopped
from magsag.domain.facts import ParkedOn, ParkReason, RunStatus, StepStatus
from magsag.domain.ids import StepId, child_run_id
from magsag.domain.secret import SecretReference
from magsag.domain.values import encode
from magsag.domain.verdicts import DETACH
from magsag.engine.run import Step
from magsag.ports.clock import Clock
from magsag.ports.ledger import Ledger
from magsag.ports.model import BoundModel, ModelReply
from magsag.services.gate.gate import Gate
from magsag.services.gate.leaves import Leaves
from magsag.services.gate.notes import Note, Notes
from magsag.services.gate.outcomes import failure
from magsag.services.gate.secrets import SecretDesk
from magsag.services.past.course import Course
from magsag.services.past.difference import What, difference
from magsag.services.recording.large import Values
from magsag.services.recording.notebook import Notebook
from magsag.services.steps.attempt import Children, Told
from magsag.services.steps.beginnings import read_run
from magsag.services.steps.seat import Ended, Scope, Seat
from magsag.services.steps.target import Target

_LEFT_OPEN: Final = frozenset({StepStatus.NEW, StepStatus.STARTED, StepStatus.WAITING, StepStatus.CANCELLED})


class Reading(Gate):
    """Answers for one run. It shares no more with the gate than what programs ask of it."""

    def __init__(self, course: Course, notebook: Notebook, values: Values, ledger: Ledger, clock: Clock) -> None:
        self._course = course
        self._read_values = values
        self._ledger = ledger
        self.notes = _Notes(course, notebook, clock)
        self.leaves = _NoLeaves()
        self.secrets = _NoSecrets(_NoKeeper(), notebook, clock, are_needed=False)

    def drive_children(self, children: Children) -> None:
        """Child runs are replayed by themselves."""

    async def step(self, seat: Seat, scope: Scope, id: StepId, target: Target, payload: object) -> Told:
        """What the record says of this step. Raises the recorded StepFailed; Stopped at a difference or a park."""
        course = self._course
        known = course.ask(id)
        if scope.given_up_at and (known is None or not 0 < known.order <= scope.given_up_at):
            await course.block()
        if (known is None or known.status is StepStatus.HELD) and (waited := course.waits.get(id)) is not None:
            _park_again(seat, waited)
        if known is None:
            await course.go_beyond(id, f"the record does not have this step: {_spoken(target)}")
        self._match(seat, known, target, payload)
        if known.status in _LEFT_OPEN:
            await self._left_open(seat, known)
        if known.status is StepStatus.HELD:
            seat.park(ParkedOn.APPROVAL, id, f"{target.proposal.target} waits for an approval")
            raise Stopped("held")
        if known.status is StepStatus.IN_DOUBT:
            seat.park(ParkedOn.DOUBT, id, f"{target.proposal.target} may have acted and has no outcome")
            raise Stopped("in doubt")
        await course.turn(known)
        if known.status is StepStatus.FAILED:
            raise failure(known)
        if known.output is None:
            self._stop(id, What.ERASED, "its output was erased: what followed from it cannot be replayed")
        return Told(self._read_values.decode(seat.leg.tree, known.output), known.order, known.at, known.partial)

    async def recover(self, seat: Seat, step: Step) -> None:
        """A program that has ended left this step behind."""
        if step.status is StepStatus.IN_DOUBT:
            seat.park(ParkedOn.DOUBT, step.id, "it may have acted and has no outcome")

    def _match(self, seat: Seat, known: Step, target: Target, payload: object) -> None:
        """The program must do what the record says it did."""
        then, now, id = known.proposal, target.proposal, known.id
        if known.status is StepStatus.SKIPPED:
            self._stop(id, What.STATUS, "the record has it skipped, now it is to run")
        if then is None:
            self._stop(id, What.CALL, f"the record has it failing before it was proposed, now it is {_spoken(target)}")
        if then.call != now.call:
            self._stop(id, What.CALL, f"the record has {then.call} {then.target}, now it is {_spoken(target)}")
        if then.target != now.target:
            self._stop(id, What.TARGET, f"the record has {then.call} {then.target}, now it is {_spoken(target)}")
        try:
            value = self._admitted(seat, target, payload, id)
        except StepFailed as error:
            if known.error_type is ErrorType.INVALID_VALUE:
                return
            self._stop(id, What.INPUT, f"its input is no JSON any more: {error.message}", "/")
        if known.input is None or known.error_type is ErrorType.INVALID_VALUE:
            return
        before = self._read_values.decode(seat.leg.tree, known.input)
        if (pointer := difference(before, value)) is not None:
            self._stop(id, What.INPUT, f"its input for {now.target} differs at {pointer}", pointer)

    def _admitted(self, seat: Seat, target: Target, payload: object, id: StepId) -> object:
        """The input as the live gate records it."""
        tree, run, what = seat.leg.tree, seat.run, f"input of step {id}"
        if target.input is not None and target.input.redacts:
            payload = target.input.redact(encode(payload, what)[1])
        return self._read_values.encode(tree, run, payload, what)[1]

    async def _left_open(self, seat: Seat, known: Step) -> NoReturn:
        """No outcome: it or its child run waits for something, or it was given up, or the record ends here."""
        then = known.proposal
        if then is not None and then.effect is Effect.DELEGATE and then.call != DETACH:
            child = read_run(self._ledger, child_run_id(seat.run.id, known.id, max(1, known.attempt)))
            if child is not None and child.status is RunStatus.PARKED:
                for reason in child.reasons:
                    seat.park(reason.on, StepId(f"{known.id}/{reason.step}"), reason.reason)
                raise Stopped("its child run is parked")
        if (parked := self._course.waits.get(known.id)) is not None:
            _park_again(seat, parked)
        await self._course.go_beyond(known.id, f"the record has it {known.status}, without an outcome")

    def _stop(self, id: StepId, what: What, said: str, pointer: str | None = None) -> NoReturn:
        self._course.differ(id, what, said, pointer)
        raise Stopped(said)


class _NoSecrets(SecretDesk):
    """A replay acts nowhere, so it reads none."""

    async def remember(self, seat: Seat) -> None:
        """Nothing that it could show holds one."""


class _NoLeaves(Leaves):
    """A replay calls nothing, so how it ends is told to nobody."""

    def __init__(self) -> None:
        """It asks no store."""

    def ended(self, seat: Seat, ended: Ended | None) -> None:
        """It was told when it happened."""


class _NoKeeper:
    """Keeps none."""

    def read(self, reference: SecretReference) -> str:
        """Raises Invalid."""
        raise Invalid(f"{reference}: a replay reads no secrets")

    def may_wait(self, reference: SecretReference) -> bool:
        """It gives nothing, at once."""
        return False

    def version(self, value: str) -> str:
        """Never asked."""
        raise Invalid("a replay reads no secrets")


class _Notes(Notes):
    """What the program decides by itself is on record already, or it is a difference."""

    def __init__(self, course: Course, notebook: Notebook, clock: Clock) -> None:
        super().__init__(notebook, clock)
        self._course = course

    def noted(self, seat: Seat, id: StepId) -> Note | None:
        self._course.ask(id)
        return super().noted(seat, id)

    def note(self, seat: Seat, id: StepId, call: str, value: Any, told: int = 0) -> Note:
        decided = "wins" if call == "race" else "fails"
        said = "its time is over" if call == "timeout" else f"branch {value} {decided}"
        self._more(id, f"now {said}, which the record does not have of this {call}")
        return super().note(seat, id, call, value, told)

    def skip(self, seat: Seat, id: StepId, why: str) -> None:
        known = self._course.ask(id)
        if known is None:
            self._more(id, f"the record does not have this step; now it is skipped: {why}")
        elif known.status is not StepStatus.SKIPPED:
            self._course.differ(id, What.STATUS, f"the record has it {known.status}, now it is skipped: {why}")

    def fail(self, seat: Seat, id: StepId, error: StepFailed) -> None:
        known = self._course.ask(id)
        if known is None:
            self._more(id, f"the record does not have this step; now its input fails: {error.message}")
        elif known.status is not StepStatus.FAILED or known.proposal is not None:
            self._course.differ(id, What.STATUS, f"the record has it {known.status}, now it fails: {error.message}")

    async def sleep_until(self, seat: Seat, id: StepId, due: int) -> None:
        if (parked := self._course.waits.get(id)) is not None:
            seat.park(parked.on, id, parked.reason, parked.due)
            raise Stopped(parked.reason)
        await self._course.block()

    def _more(self, id: StepId, said: str) -> None:
        if not self._course.is_open:
            self._course.differ(id, What.MORE, said)


class RecordedClock:
    """Time stands where the record ends; there is no chance."""

    def __init__(self, at: int) -> None:
        self._at = at

    def now(self) -> int:
        """Microseconds since 1970."""
        return self._at

    def chance(self, count: int) -> bytes:
        """Names of large values that are thrown away."""
        return bytes(count)


class NoModels(Mapping[str, BoundModel]):
    """Every alias is known, and none can be asked."""

    def __getitem__(self, alias: str) -> BoundModel:
        return BoundModel(_Silent(), alias)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class _Silent:
    """A model that nobody reaches in a replay."""

    name = "replay"

    async def complete(self, model: str, request: Mapping[str, Any]) -> ModelReply:
        """Refuses."""
        raise Stopped("a replay asks no model")


def _park_again(seat: Seat, reason: ParkReason) -> NoReturn:
    """As the record has it. A step that waited for leave may have left no other trace."""
    seat.park(reason.on, reason.step, reason.reason, reason.due, reason.event, waits=reason.waits)
    raise Stopped(reason.reason)


def _spoken(target: Target) -> str:
    return f"{target.proposal.call} {target.proposal.target}"
