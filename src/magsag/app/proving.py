"""What proves promises, on ledgers of its own."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from magsag.app.ledgers import ledger_at, require_postgres
from magsag.app.looking import Looking
from magsag.domain.errors import Invalid
from magsag.domain.settings import Settings
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store
from magsag.ports.place import Place

if TYPE_CHECKING:
    from magsag.adapters.proofs.bench import Ledgers
    from magsag.adapters.proofs.ledgers import OpenLedger
    from magsag.catalog.load import Loaded
    from magsag.services.proofs.approval import ApprovalProof
    from magsag.services.proofs.audit import AuditProof, Trial
    from magsag.services.proofs.budget import BudgetProof
    from magsag.services.proofs.crash import CrashProof
    from magsag.services.proofs.gate import GateProof


class Proving(Looking):
    """What proves promises, on ledgers of its own."""

    @contextmanager
    def crash_proof(
        self, really: bool = False, dsn: str | None = None, open_ledger: "OpenLedger | None" = None
    ) -> Iterator["CrashProof"]:
        """Proves what crashes leave, on ledgers of its own: files, or schemas of the database that `dsn` names.

        `open_ledger` opens them instead; for tests of the proof. Raises Invalid where that cannot be proved here.
        """
        from magsag.adapters.proofs.bench import ForkBench
        from magsag.services.proofs.crash import CrashProof

        if not self.settings.features.durable:
            raise Invalid("features.durable is off: runs live in memory, and nothing survives a crash")
        stand_ins = self.catalog.stand_ins
        stand_ins.ready()
        ledgers = _fresh_ledgers(dsn, open_ledger)
        with ForkBench(self._desk, ledgers, stand_ins, self.clock, really) as bench:
            yield CrashProof(bench)

    @contextmanager
    def approval_proof(
        self, dsn: str | None = None, open_ledger: "OpenLedger | None" = None
    ) -> Iterator["ApprovalProof"]:
        """Proves approvals on a catalog and ledgers of its own: files, or schemas of the database that `dsn` names.

        `open_ledger` opens them instead; for tests of the proof.
        """
        from magsag.adapters.proofs.scene import ForkScene
        from magsag.services.proofs.approval import REQUESTER, ApprovalProof

        ledgers = _fresh_ledgers(dsn, open_ledger)
        catalogs: dict[Path, Loaded] = {}

        def desk(folder: Path, store: Store) -> "Proving":
            settings = Settings(project=str(folder), catalog=str(folder / "catalog"), ledger="", actor=REQUESTER)
            app = type(self)(settings, store)
            app.__dict__["catalog"] = catalogs.setdefault(folder, app.catalog)
            return app

        with ForkScene(desk, ledgers) as scene:
            yield ApprovalProof(scene)

    @contextmanager
    def budget_proof(self, dsn: str | None = None, open_ledger: "OpenLedger | None" = None) -> Iterator["BudgetProof"]:
        """Proves budgets on a catalog and a ledger of its own: a file, or a schema of the database that `dsn` names.

        `open_ledger` opens it instead; for tests of the proof.
        """
        from magsag.adapters.proofs.market import ForkMarket
        from magsag.services.driving.runs import Order
        from magsag.services.proofs.budget import PROGRAM, BudgetProof

        catalogs: dict[Path, Loaded] = {}

        def till(folder: Path, store: Store) -> "Proving":
            app = type(self)(Settings(project=str(folder), catalog=str(folder / "catalog"), ledger=""), store)
            app.__dict__["catalog"] = catalogs.setdefault(folder, app.catalog)
            return app

        def warm(folder: Path) -> None:
            import asyncio

            from magsag.adapters.store.memory import MemoryStore

            with closing(till(folder, MemoryStore())) as app:
                asyncio.run(app.runs.run(Order(PROGRAM, {"prices": [1]})))

        with ForkMarket(till, _fresh_ledgers(dsn, open_ledger), warm) as market:
            yield BudgetProof(market)

    @contextmanager
    def gate_proof(self, programs: Mapping[str, str] | None = None) -> Iterator["GateProof"]:
        """Proves the gate on a project and ledgers of its own. `programs` adds surfaces; for tests of the proof."""
        from magsag.adapters.proofs.gate_scene import ProcessScene
        from magsag.services.proofs.gate import GateProof

        with ProcessScene(ledger_at, programs or {}) as scene:
            yield GateProof(scene)

    @contextmanager
    def audit_proof(self, dsn: str | None = None) -> Iterator["AuditProof"]:
        """Proves the audit on a catalog and a ledger of its own: a file, or a schema of the database `dsn` names."""
        from magsag.adapters.proofs.witness import REQUESTER, WitnessScene
        from magsag.services.proofs.audit import AuditProof

        def desk(folder: Path, store: Store) -> "Proving":
            settings = Settings(project=str(folder), catalog=str(folder / "catalog"), ledger="", actor=REQUESTER)
            return type(self)(settings, store)

        with WitnessScene(desk, _fresh_ledgers(dsn, None), _trial) as scene:
            yield AuditProof(scene)

    def _desk(self, store: Store, clock: Clock, place: Place | None) -> Self:
        """Another app with these settings and this catalog, read once."""
        desk = type(self)(self.settings, store, clock, place)
        desk.__dict__["catalog"] = self.catalog
        return desk


def _trial(store: Store) -> "Trial":
    """The ledger as something to tamper with, and to change back."""
    from magsag.adapters.store.sqlite import SqliteStore

    if isinstance(store, SqliteStore):
        from magsag.adapters.store.trials import SqliteTrial

        return SqliteTrial(store)
    from magsag.adapters.store.postgres.store import PostgresStore
    from magsag.adapters.store.postgres.trials import PostgresTrial

    assert isinstance(store, PostgresStore)
    return PostgresTrial(store)


def _fresh_ledgers(dsn: str | None, open_ledger: "OpenLedger | None") -> "Ledgers":
    """Files, or schemas of the database that the DSN names. Raises Invalid."""
    from magsag.adapters.proofs.ledgers import FileLedgers, SchemaLedgers

    if dsn is None:
        return FileLedgers(open_ledger or ledger_at)
    require_postgres(dsn)
    from magsag.adapters.store.postgres.store import drop_schema

    return SchemaLedgers(dsn, open_ledger or ledger_at, drop_schema)
