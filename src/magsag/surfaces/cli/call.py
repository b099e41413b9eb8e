"""One use of the command: the flags that were given, and the app once a command asks for it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from magsag.domain.ids import RunId
    from magsag.domain.settings import Settings
    from magsag.ports.runner import Runner, Server, Told
    from magsag.services.desk.agents import Agents
    from magsag.services.desk.flips import PolicyReplay
    from magsag.services.desk.health import Health
    from magsag.services.desk.rulebook import Rulebook
    from magsag.services.desk.scaffold import Scaffold
    from magsag.services.desk.shelf import Shelf
    from magsag.services.driving.events import Events
    from magsag.services.driving.runs import Runs
    from magsag.services.driving.staying import Staying
    from magsag.services.gate.objectives import Objectives
    from magsag.services.insight.allowances import Allowances
    from magsag.services.insight.audit import Audit
    from magsag.services.insight.insight import Insight
    from magsag.services.insight.summary import Summary
    from magsag.services.insight.watch import Watch
    from magsag.services.keeping.archive import Archives
    from magsag.services.keeping.audit_export import AuditExports
    from magsag.services.keeping.erasing import Erasing
    from magsag.services.keeping.moving import Moving
    from magsag.services.keeping.parcels import Parcels
    from magsag.services.keeping.upkeep import Upkeep
    from magsag.services.keeping.verification import Verification
    from magsag.services.past.compare import Compare
    from magsag.services.past.fork import Forks
    from magsag.services.past.replay import Replay
    from magsag.services.people.approvals import Approvals
    from magsag.services.people.breakers import Breakers
    from magsag.services.people.budgets import BudgetBook
    from magsag.services.people.doubts import Doubts
    from magsag.services.people.people import Identity
    from magsag.services.people.standing_approvals import StandingApprovals
    from magsag.services.proofs.approval import ApprovalProof
    from magsag.services.proofs.audit import AuditProof
    from magsag.services.proofs.budget import BudgetProof
    from magsag.services.proofs.crash import CrashProof
    from magsag.services.proofs.gate import GateProof
    from magsag.services.steps.prices import Prices


class Services(Protocol):
    """What the command line needs of the app; each is made when it is first asked for."""

    @property
    def settings(self) -> "Settings": ...
    @property
    def has_ledger(self) -> bool: ...
    @property
    def budgets(self) -> "BudgetBook": ...
    @property
    def caps(self) -> "BudgetBook": ...
    @property
    def allowances(self) -> "Allowances": ...
    @property
    def prices(self) -> "Prices": ...
    @property
    def runs(self) -> "Runs": ...
    @property
    def runner(self) -> "Runner": ...
    @property
    def events(self) -> "Events": ...
    @property
    def staying(self) -> "Staying": ...
    @property
    def doubts(self) -> "Doubts": ...
    @property
    def audit(self) -> "Audit": ...
    @property
    def audit_exports(self) -> "AuditExports": ...
    @property
    def verification(self) -> "Verification": ...
    @property
    def erasing(self) -> "Erasing": ...
    @property
    def agents(self) -> "Agents": ...
    @property
    def breakers(self) -> "Breakers": ...
    @property
    def approvals(self) -> "Approvals": ...
    @property
    def standing_approvals(self) -> "StandingApprovals": ...
    @property
    def identity(self) -> "Identity": ...
    @property
    def insight(self) -> "Insight": ...
    @property
    def objectives(self) -> "Objectives": ...
    @property
    def replay(self) -> "Replay": ...
    @property
    def forks(self) -> "Forks": ...
    @property
    def compare(self) -> "Compare": ...
    @property
    def parcels(self) -> "Parcels": ...
    @property
    def summary(self) -> "Summary": ...
    @property
    def shelf(self) -> "Shelf": ...
    @property
    def rulebook(self) -> "Rulebook": ...
    @property
    def policy_replay(self) -> "PolicyReplay": ...
    @property
    def scaffold(self) -> "Scaffold": ...
    @property
    def upkeep(self) -> "Upkeep": ...
    @property
    def archives(self) -> "Archives": ...
    @property
    def moving(self) -> "Moving": ...
    @property
    def health(self) -> "Health": ...
    def worker(self, name: str, concurrency: int, told: "Callable[[RunId, Told | Exception], None]") -> "Server": ...
    def gate_proof(self) -> AbstractContextManager["GateProof"]: ...
    def budget_proof(self, dsn: str | None = None) -> AbstractContextManager["BudgetProof"]: ...
    def approval_proof(self, dsn: str | None = None) -> AbstractContextManager["ApprovalProof"]: ...
    def audit_proof(self, dsn: str | None = None) -> AbstractContextManager["AuditProof"]: ...
    def crash_proof(self, really: bool = False, dsn: str | None = None) -> AbstractContextManager["CrashProof"]: ...
    def watch(self) -> "Watch": ...
    def close(self) -> None: ...


OpenApp = Callable[[Mapping[str, object]], Services]
"""makes the app from flags by name: project, ledger, catalog, environment, mode, verbose, quiet, log_format ..."""


class Call:
    """What click hands to every command."""

    def __init__(self, open_app: OpenApp) -> None:
        self._open_app = open_app
        self.flags: dict[str, object] = {}

    @cached_property
    def app(self) -> Services:
        """The app for these flags. Raises Invalid for settings that cannot stand."""
        return self._open_app(self.flags)

    @property
    def wants_json(self) -> bool:
        return bool(self.flags.get("json"))

    @property
    def is_quiet(self) -> bool:
        return bool(self.flags.get("quiet"))

    def close(self) -> None:
        """Let go of what was opened."""
        if "app" in self.__dict__:
            self.app.close()
