"""Sorts a catalog's files: which are manifests, of which kind, and which are contracts.

The kind of a manifest is what its `kind` says, wherever it stands. Every YAML file outside `contracts/` is a
manifest; a JSON file is one when it has a `kind` or stands where a manifest is looked for. What cannot be
read becomes a finding, and the rest goes on.
"""

import re
from dataclasses import dataclass, field, replace
from posixpath import basename, dirname
from typing import Any, Final, NamedTuple

from magsag.catalog.check.schema import Shape, check_shape
from magsag.catalog.document import Document, Pointer
from magsag.catalog.findings import Notebook, Notes
from magsag.catalog.reading import read
from magsag.catalog.references import did_you_mean
from magsag.catalog.subschemas import contract_name
from magsag.domain.frozen import frozen
from magsag.domain.manifests import KINDS, Manifest

_TEXT: Final = (".yaml", ".yml", ".json")
_EXPECTED: Final = re.compile(
    r"agents/(?:main|sub)/[^/]+/agent\.json|skills/[^/]+/skill\.json|evals/[^/]+/eval\.json|(?:flows|policies)/.*\.json"
    r"|proof\.json"
)
KIND_FOLDERS: Final = {"agents": "agent", "skills": "skill", "flows": "flow", "policies": "policy", "evals": "eval"}
"""folder -> the kind that is looked for there"""
OUTSIDE_THE_BUNDLE: Final = frozenset({"policy", "policy_test", "people", "proof"})
"""kinds without slug and version: those in force count, whatever a run began with"""
_SAYS_POLICY: Final = re.compile(
    r"""(?:^|[{,])\s*["']?(?:kind["']?\s*:\s*["']?policy\b|(?:rules|flow_governance)["']?\s*:)""", re.MULTILINE
)
TABLE_NAME: Final = ".test.yaml"
"""how the file of a `policy_test` ends; no policy may stand in one"""
_LATER: Final = frozenset({"routes", "mcp", "memory", "tools", "stages", "workflow", "security"})


@frozen
class Candidate:
    """A file that is, or should be, a manifest."""

    path: str
    kind: str
    slug: str
    document: Document
    shape: Shape
    subject: str | None
    """exact reference; without version where that cannot be read; None for policies and people"""
    notes: Notebook

    @property
    def slugs(self) -> set[str]:
        """What it may be called: with a slug that is at fault, by its folder too."""
        is_at_fault = any(fault.pointer == ("slug",) for fault in self.shape.faults)
        return {self.slug, _folder(self.path)} if is_at_fault else {self.slug}

    @property
    def checked(self) -> Manifest | None:
        """What the other checks look at."""
        return self.shape.manifest or self.shape.stand_in


class ContractFile(NamedTuple):
    """A file that holds a contract."""

    path: str
    document: Document


@dataclass(slots=True)
class Survey:
    """All of a catalog, sorted."""

    files: dict[str, bytes]
    manifests: list[Candidate] = field(default_factory=list)
    contracts: dict[str, ContractFile] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[Candidate]:
        return [candidate for candidate in self.manifests if candidate.kind == kind]


def survey(files: dict[str, bytes], notes: Notes) -> Survey:
    """Read every manifest and contract, in the order of their paths."""
    found = Survey(files)
    for path in sorted(files):
        if not path.endswith(_TEXT):
            continue
        if path.startswith("contracts/"):
            _add_contract(found, path, notes)
        elif (candidate := _candidate(path, files[path], notes)) is not None:
            found.manifests.append(candidate)
    _refuse_twins(found)
    return found


def _add_contract(found: Survey, path: str, notes: Notes) -> None:
    name = contract_name(path)
    if name is None:
        fix = "name it NAME.schema.json, or move it out of contracts/"
        notes.add(path, (1, 1), "the file is no contract and is not read", fix, severity="warning")
        return
    if name in found.contracts:
        what = f"contract {name} stands twice; the other is {found.contracts[name].path}"
        notes.add(path, (1, 1), what, "remove one of them", subject=f"contract:{name}")
        return
    document = read(path, found.files[path])
    found.contracts[name] = ContractFile(path, document)
    for fault in document.faults:
        notes.add(path, (fault.line, fault.column), fault.what, fault.next, subject=f"contract:{name}")
    if not document.faults and not isinstance(document.value, dict):
        notes.add(path, (1, 1), "a contract is a JSON Schema object", "write one", subject=f"contract:{name}")


def _candidate(path: str, data: bytes, notes: Notes) -> Candidate | None:
    document = read(path, data)
    value = document.value
    if path.endswith(".json") and not _is_manifest(path, document):
        return None
    if not isinstance(value, dict):
        return _unreadable(path, document, notes)
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        guessed = _guessed_kind(path, document)
        candidate = _made(path, guessed, document, Shape(None, None), notes)
        _note_faults(candidate, notes)
        what, fix = _kind_words(kind, guessed)
        candidate.notes.add(("kind",) if "kind" in value else (), what, fix)
        return candidate
    candidate = _made(path, kind, document, check_shape(kind, value, _folder(path)), notes)
    _note_faults(candidate, notes)
    return candidate


