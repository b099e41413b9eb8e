"""Where the pieces meet: the only place that chooses implementations. CLI, `Project` and tests build from here.

Everything is made when it is first asked for, so that a light command opens only what it needs.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from magsag.domain.condition import Conditions
from magsag.domain.errors import Invalid
from magsag.domain.ids import RunId
from magsag.domain.location import is_postgres, shown
from magsag.domain.settings import Settings
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store
from magsag.ports.model import ModelProvider
from magsag.ports.place import Place

if TYPE_CHECKING:
    from magsag.adapters.proofs.bench import Ledgers
    from magsag.adapters.proofs.ledgers import OpenLedger
    from magsag.catalog.beside import Beside
    from magsag.catalog.bundle import Bundle
    from magsag.catalog.load import Loaded
    from magsag.domain.manifests.policy import FlowGovernance
    from magsag.policy.rules import Policies
    from magsag.ports.runner import Told
    from magsag.runners.local import LocalRunner
    from magsag.runners.workers import Worker
    from magsag.services.approvals import Approvals
    from magsag.services.archive import Archives
    from magsag.services.attempt import Switches
    from magsag.services.audit import Audit
    from magsag.services.bundles import Bundles
    from magsag.services.compare import Compare
    from magsag.services.doubts import Doubts
    from magsag.services.drive import Drive
    from magsag.services.erasing import Erasing
    from magsag.services.events import Events
    from magsag.services.flips import PolicyReplay
    from magsag.services.fork import Forks
    from magsag.services.gate import Gate
    from magsag.services.health import Health
    from magsag.services.insight import Insight
    from magsag.services.keeper import Keeper
    from magsag.services.large import Values
    from magsag.services.moving import Moving
    from magsag.services.parcels import Parcels
    from magsag.services.people import Identity
    from magsag.services.programs import Programs
    from magsag.services.proofs.approval import ApprovalProof
    from magsag.services.proofs.crash import CrashProof
    from magsag.services.recorder import Recorder
    from magsag.services.replay import Replay
    from magsag.services.rulebook import Rulebook
    from magsag.services.runs import Runs
    from magsag.services.scaffold import Scaffold
    from magsag.services.shelf import Shelf
    from magsag.services.staying import Staying
    from magsag.services.summary import Summary
    from magsag.services.upkeep import Upkeep
    from magsag.services.watch import Watch


class App:
    """One process's services, wired for its settings."""

    def __init__(
        self, settings: Settings, store: Store | None = None, clock: Clock | None = None, place: Place | None = None
    ) -> None:
        self.settings = settings
        self._given_store = store
        self._given_clock = clock
        self._given_place = place
        self.reach: str | None = None
        """what is going to run: the rest of the catalog is checked less closely"""
        self.beside: Beside | None = None
        """a flow of no catalog that is going to run"""
        self.api_key: str | None = None
        """what somebody at this process shows to be known by"""
        self.debugging = False
        """somebody types at a debugger: a blocked loop is no fault"""

    @cached_property
    def clock(self) -> Clock:
        """Time and chance."""
        from magsag.adapters.clock import SystemClock

        return self._given_clock or SystemClock()

    @cached_property
    def store(self) -> Store:
        """The ledger. Raises StoreBroken when it cannot be opened."""
        if self._given_store is not None:
            return self._given_store
        if not self.settings.features.durable:
            from magsag.adapters.store.memory import MemoryStore

            return MemoryStore()
        return _open_ledger(self.settings.ledger, self._folder)

    @property
    def has_ledger(self) -> bool:
        """Whether there is one already: looking makes none."""
        if "store" in self.__dict__ or self._given_store is not None or not self.settings.features.durable:
            return True
        return _is_there(self.settings.ledger)

    def _looked_at(self) -> Store:
        """The ledger for those who only look; an empty one where there is none yet."""
        if self.has_ledger:
            return self.store
        from magsag.adapters.store.memory import MemoryStore

        return MemoryStore()

    def _kept(self) -> Store:
        """The ledger for those who look after it. Raises Invalid where there is none yet."""
        if self.has_ledger:
            return self.store
        place = shown(self.settings.ledger)
        raise Invalid(f"there is no ledger yet at {place}: the first run or `magsag data init` makes it")

    @property
    def _folder(self) -> Path:
        """Where this machine keeps what belongs to a ledger elsewhere."""
        return Path(self.settings.project) / ".magsag"

    @cached_property
    def conditions(self) -> Conditions:
        """The expression language."""
        from magsag.adapters.conditions import CelConditions

        return CelConditions()

    @cached_property
    def catalog(self) -> "Loaded":
        """The catalog of today, as far as it could be read, with its findings."""
        from magsag.adapters.settings import packaged_catalog
        from magsag.catalog.load import load

        folder, shipped = Path(self.settings.catalog), packaged_catalog()
        return load(folder, self.conditions, reach=self.reach, beside=self.beside, shipped=shipped)

    @cached_property
    def models(self) -> Mapping[str, tuple[ModelProvider, str]]:
        """Model aliases bound to providers. Raises Invalid for a provider that does not exist."""
        return {alias: self._provider(alias, bound) for alias, bound in self.settings.models.items()}

    @cached_property
    def bundles(self) -> "Bundles":
        """Today's bundle and the frozen ones of earlier runs."""
        return self._bundles_of(self.store)

    def _bundles_of(self, store: Store) -> "Bundles":
        from magsag.catalog.bundle import Bundle
        from magsag.services.bundles import Bundles

        def thaw(data: bytes) -> Bundle:
            return Bundle.from_bytes(data, self.conditions)

        return Bundles(lambda: self.catalog.bundle, store, thaw, self.settings.packages)

    @cached_property
    def recorder(self) -> "Recorder":
        """Group commit for the runs of this process."""
        from magsag.services.recorder import Recorder

        return Recorder(self.store, self.clock)

    @cached_property
    def values(self) -> "Values":
        """Values into the ledger and out of it."""
        from magsag.services.large import Values

        return Values(self.recorder, self.store, self.clock)

    @cached_property
    def switches(self) -> "Switches":
        """What is on at the gate."""
        from magsag.services.attempt import Switches

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
        from magsag.services.gate import Gate

        return Gate(self.recorder, self.store, self.values, self.clock, self.switches, self._given_place)

    @cached_property
    def programs(self) -> "Programs":
        """What runs agents and flows."""
        from magsag.services.programs import Programs

        return Programs(
            self.gate, self.recorder, self.values, self.store, self.clock, self.catalog.policies, self.models
        )

    @cached_property
    def keeper(self) -> "Keeper":
        """Keeps this process's leases alive."""
        from magsag.adapters.store import __file__ as store_folder
        from magsag.services.keeper import Keeper

        settings = self.settings
        seconds = settings.limits.step_seconds
        limits = () if self.debugging else self.gate.limits
        folder = str(Path(store_folder).parent)
        return Keeper(self.store, self.store.owner(), settings.lease_seconds, seconds, limits, folder)

    @cached_property
    def drive(self) -> "Drive":
        """The loop."""
        from magsag.services.drive import Drive

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
        from magsag.services.freshness import Freshness

        fresh = Freshness(lambda: stamp_of(Path(self.settings.catalog)), self._reread, self.clock)
        return Worker(self.drive, self.store, name, concurrency, told, fresh)

    @cached_property
    def runs(self) -> "Runs":
        """Starting, resuming and cancelling runs."""
        from magsag.services.runs import Runs

        return Runs(
            self.store, self.recorder, self.values, self.drive, self.runner, self.bundles, self.clock, self.settings
        )

    @cached_property
    def doubts(self) -> "Doubts":
        """Ending doubts."""
        from magsag.services.doubts import Doubts

        return Doubts(self.store, self.bundles, self.clock, self.settings.lease_seconds)

    @property
    def audit(self) -> "Audit":
        """Verdicts and what people said."""
        from magsag.services.audit import Audit

        return Audit(self._looked_at(), self.clock)

    @cached_property
    def erasing(self) -> "Erasing":
        """Taking payloads away."""
        from magsag.services.erasing import Erasing

        return Erasing(self.store, self.clock)

    @cached_property
    def staying(self) -> "Staying":
        """Staying with runs that wait."""
        from magsag.services.staying import Staying

        return Staying(self.store, self.runs, self.clock)

    @cached_property
    def events(self) -> "Events":
        """Telling runs of events."""
        from magsag.services.events import Events

        return Events(self.store, self.drive, self.clock)

    @cached_property
    def replay(self) -> "Replay":
        """Replays recorded runs; it needs no catalog of today."""
        from magsag.adapters.settings import packaged_catalog
        from magsag.catalog.load import load
        from magsag.services.replay import Replay

        def read(folder: Path) -> "Bundle":
            return load(folder, self.conditions, shipped=packaged_catalog()).bundle

        return Replay(self.store, self.bundles.find, read)

    @cached_property
    def forks(self) -> "Forks":
        """Makes new runs of recorded ones."""
        from magsag.services.fork import Forks

        return Forks(self.store, self.bundles, self.clock, self.settings)

    @cached_property
    def compare(self) -> "Compare":
        """Where two runs part."""
        from magsag.services.compare import Compare

        return Compare(self.store)

    @cached_property
    def parcels(self) -> "Parcels":
        """Runs on their way from ledger to ledger."""
        from magsag.catalog.bundle import Bundle
        from magsag.services.parcels import Parcels

        return Parcels(self.store, lambda data: Bundle.from_bytes(data, self.conditions))

    @cached_property
    def identity(self) -> "Identity":
        """Who acts at this process."""
        from magsag.adapters.settings import os_user
        from magsag.policy.people import Shown
        from magsag.services.people import Identity

        shown = Shown(os_user(), self.api_key)
        return Identity(lambda: self.catalog.people, shown, self.settings.environment)

    @property
    def approvals(self) -> "Approvals":
        """The tickets of this ledger."""
        from magsag.services.approvals import Approvals

        store = self._looked_at()
        bundles = self.bundles if self.has_ledger else self._bundles_of(store)
        return Approvals(store, bundles, lambda: self.catalog.people, self.clock)

    @property
    def insight(self) -> "Insight":
        """The read side of runs."""
        from magsag.services.insight import Insight

        return Insight(self._looked_at())

    @cached_property
    def summary(self) -> "Summary":
        """What finished runs show together."""
        from magsag.services.summary import Summary

        return Summary(self._looked_at(), self._governance)

    @cached_property
    def shelf(self) -> "Shelf":
        """What people ask of a catalog."""
        from magsag.adapters.settings import packaged_catalog
        from magsag.catalog.load import load
        from magsag.services.shelf import Shelf

        return Shelf(
            lambda: self.catalog,
            lambda folder, shown: load(folder, self.conditions, shown, shipped=packaged_catalog()),
            Path(self.settings.catalog),
        )

    @cached_property
    def rulebook(self) -> "Rulebook":
        """Questions to the policies in force."""
        from magsag.services.rulebook import Rulebook

        return Rulebook(lambda: self.catalog, self.settings)

    @cached_property
    def policy_replay(self) -> "PolicyReplay":
        """Other policies tried on recorded decisions."""
        from magsag.catalog.policy_files import draft_policies
        from magsag.services.flips import PolicyReplay

        def draft(files: Mapping[str, bytes]) -> "Policies":
            return draft_policies(files, self.catalog.bundle, self.conditions)

        store = self._looked_at()
        find = self.bundles.find if self.has_ledger else self._bundles_of(store).find
        return PolicyReplay(store, find, self.clock, draft, Path(self.settings.catalog))

    @cached_property
    def scaffold(self) -> "Scaffold":
        """New projects, agents, skills and flows."""
        from magsag.adapters.settings import IS_SHIPPED, packaged_catalog
        from magsag.services.scaffold import Scaffold

        is_own = self.settings.sources.get("catalog") != IS_SHIPPED
        return Scaffold(packaged_catalog(), Path(self.settings.catalog), is_own)

    @cached_property
    def upkeep(self) -> "Upkeep":
        """Keeping the ledger in order."""
        from magsag.services.upkeep import Upkeep

        return Upkeep(lambda: self.store, self._kept, self.clock)

    @cached_property
    def archives(self) -> "Archives":
        """Ended runs in files."""
        from magsag.services.archive import Archives

        return Archives(self._kept, lambda: self.parcels, self.clock)

    @cached_property
    def moving(self) -> "Moving":
        """The ledger on its way to another store."""
        from magsag.services.moving import Moving

        return Moving(self._kept, lambda place: _open_ledger(place, self._folder), self.clock)

    @cached_property
    def health(self) -> "Health":
        """What `doctor` looks at."""
        from magsag.adapters.machine import probe
        from magsag.services.health import Health, Openers

        openers = Openers(lambda: self.store, lambda: self.catalog, lambda: self.models, probe, _is_there)
        return Health(self.settings, openers, self.clock)

    @contextmanager
    def crash_proof(
        self, really: bool = False, dsn: str | None = None, open_ledger: "OpenLedger | None" = None
    ) -> Iterator["CrashProof"]:
        """Proves what crashes leave, on ledgers of its own: files, or schemas of the database that `dsn` names.

        `open_ledger` opens them instead; for tests of the proof. Raises Invalid where that cannot be proved here.
        """
        from magsag.adapters.proofs.bench import ForkBench
        from magsag.adapters.proofs.ledgers import FileLedgers, SchemaLedgers
        from magsag.services.proofs.crash import CrashProof

        if not self.settings.features.durable:
            raise Invalid("features.durable is off: runs live in memory, and nothing survives a crash")
        stand_ins = self.catalog.stand_ins
        stand_ins.ready()
        ledgers: Ledgers = FileLedgers(open_ledger or _open_ledger)
        if dsn is not None:
            _require_postgres(dsn)
            from magsag.adapters.store.postgres.store import drop_schema

            ledgers = SchemaLedgers(dsn, open_ledger or _open_ledger, drop_schema)
        with ForkBench(self._desk, ledgers, stand_ins, self.clock, really) as bench:
            yield CrashProof(bench)

    @contextmanager
    def approval_proof(self, open_store: Callable[[str], Store] | None = None) -> Iterator["ApprovalProof"]:
        """Proves approvals on a catalog and ledgers of its own. `open_store` opens these; for tests of the proof."""
        from magsag.adapters.proofs.scene import ForkScene
        from magsag.adapters.store.sqlite import SqliteStore
        from magsag.services.proofs.approval import REQUESTER, ApprovalProof

        catalogs: dict[Path, Loaded] = {}

        def desk(folder: Path, store: Store) -> "App":
            settings = Settings(project=str(folder), catalog=str(folder / "catalog"), ledger="", actor=REQUESTER)
            app = App(settings, store)
            app.__dict__["catalog"] = catalogs.setdefault(folder, app.catalog)
            return app

        with ForkScene(desk, open_store or (lambda ledger: SqliteStore(Path(ledger)))) as scene:
            yield ApprovalProof(scene)

    def watch(self) -> "Watch":
        """Follow the runs that this process drives from now on; at most one follows at a time."""
        from magsag.services.insight import Insight
        from magsag.services.watch import Watch

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

    def _governance(self) -> "FlowGovernance":
        """What finished runs must show: as the catalog's policies say, else those that are shipped."""
        policies = self.catalog.policies
        if policies.broken is not None:
            raise Invalid(policies.broken)
        if policies.governance is not None:
            return policies.governance
        from magsag.adapters.settings import packaged_catalog
        from magsag.services.summary import governance_of

        path = packaged_catalog() / "policies" / "flow_governance.yaml"
        return governance_of(path.name, path.read_bytes())

    def _desk(self, store: Store, clock: Clock, place: Place | None) -> "App":
        """Another app with these settings and this catalog, read once."""
        desk = App(self.settings, store, clock, place)
        desk.__dict__["catalog"] = self.catalog
        return desk

    def _provider(self, alias: str, bound: str) -> tuple[ModelProvider, str]:
        name, _, model = bound.partition(":")
        if name == "scripted":
            from magsag.adapters.providers.scripted import ScriptedProvider

            return ScriptedProvider(Path(self.settings.project) / model), model
        raise Invalid(f'[models] {alias} = "{bound}": provider {name!r} is not there; this version has scripted')


