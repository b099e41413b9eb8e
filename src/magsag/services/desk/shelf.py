"""What people ask of a catalog: is it sound, what is in it, who uses whom. How it is read: `magsag.catalog`."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, assert_never

from magsag.catalog import graph_view, schemas
from magsag.catalog.bundle import Bundle, Entry
from magsag.catalog.findings import Finding
from magsag.catalog.load import Loaded
from magsag.catalog.reach import reached
from magsag.catalog.source import read_folder
from magsag.domain.errors import Invalid, Refused
from magsag.domain.frozen import frozen
from magsag.domain.graph import Graph
from magsag.domain.manifests import KINDS, Agent, Flow, Skill

Form = Literal["text", "mermaid", "json"]
_FOLDERS: Final = ("agents", "skills", "flows", "evals", "policies", "contracts")


@frozen
class Item:
    """One line of a listing."""

    ref: str
    about: str
    path: str


class Shelf:
    """The catalog in force, and others by their folder."""

    def __init__(self, loaded: Callable[[], Loaded], load: Callable[[Path, str], Loaded], folder: Path) -> None:
        """`load` reads a folder; its second argument is how findings name it."""
        self._loaded = loaded
        self._load = load
        self._folder = folder

    def check(self, path: str | None = None) -> list[Finding]:
        """All findings of a catalog or project folder; of a file, those in it. Raises Invalid when there is none."""
        if path is None:
            return self._load(self._folder, _typed(self._folder)).findings
        given = Path(path)
        if given.is_file():
            root = _around(given)
            findings = self._load(root, _typed(root)).findings
            return [finding for finding in findings if root / finding.path == given.absolute()]
        if not given.is_dir():
            raise Invalid(f"{path}: there is no such file or folder")
        root = given / "catalog" if (given / "catalog").is_dir() and not _is_catalog(given) else given
        return self._load(root, str(root)).findings

    def in_the_way(self, ref: str) -> list[Finding]:
        """The errors in what a run of `ref` can reach: it is not started."""
        return placed(self._loaded().concerning(ref))

    def in_the_way_of_proofs(self) -> list[Finding]:
        """The errors in what stands in for acts: nothing is proved."""
        return placed(self._loaded().stand_ins.faults())

    def convert(self, name: str, data: bytes) -> tuple[str, list[str]]:
        """A permission file of an earlier system as a policy, and what is not in it. Raises Invalid."""
        from magsag.catalog.convert import convert_permissions
        from magsag.catalog.reading import read

        document = read(name, data)
        if document.faults:
            fault = document.faults[0]
            raise Invalid(f"{name}:{fault.line}:{fault.column}: {fault.what}; {fault.next}")
        try:
            made = convert_permissions(document.value, prefix=_prefix(name))
        except Invalid as error:
            raise Invalid(f"{name}: {error}") from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Invalid(f"{name}: it is not formed as permission files are: {error}") from error
        return made.text, made.notes

    def lint_security(self) -> list[Finding]:
        """What of the catalog in force a careful person would ask about."""
        from magsag.catalog.security.lint import lint_security

        return lint_security(read_folder(self._folder).files, self._loaded().bundle, _typed(self._folder))

    def elsewhere(self, ref: str) -> int:
        """How many errors the rest of the catalog has, as far as it was looked at."""
        loaded = self._loaded()
        return sum(finding.severity == "error" for finding in loaded.findings) - len(loaded.concerning(ref))

    def policies_broken(self) -> str | None:
        """Why the policies cannot be used, so that everything is denied; None when they can."""
        return self._loaded().policies.broken

    def entry(self, ref: str) -> Entry[Any]:
        """The manifest that is meant. Raises Invalid, with the nearest name."""
        return self._loaded().bundle.find(ref)

    def flow(self, name: str) -> Entry[Flow]:
        """The flow that is meant by slug or reference. Raises Invalid, with the nearest name."""
        return self._loaded().bundle.find(name, "flow")

    def graph(self, entry: Entry[Flow]) -> Graph:
        """The compiled flow. Raises Invalid when it does not compile."""
        return self._loaded().bundle.graph(entry)

    def steps(self, entry: Entry[Flow]) -> dict[str, frozenset[str]]:
        """The steps of a flow, in an order in which they could run, each with those that it waits for."""
        nodes = self.graph(entry).nodes
        waiting = {id: node.after | node.fallback_of for id, node in nodes.items()}
        order: dict[str, frozenset[str]] = {}
        while len(order) < len(waiting):
            ready = next((id for id, after in waiting.items() if id not in order and after <= order.keys()), None)
            if ready is None:
                raise Invalid(f"the steps of {entry.ref} wait for one another: `magsag catalog validate` says where")
            order[ready] = waiting[ready]
        return order

    def items(self) -> list[Item]:
        """Agents, skills, flows, evaluations, then contracts."""
        bundle = self._loaded().bundle
        entries = [Item(entry.ref, _about(entry), entry.path) for entry in bundle.entries()]
        return entries + [Item(f"contract:{name}", _title(bundle, name), "contracts") for name in bundle.contracts]

    def shown(self, ref: str) -> dict[str, Any]:
        """One manifest or contract: its reference, its file, and what the file says. Raises Invalid."""
        bundle = self._loaded().bundle
        if ref.startswith("contract:"):
            return {"ref": ref, "schema": bundle.contract(ref.removeprefix("contract:")).schema}
        entry = bundle.find(ref)
        manifest = entry.manifest.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return {"ref": entry.ref, "path": entry.path, "manifest": manifest, "text": bundle.files[entry.path].decode()}

    def picture(self, ref: str | None, form: Form) -> str:
        """Who uses whom: all, or what one reaches; of a flow its steps. Raises Invalid."""
        bundle = self._loaded().bundle
        entry = bundle.find(ref) if ref is not None else None
        if entry is not None and isinstance(entry.manifest, Flow):
            drawing = graph_view.of_flow(bundle, entry)
        else:
            drawing = graph_view.of_catalog(bundle)
        if entry is not None and not drawing.is_flow:
            drawing = _within(drawing, reached(bundle, entry.ref))
        match form:
            case "text":
                return graph_view.as_text(drawing)
            case "mermaid":
                return graph_view.as_mermaid(drawing)
            case "json":
                return graph_view.as_json(drawing)
            case _:
                assert_never(form)

    def hashes(self) -> dict[str, str]:
        """The content hashes of the bundle and of the policies in force."""
        loaded = self._loaded()
        return {"bundle": loaded.bundle.hash, "policies": loaded.policies.hash}

    def kinds(self) -> list[str]:
        """The kinds of manifests."""
        return list(KINDS)

    def schema(self, kind: str) -> str:
        """The JSON Schema of a kind of manifest. Raises Invalid for an unknown kind."""
        text = schemas.render().get(f"{schemas.FOLDER}/{kind}.schema.json")
        if text is None:
            raise Invalid(f'there is no kind "{kind}"; the kinds are {", ".join(KINDS)}')
        return text

    def write_schemas(self, folder: str | None) -> list[Path]:
        """Write the schemas of all kinds into a folder, the catalog's own by default; what was written."""
        if folder is None and self._folder.name == "_catalog":
            raise Refused("the catalog that comes with MAGSAG is not written to; say where: --write DIR")
        target = Path(folder) if folder else self._folder / schemas.FOLDER
        written: list[Path] = []
        try:
            target.mkdir(parents=True, exist_ok=True)
            for name, text in schemas.render().items():
                path = target / name.removeprefix(f"{schemas.FOLDER}/")
                path.write_text(text, encoding="utf-8")
                written.append(path)
        except OSError as error:
            raise Invalid(f"{error.filename}: cannot be written: {error.strerror}") from error
        return written


