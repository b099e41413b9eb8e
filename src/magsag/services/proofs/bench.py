"""What a crash proof works with: fresh ledgers, processes that can be killed, and a sink that counts.

The app puts an implementation behind it (`adapters.proofs`); nothing of it is reachable by a setting.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from magsag.domain.frozen import frozen
from magsag.ports.ledger import Store
from magsag.services.driving.events import Events
from magsag.services.driving.runs import Order, Runs
from magsag.services.people.doubts import Doubts
from magsag.services.proofs.points import Boundary, Place

Said = dict[str, Any]


@frozen
class Trial:
    """One ledger of its own, driven by one process after the other."""

    name: str
    """also names its part of the sink"""
    ledger: str
    folder: str


@frozen
class Ended:
    """How a process ended."""

    code: int
    """the exit code, or the signal that killed it as a negative number"""
    said: Said
    printed: str
    """the end of what it printed"""

    @property
    def is_broken(self) -> bool:
        """Whether nothing was wrong with the question: the store, for one, did not answer."""
        return bool(self.said.get("is_broken"))

    @property
    def why(self) -> str:
        """What it said of its failure, else the end of what it printed."""
        return str(self.said.get("refused") or self.printed or f"a process ended with {self.code}")


class Desk(Protocol):
    """An app on the ledger of a trial."""

    @property
    def runs(self) -> Runs: ...
    @property
    def doubts(self) -> Doubts: ...
    @property
    def events(self) -> Events: ...
    @property
    def store(self) -> Store: ...


class Calls(Protocol):
    """What the sink has heard."""

    def count(self, trial: str) -> Mapping[str, int]:
        """How many calls each idempotency key has made."""

    def find(self, trial: str, key: str) -> Said | None:
        """`{output}` of the act that was called under this key; None when it was not."""


class Bench(Protocol):
    """Everything outside that a proof needs."""

    @property
    def calls(self) -> Calls: ...

    def now(self) -> int:
        """Where the clock of the first process of each trial stands: microseconds since 1970."""

    def trial(self, name: str) -> Trial:
        """A fresh ledger."""

    def drive(self, trial: Trial, order: Order, at: int, stop_at: Place | None) -> Ended:
        """Drive the order in a process of its own, which is killed at the place; its clock stands `at` there."""

    def crossed(self, trial: Trial) -> list[list[Boundary]]:
        """What each process of the trial noted, in its order."""

    def look(self, trial: Trial, at: int) -> AbstractContextManager[Desk]:
        """Open the ledger in this process; its clock stands there."""

    def each(self, works: Sequence[Callable[[], Said]]) -> Iterator[tuple[int, Ended]]:
        """Do the works in processes of their own, as many at once as there are cores; index and end as they end."""

    def drop(self, trial: Trial) -> None:
        """Remove the ledger."""
