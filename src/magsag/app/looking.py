"""What answers questions about runs and catalogs, and looks after the ledger."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from magsag.app.ledgers import is_there, ledger_at
from magsag.app.running import Running
from magsag.domain.errors import Invalid

if TYPE_CHECKING:
    from magsag.catalog.bundle import Bundle
    from magsag.domain.manifests.policy import FlowGovernance
    from magsag.policy.rules import Policies
    from magsag.services.desk.agents import Agents
    from magsag.services.desk.flips import PolicyReplay
    from magsag.services.desk.health import Health
    from magsag.services.desk.rulebook import Rulebook
    from magsag.services.desk.scaffold import Scaffold
    from magsag.services.desk.shelf import Shelf
    from magsag.services.gate.objectives import Objectives
    from magsag.services.insight.allowances import Allowances
    from magsag.services.insight.audit import Audit
    from magsag.services.insight.insight import Insight
    from magsag.services.insight.summary import Summary
    from magsag.services.keeping.archive import Archives
    from magsag.services.keeping.audit_export import AuditExports
    from magsag.services.keeping.erasing import Erasing
    from magsag.services.keeping.moving import Moving
    from magsag.services.keeping.parcels import Parcels
    from magsag.services.keeping.upkeep import Upkeep
    from magsag.services.keeping.verification import Verification
    from magsag.services.past.compare import Compare
    from magsag.services.past.replay import Replay
    from magsag.services.people.approvals import Approvals
    from magsag.services.people.breakers import Breakers
    from magsag.services.people.budgets import BudgetBook
    from magsag.services.people.standing_approvals import StandingApprovals


class Looking(Running):
    """What answers questions about runs and catalogs, and looks after the ledger."""

    @property
    def audit(self) -> "Audit":
        """Verdicts and what people said."""
        from magsag.services.insight.audit import Audit
        from magsag.services.insight.audit_names import names_of

        return Audit(self._looked_at(), self.clock, lambda: names_of(self.catalog, self.settings.models))

    @cached_property
    def audit_exports(self) -> "AuditExports":
        """The record in files for an auditor elsewhere."""
        from magsag.services.keeping.audit_export import AuditExports

        return AuditExports(self._kept, lambda: self.parcels, self.clock)

    @cached_property
    def verification(self) -> "Verification":
        """Whether the record is still what was written."""
        from magsag.services.keeping.verification import Verification

        return Verification(self._kept)

    @cached_property
    def erasing(self) -> "Erasing":
        """Taking payloads away."""
        from magsag.services.keeping.erasing import Erasing

        return Erasing(self.store, self.clock)

    @cached_property
    def replay(self) -> "Replay":
        """Replays recorded runs; it needs no catalog of today."""
        from magsag.adapters.settings import packaged_catalog
        from magsag.catalog.load import load
        from magsag.services.past.replay import Replay

        def read(folder: Path) -> "Bundle":
            return load(folder, self.conditions, shipped=packaged_catalog()).bundle

        return Replay(self.store, self.bundles.find, read)

    @cached_property
    def compare(self) -> "Compare":
        """Where two runs part."""
        from magsag.services.past.compare import Compare

        return Compare(self.store)

    @cached_property
    def parcels(self) -> "Parcels":
        """Runs on their way from ledger to ledger."""
        from magsag.catalog.bundle import Bundle
        from magsag.services.keeping.parcels import Parcels

        return Parcels(self.store, lambda data: Bundle.from_bytes(data, self.conditions), self.secrets)

    @property
    def approvals(self) -> "Approvals":
        """The tickets of this ledger."""
        from magsag.services.people.approvals import Approvals

        store = self._looked_at()
        bundles = self.bundles if self.has_ledger else self._bundles_of(store)
        return Approvals(store, bundles, lambda: self.catalog.people, self.clock, self.standing_approvals, self.untold)

    @property
    def standing_approvals(self) -> "StandingApprovals":
        """What people of this ledger approved beforehand."""
        from magsag.services.people.standing_approvals import StandingApprovals

        store = self._looked_at()
        bundles = self.bundles if self.has_ledger else self._bundles_of(store)
        return StandingApprovals(store, bundles, lambda: self.catalog.people, self.conditions, self.clock, self.untold)

    @property
    def agents(self) -> "Agents":
        """Agents, and how what they call stands."""
        from magsag.services.desk.agents import Agents
        from magsag.services.steps.limits import limits_of_provider

        bound = {alias: name.partition(":")[0] for alias, name in self.settings.models.items()}
        limits = {alias: limits_of_provider(name, self.settings.providers.get(name)) for alias, name in bound.items()}
        return Agents(lambda: self.catalog.bundle, self._looked_at(), limits)

    @property
    def budgets(self) -> "BudgetBook":
        """Budgets of this ledger, for those who look."""
        from magsag.services.people.budgets import BudgetBook

        return BudgetBook(self._looked_at(), lambda: self.catalog.people, self.clock, self.untold)

    @property
    def allowances(self) -> "Allowances":
        """What runs may still spend."""
        from magsag.services.insight.allowances import Allowances

        store = self._looked_at()
        find = self.bundles.find if self.has_ledger else self._bundles_of(store).find
        return Allowances(store, find, self.budgets, self.clock)

    @property
    def caps(self) -> "BudgetBook":
        """The same, for those who set caps."""
        from magsag.services.people.budgets import BudgetBook

        return BudgetBook(self.store, lambda: self.catalog.people, self.clock, self.untold, self._claims_count)

    @property
    def breakers(self) -> "Breakers":
        """Breakers of this ledger, for those who close them."""
        from magsag.services.people.breakers import Breakers

        return Breakers(self.store, lambda: self.catalog.people, self.clock, self.untold, self._claims_count)

    @property
    def _claims_count(self) -> bool:
        """Whether somebody's word counts for what holds for everybody: the project says that this is development."""
        from magsag.adapters.settings import is_of_the_process

        return not is_of_the_process(self.settings.sources.get("environment", ""))

    @property
    def insight(self) -> "Insight":
        """The read side of runs."""
        from magsag.services.insight.insight import Insight

        return Insight(self._looked_at())

    @property
    def objectives(self) -> "Objectives":
        """How programs stand."""
        from magsag.services.gate.objectives import Objectives

        return Objectives(self._looked_at(), self.clock)

    @cached_property
    def summary(self) -> "Summary":
        """What finished runs show together."""
        from magsag.catalog.bundle import Bundle
        from magsag.services.insight.summary import Summary

        store = self._looked_at()
        find = self.bundles.find if self.has_ledger else self._bundles_of(store).find
        return Summary(store, self._governance, find, lambda data: Bundle.from_bytes(data, self.conditions))

    @cached_property
    def shelf(self) -> "Shelf":
        """What people ask of a catalog."""
        from magsag.adapters.settings import packaged_catalog
        from magsag.catalog.load import load
        from magsag.services.desk.shelf import Shelf

        return Shelf(
            lambda: self.catalog,
            lambda folder, shown: load(folder, self.conditions, shown, shipped=packaged_catalog()),
            Path(self.settings.catalog),
        )

    @cached_property
    def rulebook(self) -> "Rulebook":
        """Questions to the policies in force."""
        from magsag.services.desk.rulebook import Rulebook

        return Rulebook(lambda: self.catalog, self.settings, self.clock)

    @cached_property
    def policy_replay(self) -> "PolicyReplay":
        """Other policies tried on recorded decisions."""
        from magsag.catalog.policy_files import draft_policies
        from magsag.services.desk.flips import PolicyReplay

        def draft(files: Mapping[str, bytes]) -> "Policies":
            return draft_policies(files, self.catalog.bundle, self.conditions)

        store = self._looked_at()
        find = self.bundles.find if self.has_ledger else self._bundles_of(store).find
        return PolicyReplay(store, find, self.clock, draft, Path(self.settings.catalog))

    @cached_property
    def scaffold(self) -> "Scaffold":
        """New projects, agents, skills and flows."""
        from magsag.adapters.settings import IS_SHIPPED, packaged_catalog
        from magsag.services.desk.scaffold import Scaffold

        is_own = self.settings.sources.get("catalog") != IS_SHIPPED
        return Scaffold(packaged_catalog(), Path(self.settings.catalog), is_own)

    @cached_property
    def upkeep(self) -> "Upkeep":
        """Keeping the ledger in order."""
        from magsag.services.keeping.upkeep import Upkeep

        return Upkeep(lambda: self.store, self._kept, self.clock)

    @cached_property
    def archives(self) -> "Archives":
        """Ended runs in files."""
        from magsag.services.keeping.archive import Archives

        return Archives(self._kept, lambda: self.parcels, self.clock)

    @cached_property
    def moving(self) -> "Moving":
        """The ledger on its way to another store."""
        from magsag.services.keeping.moving import Moving

        return Moving(self._kept, lambda place: ledger_at(place, self._folder), self.clock)

    @cached_property
    def health(self) -> "Health":
        """What `doctor` looks at."""
        from magsag.adapters.machine import probe
        from magsag.services.desk.health import Health, Openers

        openers = Openers(
            lambda: self.store,
            lambda: self.catalog,
            lambda: self.models,
            probe,
            is_there,
            self.sandbox.abilities,
            self._require_workspace,
            self.secrets.read,
            self.prices.listed,
        )
        return Health(self.settings, openers, self.clock)

    def _governance(self) -> "FlowGovernance":
        """What finished runs must show: as the catalog's policies say, else those that are shipped."""
        policies = self.catalog.policies
        if policies.broken is not None:
            raise Invalid(policies.broken)
        if policies.governance is not None:
            return policies.governance
        from magsag.adapters.settings import packaged_catalog
        from magsag.services.insight.summary import governance_of

        path = packaged_catalog() / "policies" / "flow_governance.yaml"
        return governance_of(path.name, path.read_bytes())