def _is_manifest(path: str, document: Document) -> bool:
    """Whether a JSON file is one; broken text that says it is a policy counts."""
    if _EXPECTED.fullmatch(path) is not None or (isinstance(document.value, dict) and "kind" in document.value):
        return True
    return document.value is None and _SAYS_POLICY.search(document.text) is not None


def _made(path: str, kind: str, document: Document, shape: Shape, notes: Notes) -> Candidate:
    value: dict[str, Any] = document.value if isinstance(document.value, dict) else {}
    slug = value.get("slug") if isinstance(value.get("slug"), str) else None
    if slug is None:
        found = re.search(r"""^["{\s]*slug["\s]*:\s*["']?([a-z0-9-]+)""", document.text, re.MULTILINE)
        slug = found[1] if found else _folder(path)
    version = value.get("version")
    subject = f"{kind}:{slug}" + (f"@{version}" if isinstance(version, str) else "")
    faulted = {fault.pointer for fault in shape.faults} | shape.mended
    if document.faults and shape.manifest is not None:
        shape = replace(shape, manifest=None, stand_in=shape.manifest)
    about = None if kind in ("policy", "people") else subject
    return Candidate(path, kind, slug, document, shape, about, Notebook(notes, path, document, about, faulted))


def _note_faults(candidate: Candidate, notes: Notes) -> None:
    document, subject = candidate.document, candidate.subject
    for fault in document.faults:
        notes.add(candidate.path, (fault.line, fault.column), fault.what, fault.next, subject=subject)
    spots = {(fault.line, fault.column) for fault in document.faults}
    for shape_fault in candidate.shape.faults:
        pointer: Pointer = shape_fault.pointer
        at = document.key_place(pointer) if shape_fault.at_key else document.place(pointer)
        if at not in spots:
            notes.add(candidate.path, at, shape_fault.what, shape_fault.next, subject=subject)


def _unreadable(path: str, document: Document, notes: Notes) -> Candidate:
    candidate = _made(path, _guessed_kind(path, document), document, Shape(None, None), notes)
    _note_faults(candidate, notes)
    if not document.faults:
        what = "the file is empty" if document.value is None else "a manifest is a mapping of keys"
        candidate.notes.add((), what, "begin with `kind:` and `schema: 1`, or remove the file")
    return candidate


def _kind_words(kind: object, guessed: str) -> tuple[str, str]:
    if kind is None:
        return "`kind` is missing", f"add `kind: {guessed}`, or keep data in a folder whose name starts with `_`"
    if not isinstance(kind, str):
        return "`kind` must be text", f"write `kind: {guessed}`"
    if kind in _LATER:
        return f"kind {kind} is not read by this version, so it is refused", "move the file out of the catalog"
    fix = did_you_mean(kind, list(KINDS)) or "the kinds are " + ", ".join(KINDS)
    return f'there is no kind "{kind}"', fix


def _refuse_twins(found: Survey) -> None:
    """The same version of one slug twice: the first in path order stays."""
    seen: dict[tuple[str, str, object], Candidate] = {}
    for candidate in list(found.manifests):
        manifest = candidate.shape.manifest
        if manifest is None or candidate.kind in OUTSIDE_THE_BUNDLE:
            continue
        key = (candidate.kind, candidate.slug, getattr(manifest, "version", None))
        first = seen.setdefault(key, candidate)
        if first is not candidate:
            line, column = first.document.place(("version",))
            what = f"{candidate.subject} stands twice; the other is at {first.path}:{line}:{column}"
            candidate.notes.add(("version",), what, "give one of them another version, or remove it")
            found.manifests.remove(candidate)


def _guessed_kind(path: str, document: Document) -> str:
    """By what the text says, the name or the folder. What may be a policy counts as one: a broken policy denies.

    A table is known by its name. That is safe, since no policy is in force in a file of that name.
    """
    if _SAYS_POLICY.search(document.text) is not None:
        return "policy"
    if (name := path.partition(".")[0]) in ("people", "proof"):
        return name
    folder = path.partition("/")[0]
    if path.endswith(TABLE_NAME) and (folder == "policies" or folder not in KIND_FOLDERS):
        return "policy_test"
    return KIND_FOLDERS.get(folder, "skill")


def _folder(path: str) -> str:
    """What stands in for a slug: the folder's name, for a flow the file's."""
    if path.startswith(("flows/", "policies/")) or "/" not in path:
        return basename(path).partition(".")[0]
    return basename(dirname(path))
