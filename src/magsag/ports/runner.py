"""Who calls for legs, and what a leg tells. Shapes for any scheduler: runners hold ids and due times, no truth."""

import asyncio
from typing import Protocol

from magsag.domain.facts import RunStatus
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId


@frozen
class Finished:
    """The run has ended; its result is in the ledger."""

    status: RunStatus


@frozen
class Parked:
    """The run waits; call again at `due` (microseconds since 1970) or when it is woken."""

    due: int
    reason: str
    children: tuple[RunId, ...] = ()
    """detached child runs that it waits for: trees that want legs of their own"""


@frozen
class Yielded:
    """The leg was told to stop; the run wants another one at once."""


@frozen
class Busy:
    """Somebody else drives this tree; ask again in so many seconds."""

    seconds: float


Told = Finished | Parked | Yielded | Busy


class Legs(Protocol):
    """Drives runs, one leg at a time."""

    async def drive(self, run: RunId, stop: asyncio.Event) -> Told:
        """Take the lease, fold the ledger, turn the crank until park, end or yield, give the lease back.

        Callable by anyone, any number of times, at once, after any crash. Everything told is committed.
        Raises Broken only when the store cannot be reached.
        """

    def due(self, limit: int) -> list[RunId]:
        """Runs that want a leg and have no live driver."""


class Runner(Protocol):
    """Says who drives which run, where and when."""

    async def submit(self, run: RunId) -> Told:
        """See to it that the run gets its leg; a runner in this process answers with what was told."""

    def interrupt(self) -> None:
        """Ask the legs of this process to yield soon."""


class Server(Protocol):
    """Drives whatever is due, until it is told to stop."""

    async def serve(self, once: bool = False) -> None:
        """Drive until interrupted, then give everything back; with `once` only until nothing is due any more.

        Raises Broken with `once` when the store cannot be reached; without it the store is tried again.
        """

    def interrupt(self) -> None:
        """Start nothing more and ask the legs to yield."""
