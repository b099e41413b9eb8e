"""All checks of a catalog, in one place."""

from collections.abc import Set

from magsag.catalog.bundle import Bundle
from magsag.catalog.check.budgets import check_budget
from magsag.catalog.check.code_lint import lint_agent
from magsag.catalog.check.contract_files import check_contracts
from magsag.catalog.check.cycles import check_call_cycles
from magsag.catalog.check.entrypoints import Sources, agent_module, check_entrypoint
from magsag.catalog.check.flows import check_flow
from magsag.catalog.check.index import Index
from magsag.catalog.check.names import check_names
from magsag.catalog.findings import Notes
from magsag.catalog.survey import Survey
from magsag.domain.manifests import Agent, Flow


def check(found: Survey, bundle: Bundle, notes: Notes, within: Set[str] | None = None) -> None:
    """Add every finding to `notes`; the shapes of the manifests were checked when they were read.

    `within`: names and cycles are checked everywhere, code, contracts and expressions only of these subjects.
    """
    index = Index(found, bundle)
    sources = Sources(found.files, notes)
    check_contracts(found, bundle, notes, within)
    check_call_cycles(index)
    for candidate in found.manifests:
        check_names(candidate, index)
        if within is not None and candidate.subject not in within:
            continue
        check_entrypoint(candidate, sources)
        if isinstance(agent := candidate.checked, Agent):
            check_budget(candidate, agent, index)
        if isinstance(flow := candidate.checked, Flow):
            check_flow(candidate, flow, index)
        if (module := agent_module(candidate, sources)) is not None:
            lint_agent(*module, candidate.subject, notes)
