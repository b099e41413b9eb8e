"""Loads a catalog: files in, a bundle, the policies and people in force, and all findings out."""

from pathlib import Path

from magsag.catalog.asking import check_answerable
from magsag.catalog.beside import Beside
from magsag.catalog.builtin import with_built_in
from magsag.catalog.bundle import Bundle
from magsag.catalog.check.everything import check
from magsag.catalog.findings import Finding, Notes
from magsag.catalog.people import read_people
from magsag.catalog.policies import read_policies
from magsag.catalog.policy_files import PlacedCase, read_cases
from magsag.catalog.reach import reached
from magsag.catalog.source import read_folder
from magsag.catalog.stand_ins import StandIns
from magsag.catalog.survey import survey
from magsag.domain.condition import Conditions
from magsag.domain.frozen import frozen
from magsag.policy.people import People
from magsag.policy.rules import Policies


@frozen
class Loaded:
    """A catalog, as far as it could be read."""

    bundle: Bundle
    policies: Policies
    people: People
    findings: list[Finding]
    """by file and line; the bundle holds what they leave"""
    stand_ins: StandIns
    """for acts, in proofs"""
    cases: tuple[PlacedCase, ...] = ()
    """what the policies should say"""

    def concerning(self, ref: str) -> list[Finding]:
        """The errors in what a run of `ref` can reach, itself included: such a run is not started."""
        within = reached(self.bundle, ref)
        readable = {entry.ref for entry in self.bundle.entries()}
        names = {one.partition("@")[0] for one in within}

        def concerns(subject: str | None) -> bool:
            """What could not be read concerns every run that names its slug, whichever version it wants."""
            if subject is None or subject in within:
                return subject is not None
            return subject not in readable and subject.partition("@")[0] in names

        return [note for note in self.findings if note.severity == "error" and concerns(note.subject)]


def load(
    root: Path,
    conditions: Conditions,
    shown: str | None = None,
    reach: str | None = None,
    beside: Beside | None = None,
    shipped: Path | None = None,
) -> Loaded:
    """Read and check the catalog in a folder.

    `shown` is how the folder is named in findings: as it was typed. `reach` saves time before a run: what a run
    of that reference cannot reach is checked for its shape and names, not for its code and expressions; an empty one
    reaches nothing.
    `beside` is a flow of no catalog, read as if it stood in this one. `shipped` is the catalog that comes with the
    product: built-in skills are taken from there when this one names them. Raises Invalid when there is no folder.
    """
    notes = Notes(str(root) if shown is None else shown)
    source = read_folder(root)
    for path, reason in source.unread.items():
        notes.add(path, (1, 1), f"the file cannot be read: {reason}", "mend it or remove it")
    files = source.files if beside is None else beside.among(source.files)
    found = survey(with_built_in(files, shipped), notes)
    bundle = Bundle(found, conditions, source.root)
    check(found, bundle, notes, reached(bundle, reach) if reach else None if reach is None else frozenset())
    policies = read_policies(found, bundle, conditions, notes)
    people = read_people(found, notes)
    check_answerable(found, people)
    stand_ins = StandIns(found, bundle, conditions, notes)
    if reach is None:
        stand_ins.check()
    findings = notes.sorted() if beside is None else [beside.placed(one) for one in notes.sorted()]
    return Loaded(bundle, policies, people, findings, stand_ins, read_cases(found))


__all__ = ["Loaded", "load", "reached"]
