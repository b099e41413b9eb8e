"""The bench of crash proofs: ledgers in a temporary folder, processes by fork, a sink on the loopback interface."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol

from magsag.adapters.proofs import processes
from magsag.adapters.proofs.boundaries import Boundaries, read_notes, watched
from magsag.adapters.proofs.clock import StandingClock
from magsag.adapters.proofs.loop import StandingLoop
from magsag.adapters.proofs.place import StandInPlace
from magsag.adapters.proofs.sink import SinkCalls, SinkProcess
from magsag.catalog.stand_ins import StandIns
from magsag.domain.errors import Invalid, MagsagError
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store
from magsag.ports.place import Place as ActPlace
from magsag.services.driving.runs import Order
from magsag.services.proofs.bench import Desk, Ended, Trial
from magsag.services.proofs.driving import drive
from magsag.services.proofs.points import Boundary, Place

LIMIT_SECONDS: Final = 300
"""a process of a proof that takes longer is ended"""


class ClosableDesk(Desk, Protocol):
    """A desk that holds something open."""

    def close(self) -> None: ...


BuildDesk = Callable[[Store, Clock, ActPlace | None], ClosableDesk]
"""an app on a store; with a place its acts are performed there"""


class Ledgers(Protocol):
    """Fresh ledgers, one for each trial."""

    def make(self, folder: Path) -> str:
        """Where the new ledger is."""

    def open(self, ledger: str, folder: Path) -> Store:
        """Open it in this process; what this machine keeps of it goes into the folder."""

    def drop(self, ledger: str) -> None:
        """Remove it."""


class ForkBench:
    """A bench (`services.proofs.bench`). Use it with `with`.

    Ledgers that are still there stay, unless something was raised.
    """

    def __init__(self, build: BuildDesk, ledgers: Ledgers, stand_ins: StandIns, clock: Clock, really: bool) -> None:
        if not hasattr(os, "fork"):
            raise Invalid("a crash proof forks processes, which this system cannot: run it on Linux or macOS")
        self._build = build
        self._ledgers = ledgers
        self._stand_ins = stand_ins
        self._began = clock.now()
        self._really = really

    def __enter__(self) -> "ForkBench":
        self._folder = Path(tempfile.mkdtemp(prefix="magsag-proof-"))
        self._sink = SinkProcess()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sink.close()
        kept = [path for path in self._folder.glob("*") if path.is_dir() and kind is None]
        for folder in set(self._folder.glob("*/")) - set(kept):
            with suppress(MagsagError):
                self._ledgers.drop(self._ledgers.make(folder))
        if not kept:
            shutil.rmtree(self._folder, ignore_errors=True)
        for path in self._folder.glob("work-*"):
            path.unlink()

    @property
    def calls(self) -> SinkCalls:
        """The sink, to be asked."""
        return self._sink.calls

    def now(self) -> int:
        """The moment at which the proof began: microseconds since 1970."""
        return self._began

    def trial(self, name: str) -> Trial:
        """A fresh ledger."""
        folder = self._folder / name
        folder.mkdir()
        return Trial(name, self._ledgers.make(folder), str(folder))

    def drive(self, trial: Trial, order: Order, at: int, stop_at: Place | None) -> Ended:
        """Drive the order in a process of its own, killed at the place."""
        place = Path(trial.folder) / f"process-{len(_notes(trial)) + 1}"
        place.with_suffix(".notes").touch()
        process = processes.fork(lambda: self._driven(trial, order, at, stop_at, place), place, LIMIT_SECONDS)
        return Ended(*processes.ended(process, place))

    def crossed(self, trial: Trial) -> list[list[Boundary]]:
        """What each process of the trial noted."""
        return [read_notes(path) for path in _notes(trial)]

    @contextmanager
    def look(self, trial: Trial, at: int) -> Iterator[Desk]:
        """Open the ledger in this process; its clock stands there."""
        desk = self._build(self._ledgers.open(trial.ledger, Path(trial.folder)), StandingClock(at), None)
        try:
            yield desk
        finally:
            desk.close()

    def each(self, works: Sequence[processes.Work]) -> Iterator[tuple[int, Ended]]:
        """Do the works, as many at once as there are cores."""
        for index, code, place in processes.each(works, self._folder, os.cpu_count() or 1, LIMIT_SECONDS):
            yield index, Ended(*processes.told(code, place))

    def drop(self, trial: Trial) -> None:
        """Remove the ledger."""
        self._ledgers.drop(trial.ledger)
        shutil.rmtree(trial.folder, ignore_errors=True)

    def _driven(self, trial: Trial, order: Order, at: int, stop_at: Place | None, place: Path) -> dict[str, Any]:
        """What the process does."""
        boundaries = Boundaries(place.with_suffix(".notes"), stop_at)
        clock = StandingClock(at)
        acts = StandInPlace(
            boundaries,
            self._stand_ins,
            self.calls,
            trial.name,
            self._really,
            lambda error: processes.refuse(place, error),
        )
        desk = self._build(watched(self._ledgers.open(trial.ledger, Path(trial.folder)), boundaries), clock, acts)
        try:
            with asyncio.Runner(loop_factory=lambda: StandingLoop(clock)) as runner:
                return runner.run(drive(desk, order, clock, self._stand_ins.signals))
        finally:
            desk.close()


def _notes(trial: Trial) -> list[Path]:
    found = Path(trial.folder).glob("process-*.notes")
    return sorted(found, key=lambda path: int(path.stem.rpartition("-")[2]))
