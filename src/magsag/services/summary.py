"""`flow summarize` and `flow gate`: finished runs of the ledger summed up, and such a summary judged.

A run is a root run that has ended, of an agent or of a flow; its steps are those of the whole tree below it.
"""

from collections.abc import Callable, Iterator

from pydantic import ValidationError

from magsag.domain.errors import Invalid
from magsag.domain.facts import ENDS, StepDone, StepSucceeded
from magsag.domain.ids import RunId
from magsag.domain.manifests.policy import FlowGovernance, Policy
from magsag.domain.summary import FlowSummary
from magsag.engine.chain import unseal
from magsag.engine.run import Run
from magsag.policy.finished import complaints
from magsag.ports.ledger import RunQuery, Store
from magsag.services.large import plain
from magsag.services.totals import ReadRun, Totals
from magsag.services.tree import follow


class Summary:
    """Sums up and judges finished runs."""

    def __init__(self, store: Store, default: Callable[[], FlowGovernance]) -> None:
        self._store = store
        self._default = default

    def summarize(self, program: str | None = None, since: int | None = None) -> FlowSummary:
        """All finished runs; those of one program (`agent:slug`), or begun since a time in microseconds."""
        totals = Totals()
        for row in self._store.rows(RunQuery(program=program, since=since, limit=None)):
            if row.status in ENDS:
                totals.add_tree(row.run, row.status, self._tree(row.run))
        return FlowSummary.model_validate(totals.document())

    def gate(self, document: object, governance: FlowGovernance | None = None) -> list[str]:
        """What a summary does not keep of the limits, by default those in force; empty when it passes.

        Raises Invalid, naming the key, when the document is no summary.
        """
        return complaints(_summary(document), governance or self._default())

    def _tree(self, root: RunId) -> "dict[RunId, ReadRun]":
        rows = self._store.rows(RunQuery(root=root, limit=None))
        return {row.run: self._fold(root, row.run) for row in rows}

    def _fold(self, root: RunId, id: RunId) -> "ReadRun":
        read = ReadRun(Run(id), lambda data: plain(self._store, root, data))
        for stored in self._store.read(id):
            fact = unseal(stored)
            follow(read.run, fact)
            if isinstance(fact, StepDone | StepSucceeded) and fact.spent:
                read.nano_usd[fact.step] += fact.spent.get("usd", 0)
        return read


def governance_of(name: str, data: bytes) -> FlowGovernance:
    """The `flow_governance` of a policy file. Raises Invalid with every finding, each with its place."""
    from magsag.catalog.findings import Notes
    from magsag.catalog.survey import survey

    notes = Notes("")
    found = [candidate.checked for candidate in survey({name: data}, notes).manifests]
    if findings := notes.sorted():
        raise Invalid("\n".join(str(finding) for finding in findings))
    for manifest in found:
        if isinstance(manifest, Policy) and manifest.flow_governance is not None:
            return manifest.flow_governance
    raise Invalid(
        f"{name}: there is no `flow_governance` in it; write one, as in catalog/policies/flow_governance.yaml"
    )


def _summary(document: object) -> FlowSummary:
    try:
        return FlowSummary.model_validate(document)
    except ValidationError as error:
        raise Invalid("; ".join(_faults(error)) + "; `magsag flow summarize` writes a summary") from None


def _faults(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False):
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).lstrip(".")
        what = "is missing" if fault["type"] == "missing" else f"is wrong: {fault['msg'][:1].lower()}{fault['msg'][1:]}"
        yield f"summary: {key} {what}" if key else f"summary {what}"