def _is_catalog(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in _FOLDERS)


def _around(file: Path) -> Path:
    """The catalog that a file belongs to."""
    for folder in file.absolute().parents:
        if folder.name in _FOLDERS:
            return folder.parent
    return file.absolute().parent


def _prefix(name: str) -> str:
    """What tells the rules of one permission file from those of another: `mcp_permissions.yaml` gives `mcp`."""
    stem = Path(name).stem.removesuffix("_permissions").removesuffix("permissions")
    return "" if stem == "tool" else stem


def placed(findings: list[Finding]) -> list[Finding]:
    """As a person here would name their places."""
    here = os.getcwd().replace(os.sep, "/") + "/"
    return [replace(one, place=one.place.removeprefix(here)) for one in findings]


def _typed(folder: Path) -> str:
    """A folder as a person here would name it."""
    here, text = os.getcwd(), str(folder.absolute())
    return os.path.relpath(text, here) if text == here or text.startswith(here + os.sep) else text


def _about(entry: Entry[Any]) -> str:
    manifest = entry.manifest
    said = str(getattr(manifest, "description", "") or "")
    if isinstance(manifest, Agent):
        said = f"{manifest.role}: {said}"
    elif isinstance(manifest, Skill):
        said = f"{manifest.effect}: {said}"
    return f"deprecated: {manifest.deprecated}  {said}" if getattr(manifest, "deprecated", None) else said


def _title(bundle: Bundle, name: str) -> str:
    schema = bundle.schema_text(name)
    return str(schema.get("title", "")) if isinstance(schema, dict) else ""


def _within(drawing: graph_view.Drawing, names: set[str]) -> graph_view.Drawing:
    nodes = {name: text for name, text in drawing.nodes.items() if name in names}
    return graph_view.Drawing(nodes, [edge for edge in drawing.edges if {edge.source, edge.target} <= nodes.keys()])
