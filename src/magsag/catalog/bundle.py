"""A bundle: a catalog frozen by the hash of its content. A run is pinned to the one that it started with.

Holds manifests, contracts, prompts and Python. Policies, people and stand-ins are no part of it: those in force count.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar

from magsag.catalog.code import FrozenCode, Modules, callable_of, split_entrypoint
from magsag.catalog.contracts import Contract
from magsag.catalog.document import Document, Pointer
from magsag.catalog.findings import Notes
from magsag.catalog.frozen import content_hash, freeze, thaw
from magsag.catalog.packages import RECORD, packages_of, read_record, record_of
from magsag.catalog.references import CATALOG_KINDS, BadReference, Reference, did_you_mean
from magsag.catalog.subschemas import BadRef, Schema
from magsag.catalog.survey import OUTSIDE_THE_BUNDLE, Survey, survey
from magsag.catalog.versions import SemVer
from magsag.domain.condition import Conditions
from magsag.domain.errors import Invalid
from magsag.domain.manifests import Agent, Eval, Flow, Skill

if TYPE_CHECKING:
    from magsag.catalog.expressions import ExpressionFault
    from magsag.domain.graph import Graph

M = TypeVar("M", Agent, Skill, Flow, Eval)


@dataclass(frozen=True)
class Entry(Generic[M]):
    """One manifest of a bundle."""

    ref: str
    """exact: `skill:send-offer@0.3.0`"""
    manifest: M
    path: str
    """the manifest's file, relative to the catalog"""
    document: Document = field(repr=False, compare=False)

    @property
    def slug(self) -> str:
        return self.manifest.slug

    @property
    def version(self) -> str:
        return self.manifest.version

    def place(self, pointer: Pointer = ()) -> str:
        """`skills/send-offer/skill.yaml:5:9`: where the value stands, or the nearest thing around it."""
        line, column = self.document.place(pointer)
        return f"{self.path}:{line}:{column}"


Versions = Mapping[str, tuple[Entry[M], ...]]
"""by slug, newest version first"""


class Compiled(NamedTuple):
    """What became of a flow."""

    graph: "Graph | None"
    faults: "list[ExpressionFault]"


