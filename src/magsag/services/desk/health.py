"""What `doctor` looks at: whether this machine, these settings, this ledger and this catalog can work together.

Each line says ok, warn or fail, and what mends it. Looking changes nothing: a ledger that does not exist yet is not
made, chains are not verified (`data check` does that).
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from magsag.domain.errors import MagsagError
from magsag.domain.frozen import frozen
from magsag.domain.location import is_postgres, shown
from magsag.domain.manifests import Skill
from magsag.domain.manifests.isolation import Isolation
from magsag.domain.price import Priced
from magsag.domain.secret import SecretReference, reference_of
from magsag.domain.settings import Settings
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store
from magsag.services.desk.looks import Line, State, anchors_line
from magsag.services.desk.unpriced import unpriced
from magsag.services.people.answerable import unanswerable_tickets
from magsag.services.steps.moment import spoken
from magsag.services.steps.throttles import ThrottleStates, ThrottleView

if TYPE_CHECKING:
    from magsag.catalog.load import Loaded

MEGABYTE: Final = 1_000_000
LOW_DISK: Final = 1000 * MEGABYTE
NO_DISK: Final = 50 * MEGABYTE


@frozen
class Machine:
    """What the machine is like; `adapters.machine` finds out."""

    python: tuple[int, int, int]
    sqlite: str
    has_search: bool
    """SQLite was built with FTS5"""
    free_bytes: int
    """on the disk of the ledger"""


@frozen
class Openers:
    """What is opened to be looked at; each may raise, and that is a finding."""

    store: Callable[[], Store]
    catalog: Callable[[], "Loaded"]
    models: Callable[[], Mapping[str, object]]
    machine: Callable[[str], Machine]
    is_there: Callable[[str], bool] = lambda ledger: Path(ledger).exists()
    """whether somebody has made the ledger"""
    abilities: Callable[[], Sequence[tuple[Isolation, str, bool]]] = tuple
    """as `ports.sandbox` says them"""
    workspace: Callable[[], None] = lambda: None
    """raises for one in which no act may write"""
    secret: Callable[[SecretReference], object] = lambda reference: None
    """raises for one that cannot be read here"""
    prices: Callable[[], Sequence[Priced]] = tuple
    """of every alias"""


class Health:
    """Looks at everything once."""

    def __init__(self, settings: Settings, openers: Openers, clock: Clock) -> None:
        self._settings = settings
        self._open = openers
        self._clock = clock

    def lines(self) -> list[Line]:
        """All lines, in the order in which a newcomer would mend them."""
        looks = (self._machine, self._isolation, self._settings_line, self._ledger, self._catalog, self._models)
        return [line for look in looks for line in look()]

    def _machine(self) -> Iterator[Line]:
        settings = self._settings
        machine = self._open.machine(_existing(settings.project if is_postgres(settings.ledger) else settings.ledger))
        python = ".".join(map(str, machine.python))
        if machine.python >= (3, 11):
            yield Line("python", State.OK, python)
        else:
            yield Line("python", State.FAIL, f"{python}; 3.11 is the oldest that works", "install Python 3.11 or newer")
        if machine.has_search:
            yield Line("sqlite", State.OK, f"{machine.sqlite}, with full-text search")
        else:
            text = f"{machine.sqlite} was built without FTS5: `magsag run search` cannot work"
            yield Line("sqlite", State.WARN, text, "use a Python whose SQLite has FTS5")
        yield _disk(machine.free_bytes, is_postgres(settings.ledger))

    def _isolation(self) -> Iterator[Line]:
        for isolation, text, is_enforced in self._open.abilities():
            weak = Line(isolation, State.WARN, text, "docs/guides/sandbox.md")
            yield Line(isolation, State.OK, text) if is_enforced else weak
        for path in (path for path in self._settings.sandbox.read if not Path(path).exists()):
            yield Line("sandbox", State.WARN, f"[sandbox] read: {path} is not there", "magsag config show")

    def _settings_line(self) -> Iterator[Line]:
        settings = self._settings
        yield Line("project", State.OK, f"{settings.project} ({settings.sources.get('project', '')})")
        off = [name for name in ("approvals", "durable") if not getattr(settings.features, name)]
        if off:
            text = f"{' and '.join(off)} off: what needs it is refused"
            yield Line("features", State.WARN, text, "magsag config show")
        else:
            yield Line("features", State.OK, "approvals and durable are on")
        try:
            self._open.workspace()
        except MagsagError as error:
            yield Line("workspace", State.FAIL, f"{error}; no run starts before", "magsag config show")

    def _ledger(self) -> Iterator[Line]:
        ledger = self._settings.ledger
        if not self._settings.features.durable:
            return
        try:
            if not self._open.is_there(ledger):
                yield _place_for_ledger(ledger)
                return
            store = self._open.store()
            about = store.describe()
            closure = store.closure()
            stranded = store.due(self._clock.now(), 10) if closure is None else []
            throttles = ThrottleStates(store).all()
        except MagsagError as error:
            # What keeps a database from being opened keeps `data check` from it too.
            mend = "magsag config show" if is_postgres(ledger) else "magsag data check"
            yield Line("ledger", State.FAIL, str(error), mend)
            return
        yield Line(
            "ledger",
            State.OK,
            f"{shown(ledger)}: schema {about['schema']}, {about['runs']} runs, {about['facts']} facts",
        )
        if closure is not None:
            yield Line("moved", State.WARN, closure.why(), "set `ledger` in magsag.toml, or use --ledger")
        if about.get("journal_mode", "wal") != "wal":
            text = f"the journal mode is {about['journal_mode']}, not wal: two processes get in each other's way"
            yield Line("journal", State.WARN, text, "put the ledger on a local disk: magsag config show")
        elif "journal_mode" in about:
            yield Line("journal", State.OK, "write-ahead log")
        if (anchors := anchors_line(store, about, self._settings.environment)) is not None:
            yield anchors
        yield self._locks(store)
        yield from map(_breaker, (one for one in throttles if one.since is not None))
        for run in stranded:
            yield Line("run", State.WARN, f"{run} has no driver", f"magsag agent run --resume {run}")

    def _locks(self, store: Store) -> Line:
        try:
            store.owner()
        except MagsagError as error:
            return Line("locks", State.FAIL, str(error), "make the folder writable")
        return Line("locks", State.OK, "a dead process is seen by its lock")

    def _catalog(self) -> Iterator[Line]:
        try:
            loaded = self._open.catalog()
        except MagsagError as error:
            yield Line("catalog", State.FAIL, str(error), "magsag config show")
            return
        errors = sum(finding.severity == "error" for finding in loaded.findings)
        warnings = len(loaded.findings) - errors
        where = f"{self._settings.catalog}"
        if errors or warnings:
            state = State.FAIL if errors else State.WARN
            yield Line("catalog", state, f"{where}: {errors} findings, {warnings} warnings", "magsag catalog validate")
        else:
            yield Line("catalog", State.OK, f"{where}: {sum(1 for _ in loaded.bundle.entries())} entries, no findings")
        yield from self._secrets(loaded)
        with suppress(MagsagError):
            if self._settings.features.durable and self._open.is_there(self._settings.ledger):
                for id, why in unanswerable_tickets(self._open.store(), loaded.people):
                    yield Line("approval", State.WARN, f"{id}: {why}", f"magsag approval show {id}")

    def _secrets(self, loaded: "Loaded") -> Iterator[Line]:
        """Those that skills could not act without; a keyring is not asked, since it may ask somebody."""
        declared: dict[SecretReference, str] = {}
        for entry in loaded.bundle.entries():
            if isinstance(entry.manifest, Skill):
                for text in entry.manifest.secrets.values():
                    declared.setdefault(reference_of(text), entry.ref)
        for reference, skill in declared.items():
            if reference.is_optional or reference.source == "keyring":
                continue
            try:
                self._open.secret(reference)
            except MagsagError as error:
                yield Line("secret", State.WARN, str(error), f"before {skill} is called")

    def _models(self) -> Iterator[Line]:
        try:
            names = sorted(self._open.models())
        except MagsagError as error:
            yield Line("models", State.FAIL, str(error), "mend magsag.toml there: magsag config show")
            return
        yield Line("models", State.OK, f"bound: {', '.join(names)}" if names else "no alias is bound, none needed yet")
        yield from map(_price, priced := self._open.prices())
        try:
            bundle = self._open.catalog().bundle
        except MagsagError:
            return  # its own line says so
        for alias, agent in unpriced(bundle, priced):
            text = f"{alias} has no price, and a budget of {agent} counts usd: it is never asked there"
            yield Line("price", State.WARN, text, f"give it one: [prices] {alias} in magsag.toml")


def _breaker(view: ThrottleView) -> Line:
    text = f"{view.name} is {view.state.value.replace('_', '-')}; it failed at {spoken(view.since or 0)}"
    return Line("breaker", State.WARN, text, f"once it works: magsag agent close-breaker {view.name}")


def _price(one: Priced) -> Line:
    if one.why:
        return Line("price", State.FAIL, one.why, "mend [prices] in magsag.toml")
    said = one.price.version if one.price is not None else "no price, so no budget of money lets it be asked"
    return Line("price", State.OK, f"{one.alias}: {said}")


def _disk(free: int, is_elsewhere: bool) -> Line:
    """`is_elsewhere`: the ledger is on the disk of a server, which nobody can see from here."""
    text = f"{free // MEGABYTE:,} MB free where the {'project' if is_elsewhere else 'ledger'} is"
    if free >= LOW_DISK:
        return Line("disk", State.OK, text)
    mend = "free some space" if is_elsewhere else "magsag data vacuum"
    return Line("disk", State.WARN if free >= NO_DISK else State.FAIL, text, mend)


def _place_for_ledger(ledger: str) -> Line:
    if is_postgres(ledger):
        return Line("ledger", State.OK, f"{shown(ledger)}: none yet, the first run makes it")
    path = Path(ledger)
    folder = _existing(str(path.parent))
    if os.access(folder, os.W_OK | os.X_OK):
        return Line("ledger", State.OK, f"{path}: none yet, the first run makes it")
    return Line("ledger", State.FAIL, f"{path}: {folder} may not be written", "make it writable, or use --ledger FILE")


def _existing(path: str) -> str:
    """The nearest folder upwards that is there."""
    place = Path(path)
    while not place.is_dir() and place != place.parent:
        place = place.parent
    return str(place)
