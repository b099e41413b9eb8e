"""Loads a catalog: files in, a bundle, the policies in force and all findings out."""

from dataclasses import dataclass
from pathlib import Path

from magsag.catalog.bundle import Bundle
from magsag.catalog.findings import Finding, Notes
from magsag.catalog.policies import read_policies
from magsag.catalog.reach import reached
from magsag.catalog.source import read_folder
from magsag.catalog.survey import survey
from magsag.domain.condition import Conditions
from magsag.policy.judge import Policies


@dataclass(frozen=True, slots=True)
class Loaded:
    """A catalog, as far as it could be read."""

    bundle: Bundle
    policies: Policies
    findings: list[Finding]
    """by file and line; the bundle holds what they leave"""

    def concerning(self, ref: str) -> list[Finding]:
        """The errors in what a run of `ref` can reach, itself included: such a run is not started."""
        within = reached(self.bundle, ref)
        return [note for note in self.findings if note.severity == "error" and _concerns(note.subject, within)]


def load(root: Path, conditions: Conditions, shown: str | None = None) -> Loaded:
    """Read and check the catalog in a folder.

    `shown` is how the folder is named in findings: as it was typed. Raises Invalid when there is no folder.
    """
    notes = Notes(str(root) if shown is None else shown)
    source = read_folder(root)
    for path, reason in source.unread.items():
        notes.add(path, (1, 1), f"the file cannot be read: {reason}", "mend it or remove it")
    found = survey(source.files, notes)
    bundle = Bundle(found, conditions, source.root)
    policies = read_policies(found, bundle, conditions, notes)
    return Loaded(bundle, policies, notes.sorted())


def _concerns(subject: str | None, within: set[str]) -> bool:
    """A manifest that could not be read is named without its version, or with one that nobody offers."""
    if subject is None:
        return False
    return subject in within or subject.partition("@")[0] in within


__all__ = ["Loaded", "load", "reached"]
