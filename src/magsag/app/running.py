"""What starts, drives and ends runs."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from magsag.app.given import Given
from magsag.domain.errors import Invalid
from magsag.domain.ids import RunId

if TYPE_CHECKING:
    from magsag.ports.runner import Told
    from magsag.runners.local import LocalRunner
    from magsag.runners.workers import Worker
    from magsag.services.driving.drive import Drive
    from magsag.services.driving.events import Events
    from magsag.services.driving.runs import Runs
    from magsag.services.driving.staying import Staying
    from magsag.services.gate.gate import Gate
    from magsag.services.gate.untold import Untold
    from magsag.services.insight.watch import Watch
    from magsag.services.past.fork import Forks
    from magsag.services.people.doubts import Doubts
    from magsag.services.programs.programs import Programs
    from magsag.services.recording.keeper import Keeper
    from magsag.services.recording.large import Values
    from magsag.services.recording.recorder import Recorder
    from magsag.services.steps.attempt import Switches


class Running(Given):
    """What starts, drives and ends runs."""

    @cached_property
    def recorder(self) -> "Recorder":
        """Group commit for the runs of this process."""
        from magsag.services.recording.recorder import Recorder

        return Recorder(self.store, self.clock)

    @cached_property
    def values(self) -> "Values":
        """Values into the ledger and out of it."""
        from magsag.services.recording.large import Values

        return Values(self.recorder, self.store, self.clock)

    @cached_property
    def switches(self) -> "Switches":
        """What is on at the gate."""
        from magsag.services.steps.attempt import Switches

        limits, features = self.settings.limits, self.settings.features
        return Switches(
            approvals=features.approvals,
            durable=features.durable,
            every_step=self.settings.durability == "every_step",
            step_seconds=limits.step_seconds,
            depth=limits.depth,
            children=limits.children,
        )

    @cached_property
    def gate(self) -> "Gate":
        """The gate."""
        from magsag.services.gate.covering import Covering
        from magsag.services.gate.gate import Gate

        covering = Covering(self.store, lambda: self.catalog.people, self.conditions)
        return Gate(self.recorder, self.store, self.values, self.clock, self.switches, self.means, covering)

    @cached_property
    def programs(self) -> "Programs":
        """What runs agents and flows."""
        from magsag.services.programs.programs import Programs

        return Programs(
            self.gate, self.recorder, self.values, self.store, self.clock, self.catalog.policies, self.models,
            lambda: self.catalog.people,
        )  # fmt: skip

    @cached_property
    def keeper(self) -> "Keeper":
        """Keeps this process's leases alive."""
        from magsag.adapters.store import __file__ as store_folder
        from magsag.services.recording.keeper import Keeper

        settings = self.settings
        seconds = settings.limits.step_seconds
        limits = () if self.debugging else self.gate.limits
        folder = str(Path(store_folder).parent)
        return Keeper(self.store, self.store.owner(), settings.lease_seconds, seconds, limits, folder)

    @cached_property
    def drive(self) -> "Drive":
        """The loop."""
        from magsag.services.driving.drive import Drive

        seconds = self.settings.lease_seconds
        return Drive(self.store, self.recorder, self.programs, self.bundles, self.clock, self.keeper, seconds)

    @cached_property
    def runner(self) -> "LocalRunner":
        """Who calls for legs in this process."""
        from magsag.runners.local import LocalRunner

        return LocalRunner(self.drive)

    def worker(self, name: str, concurrency: int, told: "Callable[[RunId, Told | Exception], None]") -> "Worker":
        """Drives what is due in the store, `concurrency` runs side by side."""
        from magsag.catalog.source import stamp_of
        from magsag.runners.workers import Worker
        from magsag.services.driving.freshness import Freshness

        fresh = Freshness(lambda: stamp_of(Path(self.settings.catalog)), self._reread, self.clock)
        return Worker(self.drive, self.store, name, concurrency, told, fresh, self.clock)

    @cached_property
    def runs(self) -> "Runs":
        """Starting, resuming and cancelling runs."""
        from magsag.services.driving.runs import Runs

        return Runs(
            self.store, self.recorder, self.values, self.drive, self.runner, self.bundles, self.clock, self.settings,
            self.gate.secrets, lambda: self.catalog.policies.hash,
        )  # fmt: skip

    @cached_property
    def doubts(self) -> "Doubts":
        """Ending doubts."""
        from magsag.services.people.doubts import Doubts

        return Doubts(self.store, self.bundles, self.clock, self.settings.lease_seconds, self.untold)

    @cached_property
    def staying(self) -> "Staying":
        """Staying with runs that wait."""
        from magsag.services.driving.staying import Staying

        return Staying(self.store, self.runs, self.clock)

    @cached_property
    def events(self) -> "Events":
        """Telling runs of events."""
        from magsag.services.driving.events import Events

        return Events(self.store, self.drive, self.clock, self.untold)

    @cached_property
    def forks(self) -> "Forks":
        """Makes new runs of recorded ones."""
        from magsag.services.past.fork import Forks

        return Forks(self.store, self.bundles, self.clock, self.settings, self.untold)

    @property
    def untold(self) -> "Untold":
        """Looks for secrets in what people hand in; it makes no ledger."""
        from magsag.services.gate.untold import Untold

        bundles = self.bundles if self.has_ledger else self._bundles_of(self._looked_at())
        return Untold(self.secrets, bundles)

    def watch(self) -> "Watch":
        """Follow the runs that this process drives from now on; at most one follows at a time."""
        from magsag.services.insight.insight import Insight
        from magsag.services.insight.watch import Watch

        watch = Watch(Insight(self.store), self.clock)
        self.recorder.heard = watch.hear
        return watch

    def close(self) -> None:
        """Let go of what was opened."""
        if "keeper" in self.__dict__:
            self.keeper.close()
        if "recorder" in self.__dict__:
            self.recorder.close()
        if "store" in self.__dict__:
            self.store.close()

    def _reread(self) -> None:
        """Put into force what the catalog's policies say now; without a catalog everything is denied."""
        from magsag.policy.rules import Policies

        self.__dict__.pop("catalog", None)
        try:
            policies = self.catalog.policies
        except Invalid as error:
            policies = Policies((), "", str(error))
        self.programs.judge_by(policies)
