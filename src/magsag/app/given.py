"""What everything else is made from: settings, time, the ledger, the catalog."""

from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from magsag.app.ledgers import is_there, ledger_at
from magsag.domain.condition import Conditions
from magsag.domain.errors import Invalid
from magsag.domain.location import is_postgres, shown
from magsag.domain.settings import Settings
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store
from magsag.ports.place import Place
from magsag.ports.secrets import Secrets

if TYPE_CHECKING:
    from magsag.adapters.sandbox.places import Places
    from magsag.catalog.beside import Beside
    from magsag.catalog.load import Loaded
    from magsag.ports.means import Means
    from magsag.ports.model import BoundModel
    from magsag.ports.sandbox import Sandbox
    from magsag.services.people.people import Identity
    from magsag.services.steps.apart import Enforcing
    from magsag.services.steps.bundles import Bundles
    from magsag.services.steps.prices import Prices


class Given:
    """What everything else is made from: settings, time, the ledger, the catalog."""

    def __init__(
        self,
        settings: Settings,
        store: Store | None = None,
        clock: Clock | None = None,
        place: Place | None = None,
        sandbox: "Sandbox | None" = None,
    ) -> None:
        self.settings = settings
        self._given_store = store
        self._given_clock = clock
        self._given_place = place
        self._given_sandbox = sandbox
        self.reach: str | None = None
        """what is going to run: the rest of the catalog is checked less closely; empty for a run with its own bundle"""
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
        return ledger_at(self.settings.ledger, self._folder, self.settings.audit.anchors)

    @property
    def has_ledger(self) -> bool:
        """Whether there is one already: looking makes none."""
        if "store" in self.__dict__ or self._given_store is not None or not self.settings.features.durable:
            return True
        return is_there(self.settings.ledger)

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
    def secrets(self) -> Secrets:
        """Where secrets are read from."""
        from magsag.adapters.secrets import SecretSources
        from magsag.adapters.secrets.salt import NAME

        salt = self._folder / NAME if self.settings.features.durable else None
        return SecretSources(Path(self.settings.project), salt)

    @cached_property
    def sandbox(self) -> "Sandbox":
        """What holds acts in processes of their own: the best way that works on this machine."""
        from magsag.adapters.sandbox.machine import MachineSandbox

        return self._given_sandbox or MachineSandbox(self._places)

    @cached_property
    def _places(self) -> "Places":
        from magsag.adapters.sandbox.places import Places

        settings = self.settings
        workspace = settings.workspace or str(Path(settings.project) / "workspace")
        return Places(workspace, settings.sandbox.read, self._own)

    def _require_workspace(self) -> None:
        """Raises Invalid for a workspace that somebody set where no act could use it."""
        if self.settings.workspace:
            self._places.require_apart()

    @property
    def _own(self) -> tuple[str, ...]:
        """Files and folders that no act may change: what decides about acts, and what was decided."""
        from magsag.adapters.settings.file import FILE

        settings, project = self.settings, Path(self.settings.project)
        ledger = (settings.ledger,) if not is_postgres(settings.ledger) else ()
        anchors = (settings.audit.anchors,) if settings.audit.anchors else ()
        return (str(self._folder), *ledger, *anchors, settings.catalog, str(project / FILE))

    @cached_property
    def enforcing(self) -> "Enforcing":
        """Whether this machine can hold what a program reaches."""
        from magsag.services.steps.apart import Enforcing

        return Enforcing(lambda: self.sandbox, self._require_workspace, self.prices.require_found)

    @cached_property
    def means(self) -> "Means":
        """What acts have at hand."""
        from magsag.adapters.files import WorkspaceFiles
        from magsag.adapters.web import GuardedWeb
        from magsag.policy.hosts import parse_hosts
        from magsag.ports.means import Means

        files = WorkspaceFiles(self._places.opened)
        web = GuardedWeb(parse_hosts(self.settings.http.allow))
        return Means(self.sandbox, self.secrets, files, web, self._given_place)

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
    def models(self) -> "Mapping[str, BoundModel]":
        """Model aliases bound to providers. Raises Invalid for a provider that does not exist, and for what is said of
        an alias or a provider that [models] does not name."""
        self._require_bound()
        self.prices.require()
        return {alias: self._provider(alias, bound) for alias, bound in self.settings.models.items()}

    @cached_property
    def prices(self) -> "Prices":
        """What models cost."""
        from magsag.adapters.prices import Snapshot
        from magsag.services.steps.prices import Prices

        return Prices(self.settings.models, self.settings.prices, Snapshot(self.clock), self.settings.sources)

    @cached_property
    def bundles(self) -> "Bundles":
        """Today's bundle and the frozen ones of earlier runs."""
        return self._bundles_of(self.store)

    def _bundles_of(self, store: Store) -> "Bundles":
        from magsag.catalog.bundle import Bundle
        from magsag.services.steps.bundles import Bundles

        def thaw(data: bytes) -> Bundle:
            return Bundle.from_bytes(data, self.conditions)

        return Bundles(lambda: self.catalog.bundle, store, thaw, self.clock, self.settings.packages, self.enforcing)

    @cached_property
    def identity(self) -> "Identity":
        """Who acts at this process."""
        from magsag.adapters.settings import os_user
        from magsag.policy.people import Shown
        from magsag.services.people.people import Identity

        shown = Shown(os_user(), self.api_key)
        return Identity(lambda: self.catalog.people, shown, self.settings.environment)

    def _require_bound(self) -> None:
        """A price or a limit that nothing is held to would be believed in. Raises Invalid."""
        settings = self.settings
        providers = {bound.partition(":")[0] for bound in settings.models.values()}
        for table, given, known in (
            ("prices", settings.prices, settings.models),
            ("providers", settings.providers, providers),
        ):
            for name in sorted(set(given) - set(known)):
                there = f"there: {', '.join(sorted(known))}" if known else "it names none"
                what = "alias" if table == "prices" else "provider"
                raise Invalid(
                    f"{self._place(table, name)}: [models] names no {what} {name!r} ({there}); "
                    "correct it or take it out"
                )

    def _provider(self, alias: str, bound: str) -> "BoundModel":
        name, _, model = bound.partition(":")
        if name == "scripted":
            from magsag.adapters.providers.scripted import ScriptedProvider
            from magsag.ports.model import BoundModel
            from magsag.services.steps.limits import limits_of_provider

            provider = ScriptedProvider(Path(self.settings.project) / model)
            limits = limits_of_provider(name, self.settings.providers.get(name))
            return BoundModel(provider, model, partial(self.prices.of, alias), limits)
        raise Invalid(
            f'{self._place("models", alias)} is "{bound}", and provider {name!r} is not there; '
            'this version has scripted, e.g. "scripted:replies.yaml"'
        )

    def _place(self, table: str, name: str) -> str:
        """`magsag.toml:3: prices.fast`."""
        key = f"{table}.{name}"
        return f"{self.settings.sources.get(key, 'magsag.toml')}: {key}"
