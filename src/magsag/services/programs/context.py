"""`ctx`: what an agent's code may ask for. Every verb becomes a step at the gate.

A step's id is the path of branches plus `name#n`, counted per branch, so that the same program gives the same
ids on every machine and in every replay. A call from a task that `ctx` did not start is refused by name.
"""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from types import CoroutineType
from typing import Any, NoReturn
from uuid import UUID

from magsag.domain.approval import DEFAULT_TTL_SECONDS
from magsag.domain.errors import ErrorType, Invalid, StepFailed, Stopped
from magsag.domain.ids import StepId
from magsag.domain.waits import event_named, seconds_of
from magsag.policy.question import document, refusal, rehearsed, rule_of, worded
from magsag.services.gate.gate import Gate
from magsag.services.programs.branching import Branching
from magsag.services.programs.crew import close_unused
from magsag.services.recording.masking import RESOLVED
from magsag.services.steps.seat import Scope, Seat
from magsag.services.steps.target import Target

_log = logging.getLogger("magsag.agent")


class ProgramContext:
    """The Context of one run in one leg."""

    def __init__(self, gate: Gate, seat: Seat) -> None:
        started = seat.run.started
        assert started is not None
        self._gate = gate
        self._seat = seat
        self._seed = bytes.fromhex(started.seed)
        self._scopes: dict[asyncio.Task[Any], Scope] = {}
        self._branching = Branching(gate.notes, seat, self._scopes)
        self._closed = False
        task = asyncio.current_task()
        assert task is not None
        self.root = self._scopes[task] = seat.root()
        self.root.now = started.at

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
        kept = {name: RESOLVED.cleaned(value) for name, value in fields.items()}
        _log.info(RESOLVED.clean(message), extra={"run": self._seat.run.id, "fields": kept})

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the run is; no fact."""
        fields = {"done": done, "total": total, "text": RESOLVED.clean(message)}
        _log.info("progress", extra={"run": self._seat.run.id, "fields": fields})

    def secret(self, name: str) -> NoReturn:
        """Refused: a program's inputs and outputs are all on record."""
        raise Invalid(
            f"ctx.secret: {name} is for a skill: name it under `secrets` in the skill's manifest, use it there"
        )

    async def skill(self, ref: str, payload: Any = None, *, key: str | None = None) -> Any:
        """Run a skill."""
        return await self._step(self._seat.targets.skill(ref), payload, key, "skill")

    async def delegate(self, ref: str, payload: Any = None, *, detached: bool = False, key: str | None = None) -> Any:
        """Hand the payload to another agent as a child run and wait for its output."""
        return await self._step(self._seat.targets.child(ref, detached), payload, key, "delegate")

    async def model(self, alias: str, request: Mapping[str, Any] | str, *, key: str | None = None) -> Any:
        """Ask a model by its alias."""
        asked = {"messages": [{"role": "user", "content": request}]} if isinstance(request, str) else request
        return await self._step(self._seat.targets.model(alias), asked, key, "model")

    async def call(self, function: Callable[..., Any], *args: Any, key: str | None = None) -> Any:
        """Run a function of one's own as a recorded `read` step."""
        return await self._step(self._seat.targets.function(function), list(args), key, "call")

    async def sleep(self, seconds: float | timedelta, *, key: str | None = None) -> None:
        """Wait for so long; a longer wait parks the run."""
        length = seconds_of(seconds, "sleep")
        await self._step(self._seat.targets.wait(None, length), {"seconds": length}, key, "sleep")

    async def wait_for(self, event: str, timeout: float | timedelta | None = None, *, key: str | None = None) -> Any:
        """Wait for a signal; what it told."""
        length = None if timeout is None else seconds_of(timeout, "wait_for")
        target = self._seat.targets.wait(event_named(event), length)
        return await self._step(target, {"event": event, "timeout": length}, key, "wait_for")

    async def approve(
        self,
        question: str,
        payload: Any = None,
        *,
        roles: Sequence[str] = (),
        people: Sequence[str] = (),
        quorum: int = 1,
        ttl: float | timedelta = DEFAULT_TTL_SECONDS,
        on_expire: str = "deny",
        escalate_to: Sequence[str] = (),
        key: str | None = None,
    ) -> dict[str, Any]:
        """Ask people; `{approved, by, reason}`."""
        rule = rule_of(quorum, roles, people, seconds_of(ttl, "approve"), on_expire, escalate_to)
        asked = {"question": worded(question), "payload": payload, **document(rule)}
        try:
            told: dict[str, Any] = await self._step(self._seat.targets.question(rule), asked, key, "approve")
        except StepFailed as error:
            if error.type is not ErrorType.DENIED or "approval" not in error.details:
                raise
            return refusal(error)
        return rehearsed() if told.get("dry_run") else told

    async def gather(self, *calls: Coroutine[Any, Any, Any], on_error: str = "fail", ordered: bool = False) -> Any:
        """Run calls side by side."""
        scope = self._scope("gather", *calls)
        try:
            starts = [partial(_same, call) for call in calls]
            return await self._branching.together(scope, "gather", starts, len(calls), on_error, ordered)
        finally:
            close_unused(calls)

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
        starts = [partial(function, item) for item in items]
        return await self._branching.together(scope, "map", starts, min(concurrency, len(starts)), on_error, ordered)

    async def race(self, *calls: Coroutine[Any, Any, Any]) -> tuple[int, Any]:
        """The index and result of the call that ends first; the others are cancelled."""
        scope = self._scope("race", *calls)
        if not calls:
            raise Invalid("ctx.race needs at least one call")
        try:
            return await self._branching.race(scope, calls)
        finally:
            close_unused(calls)

    async def timeout(self, seconds: float, call: Coroutine[Any, Any, Any]) -> Any:
        """The call's result, or StepFailed(timeout) when it takes longer."""
        scope = self._scope("timeout", call)
        try:
            return await self._branching.timeout(scope, seconds, call)
        finally:
            close_unused((call,))

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
        if RESOLVED and (secret := RESOLVED.holder(f"{target.name} {key or ''}")) is not None:
            raise Invalid(f"ctx.{verb}: its name or key holds the secret {secret}, and names are on record")
        name = f"{target.name}[{key}]" if key is not None else f"{target.name}#{scope.count(target.name)}"
        try:
            try:
                told = await self._gate.step(self._seat, scope, StepId(scope.prefix + name), target, payload)
            except StepFailed as error:
                if scope.turnstile is not None:
                    await scope.turnstile.wait(error.order, scope.depth)
                scope.now = max(scope.now, error.at)
                raise
            if scope.turnstile is not None:
                await scope.turnstile.wait(told.order, scope.depth)
        except Stopped:
            scope.stopped = True
            raise
        except asyncio.CancelledError:
            self._branching.cancelled(scope, scope.prefix + name)
            raise
        scope.now = max(scope.now, told.at)
        scope.partial = scope.partial or told.partial
        return told.value

    def _scope(self, verb: str, *calls: Coroutine[Any, Any, Any]) -> Scope:
        """The branch that the calling task is in. Refuses what a replay could not repeat."""
        task = asyncio.current_task()
        scope = self._scopes.get(task) if task is not None else None
        if scope is not None and task is not None and not (self._closed or scope.stopped or task.cancelling()):
            if calls and not all(isinstance(call, CoroutineType) for call in calls):
                close_unused(calls)
                raise Invalid(f"ctx.{verb} takes calls that were not awaited yet, e.g. ctx.{verb}(ctx.skill(...), ...)")
            return scope
        close_unused(calls)
        if scope is None and not self._closed:
            raise Invalid(
                f"ctx.{verb} was called from a task that ctx did not start. Use ctx.gather, ctx.map, ctx.race or "
                "ctx.timeout instead of asyncio's own: a resume could not repeat the order of foreign tasks"
            )
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
