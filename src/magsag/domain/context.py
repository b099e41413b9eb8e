"""What an agent's or a skill's code is handed as `ctx`.

Every verb of `Context` is a step: judged at the gate, recorded in the ledger, answered from the record when
the run is resumed. Around these verbs use `ctx.gather`, `ctx.map`, `ctx.race`, `ctx.timeout`, never the ones
of asyncio: on a resume the code runs again, and what it sees must come in the recorded order.
"""

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from magsag.domain.frozen import frozen


@frozen
class Collected:
    """What `gather` and `map` return with `on_error="collect"`.

    `results` in the order of the calls, the failed ones left out; `errors` as
    `{index, type, message, details}`.
    """

    results: list[Any]
    errors: list[dict[str, Any]]


class ActContext(Protocol):
    """What a skill, and the function given to `Context.call`, may use."""

    @property
    def idempotency_key(self) -> str:
        """Names this step's effect to the outside; the same over retries and restarts."""

    def log(self, message: str, **fields: object) -> None:
        """Write a line to the log of the process; no fact."""

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the act is, for people who watch; no fact."""


class Files(Protocol):
    """The files of the workspace. No path leads out of it: no link is followed, and what is no plain file is refused.

    Paths are written from the workspace's folder down, with slashes, without `.` and `..`. Raises StepFailed.
    """

    def read(self, path: str, most: int) -> bytes:
        """A file's content, of at most so many bytes."""

    def write(self, path: str, data: bytes) -> None:
        """Replace a file, or make it with the folders above it: others see the old content or the new, never a part."""

    def walk(self, path: str = "") -> Iterator[str]:
        """The plain files in a folder and below it, by path, in order; a file stands for itself."""


class SkillContext(ActContext, Protocol):
    """What a skill may use besides, in the process that drives the run."""

    @property
    def files(self) -> Files:
        """The files of the workspace."""

    def http(self, **options: Any) -> Any:
        """An `httpx2.AsyncClient` with these options that reaches only the hosts which `[http] allow` grants.

        Each request is judged by the address that it goes to, one that follows a redirect too; where that is not
        granted it raises StepFailed(denied).
        """

    def secret(self, name: str) -> str | None:
        """A secret that the manifest declares under `secrets`, as it was when this attempt started.

        None for an optional one that is missing. StepFailed(denied) for one that is not declared.
        """

    def put_record(self, key: str, value: Any) -> None:
        """Put JSON under a key of the store; for skills with the effect `transactional`.

        It is there if and only if the act's outcome is: both are one transaction.
        """

    def get_record(self, key: str, default: Any = None) -> Any:
        """What was last put under a key; not for skills with the effect `pure`."""


class Context(ActContext, Protocol):
    """What an agent's code may use. Errors: StepFailed with a type of the closed list."""

    @property
    def run_id(self) -> str:
        """The id of this run."""

    async def skill(self, ref: str, payload: Any = None, *, key: str | None = None) -> Any:
        """Run a skill (`slug` or `skill:slug@range`; the agent's `uses` must allow it)."""

    async def delegate(self, ref: str, payload: Any = None, *, detached: bool = False, key: str | None = None) -> Any:
        """Hand the payload to another agent as a child run and wait for its output.

        A detached one is a run tree of its own, for any worker: while nothing else goes on here, this run parks.
        """

    async def model(self, alias: str, request: Mapping[str, Any] | str, *, key: str | None = None) -> Any:
        """Ask a model by its alias.

        `request` is a prompt or `{messages: [{role, content}], ...}`; the answer
        `{text, model, provider, usage: {input_tokens, output_tokens}}`.
        """

    async def call(self, function: Callable[..., Any], *args: Any, key: str | None = None) -> Any:
        """Run a function of one's own as a recorded `read` step: clock, files, randomness, blocking code.

        A sync function runs in a thread. Arguments and result are JSON.
        """

    async def sleep(self, seconds: float | timedelta, *, key: str | None = None) -> None:
        """Wait for so long, from the first time on that the code comes here, through crashes and restarts.

        While nothing else goes on in the run, a wait of more than a second parks it: it takes no process.
        """

    async def wait_for(self, event: str, timeout: float | timedelta | None = None, *, key: str | None = None) -> Any:
        """Wait until somebody signals the event to this run (`magsag run signal`); the JSON that they told.

        A signal that came earlier and that no wait has taken counts. StepFailed(timeout) when none comes in time.
        """

    async def approve(
        self,
        question: str,
        payload: Any = None,
        *,
        roles: Sequence[str] = (),
        people: Sequence[str] = (),
        quorum: int = 1,
        ttl: float | timedelta = 86_400.0,
        on_expire: str = "deny",
        escalate_to: Sequence[str] = (),
        key: str | None = None,
    ) -> dict[str, Any]:
        """Ask people of `people.yaml`, and wait for them: `{approved, by, reason}`, `by` a list of names.

        `payload` is JSON that they see. `quorum` people have to approve, with any of the `roles` or among `people`; one
        who denies is enough to deny. `ttl` in seconds; nobody in time: not approved with `on_expire="deny"`, StepFailed
        (timeout) with "fail"; with "escalate" `escalate_to` may answer as well for as long again. A rule of the policy
        about `approval:question` can deny it (StepFailed(denied)) or ask for more people.
        """

    async def gather(self, *calls: Coroutine[Any, Any, Any], on_error: str = "fail", ordered: bool = False) -> Any:
        """Run calls side by side; a list in their order, or Collected with `on_error="collect"`."""

    async def map(
        self,
        function: Callable[[Any], Coroutine[Any, Any, Any]],
        items: Iterable[Any],
        *,
        concurrency: int = 100,
        on_error: str = "fail",
        ordered: bool = False,
    ) -> Any:
        """Run `function(item)` for each item, at most `concurrency` at once; results as `gather` gives them."""

    async def race(self, *calls: Coroutine[Any, Any, Any]) -> tuple[int, Any]:
        """The index and result of the call that ends first; the others are cancelled."""

    async def timeout(self, seconds: float, call: Coroutine[Any, Any, Any]) -> Any:
        """The call's result, or StepFailed(timeout) when it takes longer; then it is cancelled."""

    def now(self) -> datetime:
        """The time of the last fact this code has seen: the same on a resume."""

    def uuid(self) -> UUID:
        """A random UUID: the same on a resume."""

    def random(self) -> float:
        """A random number in [0, 1): the same on a resume."""
