"""`Project`: MAGSAG from Python, over the same app that the command uses.

    from magsag import Project

    with Project.open(".") as project:
        result = project.run_sync("offer-orchestrator-mag", {"role": "Engineer", "level": "Mid"})
        print(result.unwrap())

A question that is wrong (an unknown name, an input that its contract refuses, findings in the catalog) raises
Invalid. A run that fails, is denied or parks is an answer: a `Result` that says so.
"""

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine
from os import PathLike, fspath
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from magsag.domain.errors import Broken, Invalid
from magsag.surfaces.python_result import Result
from magsag.surfaces.python_services import UNCHANGED, OpenApp, Services

if TYPE_CHECKING:
    from magsag.services.driving.results import RunResult
    from magsag.services.driving.runs import Order

__all__ = ["Project", "Result"]

_T = TypeVar("_T")


class Project:
    """A project, opened: its catalog, its policies and its ledger. It serves one event loop at a time."""

    _open_app: ClassVar[OpenApp | None] = None

    def __init__(self, app: Services) -> None:
        """Over an app that is there already; `open` makes one."""
        self._app = app
        self._lock = threading.Lock()
        self._finalizer = weakref.finalize(self, app.close)

    @classmethod
    def open(
        cls,
        path: str | PathLike[str] | None = None,
        *,
        environment: str | None = None,
        mode: str | None = None,
        catalog: str | PathLike[str] | None = None,
        ledger: str | PathLike[str] | None = None,
    ) -> "Project":
        """Open the project in a folder or the nearest one above it; without a path as the command would here.

        What is given here stands above `MAGSAG_*` variables and `magsag.toml`. Raises Invalid for settings that
        cannot stand; the catalog is read, and the ledger opened, by the first run.
        """
        if cls._open_app is None:
            raise Broken("Project is not wired: import it by `from magsag import Project`")
        given = {"environment": environment, "mode": mode, "catalog": catalog, "ledger": ledger}
        flags = {key: fspath(value) for key, value in given.items() if value is not None}
        return cls(cls._open_app(None if path is None else fspath(path), flags))

    async def run(
        self, slug: str, payload: Any = None, *, run_id: str | None = None, requester: str | None = None
    ) -> Result:
        """Run an agent (`slug`, `agent:slug@^1`) or a flow (`flow:slug`) to its end or until it parks.

        With a `run_id` that exists and the same input: that run again, nothing twice. `requester`: on whose
        behalf. Raises Invalid for an unknown name, an input that does not meet its contract, findings in what
        the run would reach, or a `run_id` that exists with another input.
        """
        result = await self._app.runs.run(self._order(slug, payload, run_id, requester))
        return self._result(result)

    def run_sync(
        self, slug: str, payload: Any = None, *, run_id: str | None = None, requester: str | None = None
    ) -> Result:
        """`run` for code without an event loop; calls from several threads take turns."""
        return self._wait("run", lambda: self.run(slug, payload, run_id=run_id, requester=requester))

    async def start(
        self, slug: str, payload: Any = None, *, run_id: str | None = None, requester: str | None = None
    ) -> str:
        """Put a run on record and leave it to a worker (`magsag serve --worker`), or to `resume`; the run's id.

        Takes and raises what `run` does.
        """
        return await self._app.runs.submit(self._order(slug, payload, run_id, requester))

    def start_sync(
        self, slug: str, payload: Any = None, *, run_id: str | None = None, requester: str | None = None
    ) -> str:
        """`start` for code without an event loop."""
        return self._wait("start", lambda: self.start(slug, payload, run_id=run_id, requester=requester))

    async def resume(self, run: str) -> Result:
        """Go on with a run that parked or was interrupted; one that has ended gives its result again."""
        id = self._app.insight.find(run)
        return self._result(await self._app.runs.resume(id))

    def resume_sync(self, run: str) -> Result:
        """`resume` for code without an event loop."""
        return self._wait("resume", lambda: self.resume(run))

    async def signal(self, run: str, event: str, payload: Any = None) -> Result:
        """Tell a run of an event, and go on with it: how it stands then. `payload` is JSON.

        One signal satisfies one `ctx.wait_for`, whether that began before or after. Raises Invalid for an unknown or
        ended run, and for what is no event or no JSON.
        """
        root = self._app.events.signal(self._app.insight.find(run), event, payload, self._app.settings.actor)
        return self._result(await self._app.runs.resume(root))

    def signal_sync(self, run: str, event: str, payload: Any = None) -> Result:
        """`signal` for code without an event loop."""
        return self._wait("signal", lambda: self.signal(run, event, payload))

    def approvals(self, run: str | None = None, *, every: bool = False) -> list[dict[str, Any]]:
        """What waits for a decision, the oldest first, as `magsag approval list --json` tells it; with `every` all.

        `run` narrows to a run and all below it. Raises Invalid for an unknown one.
        """
        from magsag.surfaces.python_approvals import tickets

        return tickets(self._app, run, every)

    async def approve(
        self,
        approval: str,
        *,
        reason: str = "",
        arguments: Any = UNCHANGED,
        standing: str | None = None,
        seconds: float = 3600.0,
        when: str = "",
        claim: str | None = None,
        api_key: str | None = None,
    ) -> Result:
        """Say yes to a ticket, by its id or the beginning of it, and go on with its run once enough people have.

        Who says it is the user of the operating system, or whoever `api_key` is of, or in development `claim` for
        entries with `proof: claim`. `arguments` are approved instead of the proposed ones. With `standing`, "run" or
        "agent", the same is approved beforehand for so many `seconds`, where `when`, a condition in CEL, holds. Raises
        Refused for an answer that does not count, Invalid for a ticket that there is not.
        """
        from magsag.surfaces.python_approvals import Word, ahead, said

        word = Word("approve", reason, arguments, claim, api_key, ahead(standing, seconds, when))
        root, is_decided = said(self._app, approval, word)
        return self._result(await self._app.runs.resume(root)) if is_decided else self.result(root)

    def approve_sync(
        self,
        approval: str,
        *,
        reason: str = "",
        arguments: Any = UNCHANGED,
        standing: str | None = None,
        seconds: float = 3600.0,
        when: str = "",
        claim: str | None = None,
        api_key: str | None = None,
    ) -> Result:
        """`approve` for code without an event loop."""
        how: dict[str, Any] = {"reason": reason, "arguments": arguments, "claim": claim, "api_key": api_key}
        how |= {"standing": standing, "seconds": seconds, "when": when}
        return self._wait("approve", lambda: self.approve(approval, **how))

    async def deny(
        self, approval: str, *, reason: str = "", claim: str | None = None, api_key: str | None = None
    ) -> Result:
        """Say no to a ticket: its step is denied, and the run goes on from there. Raises what `approve` does."""
        from magsag.surfaces.python_approvals import Word, said

        root, _ = said(self._app, approval, Word("deny", reason, UNCHANGED, claim, api_key))
        return self._result(await self._app.runs.resume(root))

    def deny_sync(
        self, approval: str, *, reason: str = "", claim: str | None = None, api_key: str | None = None
    ) -> Result:
        """`deny` for code without an event loop."""
        return self._wait("deny", lambda: self.deny(approval, reason=reason, claim=claim, api_key=api_key))

    def result(self, run: str) -> Result:
        """How a run stands, by its id or the beginning of it. Raises Invalid for an unknown one."""
        id = self._app.insight.find(run)
        return self._result(self._app.runs.result(id))

    def close(self) -> None:
        """Let go of the ledger; done by itself when the project is dropped, or at the end of a `with`."""
        self._finalizer()

    def __enter__(self) -> "Project":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _order(self, slug: str, payload: Any, run_id: str | None, requester: str | None) -> "Order":
        from magsag.services.driving.runs import Order

        ref = slug if ":" in slug else f"agent:{slug}"
        order = Order(ref, payload, run_id, requester)
        if findings := self._app.shelf.in_the_way(ref):
            raise Invalid("\n".join([f"{ref} is not run, its catalog has findings:", *map(str, findings)]))
        return order

    def _result(self, result: "RunResult") -> Result:
        waits = tuple(f"{one.on}: step {one.step}: {one.reason}" for one in result.reasons)
        return Result(result.run, str(result.status), result.output, result.error, waits, self._app.insight)

    def _wait(self, verb: str, start: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            with self._lock:
                return asyncio.run(start())
        raise Invalid(f"an event loop runs here already, in a notebook for one: write `await project.{verb}(...)`")
