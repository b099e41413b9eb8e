"""`flow summarize` and `flow gate`: finished runs of the ledger summed up, and such a summary judged.

A run is a root run that has ended, of an agent or of a flow; its steps are those of the whole tree below it.
"""

from collections.abc import Callable, Iterator, Sequence

from pydantic import ValidationError

from magsag.catalog.bundle import Bundle
from magsag.domain.errors import Invalid
from magsag.domain.facts import StepFact
from magsag.domain.ids import RunId
from magsag.domain.manifests.policy import FlowGovernance, Policy
from magsag.domain.summary import FlowSummary
from magsag.engine.run import Run
from magsag.policy.finished import Complaint, complaints
from magsag.ports.ledger import Store
from magsag.services.insight.attainment import Programs
from magsag.services.insight.finished import Finished, FromExports, FromLedger, Tree
from magsag.services.insight.totals import ReadRun, Totals
from magsag.services.insight.tree import follow


class Summary:
    """Sums up and judges finished runs."""

    def __init__(
        self,
        store: Store,
        default: Callable[[], FlowGovernance],
        find: Callable[[str], Bundle],
        thaw: Callable[[bytes], Bundle],
    ) -> None:
        """`find` gives the ledger's bundles by their hash, `thaw` reads one of an exported file."""
        self._store = store
        self._default = default
        self._find = find
        self._thaw = thaw

    def summarize(self, program: str | None = None, since: int | None = None) -> FlowSummary:
        """All finished runs; those of one program (`agent:slug`), or begun since a time in microseconds."""
        return _summed(FromLedger(self._store, self._find, program, since))

    def recompute(self, files: Sequence[tuple[str, bytes]]) -> FlowSummary:
        """The finished runs in files of `run export`, by their names. Raises Invalid for a file that was changed."""
        return _summed(FromExports(files, self._thaw))

    def gate(self, document: object, governance: FlowGovernance | None = None) -> list[Complaint]:
        """What a summary does not keep of the limits, by default those in force; empty when it passes.

        Raises Invalid, naming the key, when the document is no summary.
        """
        return complaints(read_summary(document), governance or self._default())


def _summed(finished: Finished) -> FlowSummary:
    totals, programs = Totals(), Programs(finished.bundle)
    for tree in finished.trees():
        totals.add_tree(tree.root, tree.status, {run: _fold(tree, run) for run in tree.facts})
        programs.add_tree(tree)
    return FlowSummary.model_validate({**totals.document(), "objectives": programs.documents()})


def _fold(tree: Tree, id: RunId) -> ReadRun:
    read = ReadRun(Run(id), tree.value)
    for fact in tree.facts[id]:
        follow(read.run, fact)
        for charged in (getattr(fact, "spent", None), getattr(fact, "lost", None)):
            if charged and isinstance(fact, StepFact):
                read.nano_usd[fact.step] += charged.get("usd", 0)
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


def read_summary(document: object) -> FlowSummary:
    """A summary as `flow summarize` writes it. Raises Invalid, naming the key."""
    if isinstance(document, FlowSummary):
        return document
    try:
        return FlowSummary.model_validate(document)
    except ValidationError as error:
        raise Invalid("; ".join(_faults(error)) + "; `magsag flow summarize` writes a summary") from None


def _faults(error: ValidationError) -> Iterator[str]:
    for fault in error.errors(include_url=False):
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"]).lstrip(".")
        what = "is missing" if fault["type"] == "missing" else f"is wrong: {fault['msg'][:1].lower()}{fault['msg'][1:]}"
        yield f"summary: {key} {what}" if key else f"summary {what}"
