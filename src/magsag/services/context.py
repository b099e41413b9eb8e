"""`ctx`: what an agent's code may ask for. Every verb becomes a step at the gate.

A step's id is the path of branches plus `name#n`, counted per branch, so that the same program gives the same
ids on every machine and in every replay. A call from a task that `ctx` did not start is refused by name.
"""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, NoReturn
from uuid import UUID

from magsag.domain.context import Collected
from magsag.domain.errors import Broken, ErrorType, Invalid, StepFailed, Stopped
from magsag.domain.facts import ParkedOn
from magsag.domain.ids import StepId
from magsag.services.crew import Crew, End, as_step_failed
from magsag.services.gate import Gate
from magsag.services.seat import Scope, Seat
from magsag.services.targets import Target
from magsag.services.turnstile import Turnstile

_log = logging.getLogger("magsag.agent")
_LAST = float("inf")


class ProgramContext:
    """The Context of one run in one leg."""

    def __init__(self, gate: Gate, seat: Seat) -> None:
        started = seat.run.started
        assert started is not None
        self._gate = gate
        self._seat = seat
        self._seed = bytes.fromhex(started.seed)
        self._turnstile = Turnstile()
        self._scopes: dict[asyncio.Task[Any], Scope] = {}
        self._closed = False
        task = asyncio.current_task()
        assert task is not None
        self.root = self._scopes[task] = Scope(now=started.at)

    def close(self) -> None:
        """The program has ended or was dropped: every later call is refused."""
        self._closed = True

    @property
    def run_id(self) -> str:
        """The id of this run."""
        return self._seat.run.id

    @property
    def idempotency_key(self) -> str:
        """Names this run's effect to the outside; the same over restarts."""
        return hashlib.sha256(self._seat.run.id.encode()).hexdigest()[:32]

    def log(self, message: str, **fields: object) -> None:
        """Write a line to the log of the process; no fact."""
        _log.info(message, extra={"run": self._seat.run.id, "fields": fields})

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the run is; no fact."""
        fields = {"done": done, "total": total, "text": message}
        _log.info("progress", extra={"run": self._seat.run.id, "fields": fields})

    async def skill(self, ref: str, payload: Any = None, *, key: str | None = None) -> Any:
        """Run a skill."""
        return await self._step(self._seat.targets.skill(ref), payload, key, "skill")

    async def delegate(self, ref: str, payload: Any = None, *, key: str | None = None) -> Any:
        """Hand the payload to another agent as a child run and wait for its output."""
        return await self._step(self._seat.targets.child(ref), payload, key, "delegate")

    async def model(self, alias: str, request: Mapping[str, Any] | str, *, key: str | None = None) -> Any:
        """Ask a model by its alias."""
        asked = {"messages": [{"role": "user", "content": request}]} if isinstance(request, str) else request
        return await self._step(self._seat.targets.model(alias), asked, key, "model")

    async def call(self, function: Callable[..., Any], *args: Any, key: str | None = None) -> Any:
        """Run a function of one's own as a recorded `read` step."""
        return await self._step(self._seat.targets.function(function), list(args), key, "call")

    async def gather(self, *calls: Coroutine[Any, Any, Any], on_error: str = "fail", ordered: bool = False) -> Any:
        """Run calls side by side."""
        scope = self._scope("gather", *calls)
        prefix = f"{scope.prefix}g{scope.count('g')}."
        branches = (
            (self._branch(scope, f"{prefix}{index}/", ordered), partial(_same, call))
            for index, call in enumerate(calls)
        )
        try:
            return await self._together(scope, branches, len(calls), on_error)
        finally:
            for call in calls:
                call.close()

    async def map(
        self,
        function: Callable[[Any], Coroutine[Any, Any, Any]],
        items: Iterable[Any],
        *,
        concurrency: int = 100,
        on_error: str = "fail",
        ordered: bool = False,
    ) -> Any:
        """Run `function(item)` for each item, at most `concurrency` at once."""
        scope = self._scope("map")
        if concurrency < 1:
            raise Invalid(f"ctx.map: concurrency is {concurrency}, at least 1 is needed")
        listed = list(items)
        prefix = f"{scope.prefix}m{scope.count('m')}."
        branches = (
            (self._branch(scope, f"{prefix}{index}/", ordered), partial(function, item))
            for index, item in enumerate(listed)
        )
        return await self._together(scope, branches, min(concurrency, len(listed)), on_error)

    async def race(self, *calls: Coroutine[Any, Any, Any]) -> tuple[int, Any]:
        """The index and result of the call that ends first; the others are cancelled."""
        scope = self._scope("race", *calls)
        if not calls:
            raise Invalid("ctx.race needs at least one call")
        number = scope.count("r")
        note = StepId(f"{scope.prefix}race#{number}")
        won: int | None = self._gate.notes.noted(self._seat, note)

        def decided(index: int, end: End) -> bool:
            nonlocal won
            if end.stopped or end.cancelled:
                return False
            if won is None:
                won = self._gate.notes.note(self._seat, note, "race", index)
            return index == won

        branches = (
            (self._branch(scope, f"{scope.prefix}r{number}.{index}/", True), partial(_same, call))
            for index, call in enumerate(calls)
        )
        try:
            ends = await Crew(self._scopes, branches, len(calls), decided).run()
        finally:
            for call in calls:
                call.close()
        if won is None or won not in ends:
            self._drop(scope)
        scope.now = max(scope.now, self._seat.run.steps[note].at)
        if (error := ends[won].error) is not None:
            raise error
        return won, ends[won].value

    async def timeout(self, seconds: float, call: Coroutine[Any, Any, Any]) -> Any:
        """The call's result, or StepFailed(timeout) when it takes longer."""
        scope = self._scope("timeout", call)
        number = scope.count("t")
        note = StepId(f"{scope.prefix}timeout#{number}")
        known: bool | None = self._gate.notes.noted(self._seat, note)
        due = scope.now + int(seconds * 1e6)
        expired = known

        def decided(index: int, end: End) -> bool:
            nonlocal expired
            if end.stopped or end.cancelled:
                return index == 1
            if expired is None:
                expired = self._gate.notes.note(self._seat, note, "timeout", index == 1)
            return index == (1 if expired else 0)

        timer = self._gate.notes.forever() if known is False else self._timer(due)
        branches = [
            (self._branch(scope, f"{scope.prefix}t{number}/", True), partial(_same, call)),
            (Scope(), partial(_same, timer)),
        ]
        try:
            ends = await Crew(self._scopes, iter(branches), 2, decided).run()
        finally:
            call.close()
            timer.close()
        scope.now = max(scope.now, self._seat.run.steps[note].at) if note in self._seat.run.steps else scope.now
        if expired:
            raise StepFailed(ErrorType.TIMEOUT, f"it did not end within {seconds:g} s", step=note)
        if (end := ends.get(0)) is None or end.stopped:
            self._drop(scope)
        if end.error is not None:
            raise end.error
        return end.value

    def now(self) -> datetime:
        """The time of the last fact this code has seen."""
        return datetime.fromtimestamp(self._scope("now").now / 1e6, UTC)

    def uuid(self) -> UUID:
        """A random UUID: the same on a resume."""
        return UUID(bytes=self._fold("uuid")[:16], version=4)

    def random(self) -> float:
        """A random number in [0, 1): the same on a resume."""
        return (int.from_bytes(self._fold("random")[:7], "big") >> 3) / (1 << 53)

    def _fold(self, name: str) -> bytes:
        """Chance as a keyed hash of the run's seed, the branch and a count: nothing has to be recorded."""
        scope = self._scope(name)
        return hmac.digest(self._seed, f"{scope.prefix}{name}{scope.count(name)}".encode(), "sha256")

    async def _step(self, target: Target, payload: object, key: str | None, verb: str) -> Any:
        scope = self._scope(verb)
        name = f"{target.name}[{key}]" if key is not None else f"{target.name}#{scope.count(target.name)}"
        try:
            told = await self._gate.step(self._seat, scope, StepId(scope.prefix + name), target, payload)
        except StepFailed as error:
            if scope.ordered:
                await self._turnstile.wait(error.order)
            scope.now = max(scope.now, error.at)
            raise
        except Stopped:
            scope.stopped = True
            raise
        except Broken as error:
            scope.stopped = True
            raise Stopped(str(error)) from error
        except asyncio.CancelledError:
            self._cancelled_from(scope, scope.prefix + name)
            raise
        if scope.ordered:
            await self._turnstile.wait(told.order)
        scope.now = max(scope.now, told.at)
        return told.value

    def _cancelled_from(self, scope: Scope, step: str) -> None:
        """A cancellation that did not come from `ctx`: the run parks, since a replay could not repeat it."""
        scope.stopped = True
        leg = self._seat.leg
        if self._seat.given_up(scope) or leg.stopping or leg.tree.lost is not None:
            return
        why = "its await was cancelled by something other than ctx; use ctx.timeout, ctx.race or ctx.gather"
        self._seat.park(ParkedOn.DIVERGENCE, StepId(step), f"step {step}: {why}")
        raise Stopped(why)

    async def _together(
        self,
        scope: Scope,
        branches: Iterator[tuple[Scope, Callable[[], Coroutine[Any, Any, Any]]]],
        bound: int,
        on_error: str,
    ) -> Any:
        if on_error not in ("fail", "collect"):
            raise Invalid(f'on_error is "fail" or "collect", not {on_error!r}')
        until = _never if on_error == "collect" else _failed
        crew = Crew(self._scopes, branches, bound, until)
        ends = await crew.run()
        scope.now = max(scope.now, crew.latest)
        errors = {index: end.error for index, end in ends.items() if end.error is not None}
        if errors and on_error == "fail":
            raise min(errors.items(), key=lambda item: (_order(item[1]), item[0]))[1]
        if any(end.stopped for end in ends.values()):
            self._drop(scope)
        if on_error == "fail":
            return [ends[index].value for index in range(len(ends))]
        self._seat.partial = self._seat.partial or bool(errors)
        return Collected([ends[i].value for i in range(len(ends)) if i not in errors], _listed(errors))

    def _branch(self, scope: Scope, prefix: str, ordered: bool) -> Scope:
        return Scope(prefix, scope.ordered or ordered, now=scope.now)

    async def _timer(self, due: int) -> None:
        await self._gate.notes.sleep_until(due)
        await self._turnstile.wait(_LAST)

    def _drop(self, scope: Scope) -> NoReturn:
        scope.stopped = True
        raise Stopped("a branch does not go on in this leg")

    def _scope(self, verb: str, *calls: Coroutine[Any, Any, Any]) -> Scope:
        """The branch that the calling task is in. Refuses what a replay could not repeat."""
        task = asyncio.current_task()
        scope = self._scopes.get(task) if task is not None else None
        if scope is not None and not self._closed and not scope.stopped and not scope.cancelled:
            return scope
        for call in calls:
            call.close()
        if scope is None and not self._closed:
            raise Invalid(
                f"ctx.{verb} was called from a task that ctx did not start. Use ctx.gather, ctx.map, ctx.race or "
                "ctx.timeout instead of asyncio's own: a resume could not repeat the order of foreign tasks"
            )
        if scope is not None and scope.cancelled:
            raise asyncio.CancelledError
        raise Stopped(f"ctx.{verb} was called after the run had stopped in this leg")


class SyncContext:
    """What an agent written as a sync function gets: it runs in a thread and takes no steps."""

    def __init__(self, context: ProgramContext) -> None:
        self._context = context
        self.idempotency_key = context.idempotency_key
        self.log = context.log
        self.progress = context.progress

    def __getattr__(self, name: str) -> NoReturn:
        raise Invalid(f"ctx.{name} is not there for a sync agent: write `async def` to take steps")


async def _same(call: Coroutine[Any, Any, Any]) -> Any:
    return await call


def _never(index: int, end: End) -> bool:
    return False


def _failed(index: int, end: End) -> bool:
    return end.error is not None


def _order(error: Exception) -> float:
    return error.order if isinstance(error, StepFailed) and error.order else _LAST


def _listed(errors: dict[int, Exception]) -> list[dict[str, Any]]:
    listed = []
    for index, error in sorted(errors.items()):
        failed = as_step_failed(error)
        listed.append({"index": index, "type": failed.type.value, "message": failed.message, "details": failed.details})
    return listed