def _open_ledger(place: str, folder: Path) -> Store:
    """The ledger at a place, made when there is none. Raises Invalid, StoreBroken."""
    if is_postgres(place):
        _require_postgres(place)
        from magsag.adapters.store.postgres.store import PostgresStore

        return PostgresStore(place, folder)
    if "://" in place:
        raise Invalid(
            f"{place.partition('://')[0]}:// names no ledger: name a file, or postgresql://USER@HOST/DATABASE"
        )
    from magsag.adapters.store.sqlite import SqliteStore

    return SqliteStore(Path(place))


def _is_there(place: str) -> bool:
    """Whether somebody has made the ledger. Raises Invalid, StoreBroken for a server that cannot be asked."""
    if is_postgres(place):
        _require_postgres(place)
        from magsag.adapters.store.postgres.store import is_there

        return is_there(place)
    return Path(place).exists()


def _require_postgres(place: str) -> None:
    from importlib.util import find_spec

    if find_spec("psycopg") is None or find_spec("psycopg_pool") is None:
        raise Invalid(f"{shown(place)}: Postgres needs its driver: pip install 'magsag[postgres]'")


def build(settings: Settings, store: Store | None = None, clock: Clock | None = None) -> App:
    """The app for these settings; tests hand in a store or a clock of their own."""
    return App(settings, store, clock)
