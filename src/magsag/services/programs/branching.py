"""Branches of a Python program: side by side, against one another, against the clock.

Which branch won, whether the time ran out, which failure ended the others: these are facts, so that a resume decides
the same, whatever is fast that day. A branch that lost is never told more than it was told live, and starts nothing.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, NoReturn

from magsag.domain.context import Collected
from magsag.domain.errors import Broken, ErrorType, Invalid, StepFailed, Stopped
from magsag.domain.facts import ParkedOn
from magsag.domain.ids import StepId
from magsag.services.gate.notes import Note, Notes
from magsag.services.programs.crew import Crew, End, as_step_failed, close_unused
from magsag.services.steps.seat import Scope, Seat
from magsag.services.steps.turnstile import LAST, Turnstile

Call = Coroutine[Any, Any, Any]


class Branching:
    """The branches of one program in one leg."""

    def __init__(self, notes: Notes, seat: Seat, scopes: dict["asyncio.Task[Any]", Scope]) -> None:
        self._notes = notes
        self._seat = seat
        self._scopes = scopes
        self._turnstile = Turnstile(max((id.count("/") for id in seat.run.steps), default=0))

    async def together(
        self, scope: Scope, verb: str, starts: Sequence[Callable[[], Call]], bound: int, on_error: str, ordered: bool
    ) -> Any:
        """`gather` and `map`: values by index; the first failure ends the rest, or all errors are collected."""
        if on_error not in ("fail", "collect"):
            raise Invalid(f'ctx.{verb}: on_error is "fail" or "collect", not {on_error!r}')
        mark, id = self._next(scope, verb)
        note = self._notes.noted(self._seat, id)
        turnstile = self._turnstile if ordered else None
        branches = (
            (scope.branch(f"{mark}.{index}/", turnstile, _given_up(note, index)), start)
            for index, start in enumerate(starts)
        )

        def failed(index: int, end: End) -> bool:
            nonlocal note
            if note is not None:
                return bool(index == note.value)
            if end.error is None:
                return False
            note = self._notes.note(self._seat, id, verb, index)
            return True

        crew = Crew(self._seat.leg.strands, self._scopes, branches, bound, failed if on_error == "fail" else _never)
        ends = await self._all(crew, scope, id)
        if note is not None:
            self._raise_failure(scope, id, note, ends)
        if any(end.stopped for end in ends.values()):
            self._drop(scope)
        scope.now = max(scope.now, crew.latest)
        scope.partial = scope.partial or any(end.partial for end in ends.values())
        if on_error == "fail":
            return [ends[index].value for index in range(len(starts))]
        return _collected(scope, ends)

    async def race(self, scope: Scope, calls: tuple[Call, ...]) -> tuple[int, Any]:
        """The branch that ends first, by value or by error; the others are given up."""
        mark, id = self._next(scope, "race")
        note = self._notes.noted(self._seat, id)

        def decided(index: int, end: End) -> bool:
            nonlocal note
            if note is None and not end.stopped:
                note = self._notes.note(self._seat, id, "race", index, self._turnstile.passed)
            return note is not None and index == note.value

        branches = (
            (scope.branch(f"{mark}.{index}/", self._turnstile, _given_up(note, index)), partial(_same, call))
            for index, call in enumerate(calls)
        )
        ends = await self._all(Crew(self._seat.leg.strands, self._scopes, branches, len(calls), decided), scope, id)
        if note is None:
            self._drop(scope)
        return note.value, self._settled(scope, note, ends.get(note.value))

    async def timeout(self, scope: Scope, seconds: float, call: Call) -> Any:
        """The call against a timer, whose end is at an absolute time. Raises StepFailed(timeout)."""
        mark, id = self._next(scope, "timeout")
        note = self._notes.noted(self._seat, id)

        def decided(index: int, end: End) -> bool:
            nonlocal note
            if note is None and not end.stopped:
                note = self._notes.note(self._seat, id, "timeout", index == 1, self._turnstile.passed)
            return note is not None and index == int(note.value)

        timer = self._timer(note, id, self._notes.due(self._seat, scope, seconds), scope.depth)
        within = scope.branch(f"{mark}/", self._turnstile, note.told if note is not None and note.value else 0)
        branches = iter([(within, partial(_same, call)), (Scope(), partial(_same, timer))])
        try:
            ends = await self._all(Crew(self._seat.leg.strands, self._scopes, branches, 2, decided), scope, id)
        finally:
            close_unused((timer,))
        if note is None:
            self._drop(scope)
        if note.value:
            scope.now = max(scope.now, note.at)
            raise StepFailed(ErrorType.TIMEOUT, f"it did not end within {seconds:g} s", step=id)
        return self._settled(scope, note, ends.get(0))

    def cancelled(self, scope: Scope, step: str) -> None:
        """A cancellation that did not come from `ctx`: the run parks, since a replay could not repeat it."""
        scope.stopped = True
        leg = self._seat.leg
        if self._seat.given_up(scope) or leg.stopping or leg.tree.lost is not None:
            return
        why = "its await was cancelled by something other than ctx; use ctx.timeout, ctx.race or ctx.gather"
        self._seat.park(ParkedOn.DIVERGENCE, StepId(step), f"step {step}: {why}")
        raise Stopped(why)

    async def _all(self, crew: Crew, scope: Scope, id: StepId) -> dict[int, End]:
        try:
            ends = await crew.run()
            self._seat.stragglers |= crew.stragglers
            return ends
        except asyncio.CancelledError:
            self.cancelled(scope, id)
            raise
        except Broken as error:
            scope.stopped = True
            raise Stopped(str(error)) from error

    def _raise_failure(self, scope: Scope, id: StepId, note: Note, ends: dict[int, End]) -> NoReturn:
        """The failure that the note names, live and in every resume."""
        end = ends.get(note.value)
        if end is None or end.stopped:
            self._drop(scope)
        if end.error is None:
            said = f"step {id}: the record has branch {note.value} failing, and now it succeeds"
            self._seat.park(ParkedOn.DIVERGENCE, id, said)
            self._drop(scope)
        scope.now = max(scope.now, note.at)
        raise end.error

    def _settled(self, scope: Scope, note: Note, end: End | None) -> Any:
        """What the branch that a note names gave."""
        if end is None or end.stopped:
            self._drop(scope)
        scope.now = max(scope.now, note.at)
        scope.partial = scope.partial or end.partial
        if end.error is not None:
            raise end.error
        return end.value

    async def _timer(self, note: Note | None, id: StepId, due: int, depth: int) -> None:
        """Ends when the time is over; by the record where it says so."""
        if note is None:
            await self._notes.sleep_until(self._seat, id, due)
            await self._turnstile.wait(LAST, depth)
        elif note.value:
            await self._turnstile.wait(note.told + 0.5, depth)
        else:
            await self._notes.forever(self._seat)

    def _next(self, scope: Scope, verb: str) -> tuple[str, StepId]:
        """What its branches are called, and the note; no step of a program can have such an id."""
        number = scope.count(f"{verb}.")
        return f"{verb[0]}{number}", StepId(f"{scope.prefix}{verb}.{number}")

    def _drop(self, scope: Scope) -> NoReturn:
        scope.stopped = True
        raise Stopped("a branch does not go on in this leg")


async def _same(call: Call) -> Any:
    return await call


def _collected(scope: Scope, ends: dict[int, End]) -> Collected:
    errors = []
    for index, end in sorted(ends.items()):
        if end.error is not None:
            error = as_step_failed(end.error)
            listed = {"index": index, "type": error.type.value, "message": error.message, "details": error.details}
            errors.append(listed)
    scope.partial = scope.partial or bool(errors)
    return Collected([end.value for _, end in sorted(ends.items()) if end.error is None], errors)


def _never(index: int, end: End) -> bool:
    return False


def _given_up(note: Note | None, index: int) -> int:
    """When the branch of this index was given up, by the record."""
    return note.told if note is not None and note.value != index else 0