class Bundle:
    """What a run may use, found by reference."""

    def __init__(
        self, found: Survey, conditions: Conditions, root: str = "", recorded: Mapping[str, str] | None = None
    ) -> None:
        """`recorded` are the packages that the code of a frozen one was written for; None where it is today's."""
        self.root = root
        self.recorded = recorded
        self.files: Mapping[str, bytes] = _frozen(found)
        self.agents: Versions[Agent] = _entries(found, "agent")
        self.skills: Versions[Skill] = _entries(found, "skill")
        self.flows: Versions[Flow] = _entries(found, "flow")
        self.evals: Versions[Eval] = _entries(found, "eval")
        self.contracts: tuple[str, ...] = tuple(sorted(found.contracts))
        self._documents = {name: file.document for name, file in found.contracts.items()}
        self._conditions = conditions
        self._contracts: dict[str, Contract] = {}
        self._compiled: dict[str, Compiled] = {}
        self._functions: dict[tuple[str, str], Callable[..., Any]] = {}

    @cached_property
    def hash(self) -> str:
        """sha256 over paths and contents, as hex; the packages that its code imports count too."""
        return content_hash(self._kept)

    @cached_property
    def packages(self) -> Mapping[str, str]:
        """Distribution -> version of what its code imports, beside the standard library."""
        return packages_of(self.files) if self.recorded is None else self.recorded

    @cached_property
    def _kept(self) -> Mapping[str, bytes]:
        return {**self.files, RECORD: record_of(self.packages)} if self.packages else self.files

    def entries(self) -> Iterable[Entry[Any]]:
        """All manifests: agents, skills, flows, evaluations, by slug."""
        for kind in CATALOG_KINDS:
            for slug in sorted(self._of_kind(kind)):
                yield from self._of_kind(kind)[slug]

    def find(self, ref: str, kind: str | None = None) -> Entry[Any]:
        """The newest version that fits `slug`, `slug@^1`, `skill:slug@^1` or the long form. Raises Invalid."""
        text = f"{kind}:{ref}" if kind and ":" not in ref else ref
        reference = Reference.parse(text)
        if kind and reference.kind != kind:
            raise Invalid(f"{ref!r} names {_a(reference.kind)}, and {_a(kind)} is wanted here")
        if reference.kind not in CATALOG_KINDS:
            raise Invalid(f"{ref!r}: the catalog holds " + ", ".join(CATALOG_KINDS))
        known = self._of_kind(reference.kind)
        versions = known.get(reference.slug)
        if versions is None:
            guess = did_you_mean(reference.slug, list(known)) or "`magsag catalog list` shows what there is"
            raise Invalid(f'{reference.kind} "{reference.slug}" is not in the catalog; {guess}')
        return _best(reference, versions)

    def versions(self, reference: Reference) -> tuple[Entry[Any], ...] | None:
        """All versions under the reference's slug, newest first; None for a kind that no catalog holds."""
        return self._of_kind(reference.kind).get(reference.slug, ()) if reference.kind in CATALOG_KINDS else None

    def slugs(self, kind: str) -> list[str]:
        """The slugs of a kind."""
        return list(self._of_kind(kind)) if kind in CATALOG_KINDS else []

    def contract(self, name: str) -> Contract:
        """The contract of that name. Raises Invalid when it is unknown or refers to nothing."""
        if (known := self._contracts.get(name)) is not None:
            return known
        if name not in self._documents:
            guess = did_you_mean(name, list(self._documents)) or "the names are the paths under contracts/"
            raise Invalid(f'contract "{name}" is not in the catalog; {guess}')
        try:
            made = self._contracts[name] = Contract.load(name, self.schema_text)
        except BadRef as error:
            raise Invalid(f"contract {name}: {error.what}; {error.fix}") from error
        return made

    def schema_text(self, name: str) -> object:
        """A contract's schema as written; None when there is no such contract."""
        document = self._documents.get(name)
        return document.value if document else None

    def graph(self, entry: Entry[Flow]) -> "Graph":
        """The compiled flow. Raises Invalid when it does not compile."""
        graph, faults = self.compiled(entry)
        if graph is None:
            where = entry.place(faults[0].pointer) if faults else entry.path
            raise Invalid(f"{where}: {faults[0].message if faults else 'the flow does not compile'}")
        return graph

    def compiled(self, entry: Entry[Flow]) -> Compiled:
        """The graph, None where it has faults, and the faults of its expressions."""
        if entry.ref not in self._compiled:
            from magsag.catalog.expressions import compile_flow

            compiled = compile_flow(entry.manifest, self.schema, self._schemas_of, self._conditions)
            self._compiled[entry.ref] = Compiled(*compiled)
        return self._compiled[entry.ref]

    def _schemas_of(self, ref: str) -> tuple[Schema | None, Schema | None]:
        """What goes into and comes out of the thing that a step uses; None where nothing is known."""
        try:
            contracts = self.find(ref).manifest.contracts
        except (Invalid, AttributeError):
            return None, None
        names = contracts.input, contracts.output
        given, made = (self.schema(name) if name is not None else None for name in names)
        return given, made

    def schema(self, name: str) -> dict[str, Any] | None:
        """A contract's self-contained schema; None where it cannot be had."""
        try:
            contract = self.contract(name)
            contract.prove()
        except Invalid:
            return None
        return contract.schema

    def function(self, entry: Entry[Any], name: str | None = None) -> Callable[..., Any]:
        """The entrypoint's function; `name` gives it where the manifest does not (metrics). Raises Invalid."""
        entrypoint = getattr(entry.manifest, "entrypoint", None)
        if not entrypoint:
            raise Invalid(f"{entry.ref} has no entrypoint: its program is a flow")
        return self.loaded(entry, entrypoint, name)

    def code(self, entry: Entry[Any], entrypoint: str) -> FrozenCode:
        """A function of an entry, not loaded: for a process that shall load it in our place."""
        path, function = split_entrypoint(entry.path, entrypoint)
        return FrozenCode(self._python, self.root, self.hash, path, function)

    @cached_property
    def _python(self) -> Mapping[str, bytes]:
        return {path: data for path, data in self.files.items() if path.endswith(".py")}

    def loaded(self, entry: Entry[Any], entrypoint: str, name: str | None = None) -> Callable[..., Any]:
        """The function that an entrypoint of an entry names; `name` gives it where that does not. Raises Invalid."""
        path, function = split_entrypoint(entry.path, entrypoint)
        key = (path, name or function)
        if key not in self._functions:
            self._functions[key] = callable_of(self._modules.module(path), key[1], self._modules.shown(path))
        return self._functions[key]

    def to_bytes(self) -> bytes:
        """The frozen form that a store keeps."""
        return freeze(self._kept)

    @classmethod
    def from_bytes(cls, data: bytes, conditions: Conditions) -> Self:
        """Read a frozen bundle. Raises Broken when it is damaged or of a newer form."""
        files = thaw(data)
        record = files.pop(RECORD, None)
        recorded = read_record(record) if record is not None else {}
        return cls(survey(files, Notes("")), conditions, recorded=recorded)

    @cached_property
    def _modules(self) -> Modules:
        return Modules(self.files, self.root, self.hash)

    def _of_kind(self, kind: str) -> Versions[Any]:
        held: dict[str, Versions[Any]] = {
            "agent": self.agents,
            "skill": self.skills,
            "flow": self.flows,
            "eval": self.evals,
        }
        return held[kind]


def _frozen(found: Survey) -> dict[str, bytes]:
    """The files that the hash covers: all but policies, people and stand-ins."""
    outside = {candidate.path for kind in OUTSIDE_THE_BUNDLE for candidate in found.of_kind(kind)}
    return {
        path: content
        for path, content in sorted(found.files.items())
        if path not in outside and not path.startswith("policies/")
    }


def _entries(found: Survey, kind: str) -> dict[str, tuple[Entry[Any], ...]]:
    by_slug: dict[str, list[Entry[Any]]] = {}
    for candidate in found.of_kind(kind):
        manifest = candidate.shape.manifest
        if isinstance(manifest, Agent | Skill | Flow | Eval):
            entry: Entry[Any] = Entry(str(candidate.subject), manifest, candidate.path, candidate.document)
            by_slug.setdefault(manifest.slug, []).append(entry)
    return {
        slug: tuple(sorted(entries, key=lambda entry: SemVer.parse(entry.version), reverse=True))
        for slug, entries in sorted(by_slug.items())
    }


def _best(reference: Reference, versions: tuple[Entry[Any], ...]) -> Entry[Any]:
    if reference.role is not None:
        fitting = tuple(entry for entry in versions if entry.manifest.role == reference.role)
        if not fitting:
            raise Invalid(f'agent "{reference.slug}" has the role {versions[0].manifest.role}, not {reference.role}')
        versions = fitting
    by_version = {SemVer.parse(entry.version): entry for entry in versions}
    best = reference.range.best(list(by_version))
    if best is None:
        there = ", ".join(entry.version for entry in versions)
        wanted = f'{reference.kind} "{reference.slug}" has no version that fits {reference.range.source}'
        raise Invalid(f"{wanted}; there is {there}")
    return by_version[best]


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


__all__ = ["BadReference", "Bundle", "Entry"]
