"""The record in files for an auditor elsewhere, with the verifier that needs nothing of MAGSAG.

    DEST/ledger.ndjson   a row a line: what it is (`sort`) and its values, as the ledger has them now
    DEST/anchors.log     the file of anchors, byte for byte
    DEST/verify.py       `python verify.py DEST`
    DEST/README.md       what this is

Nobody but its owner may read it: it holds what the runs held.
Rows are written as they stand, whatever somebody made of them: it is the verifier who judges. A tree in which a field
that a contract marks `x-redact` holds a value, or a secret shows, or of which nobody can tell, goes without its
payloads; whether these match what the facts commit to is then said by the export.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Protocol

from pydantic_core import to_json

from magsag.domain.errors import Broken, Invalid, Refused
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.domain.sealed import Stored
from magsag.engine.chain import verify
from magsag.ports.auditing import Evidence
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store
from magsag.services.insight.documents import iso
from magsag.services.keeping import verify_export
from magsag.services.keeping.exported_records import record_line, salts_of
from magsag.services.keeping.folders import new_folder
from magsag.services.recording.known import unknown_run
from magsag.services.recording.parcel import Parcel

Row = dict[str, Any]
FORM: Final = 1
LEDGER, ANCHORS, VERIFIER, README = "ledger.ndjson", "anchors.log", "verify.py", "README.md"
_BROKEN: Final = (Broken, Invalid, ValueError, TypeError, LookupError, AttributeError)
"""what judging rows can raise that somebody changed"""
_CANNOT_TELL: Final = (Refused, *_BROKEN)
_HEX: Final = frozenset({"digest", "salt", "head"})
_README: Final = """\
# An export of a MAGSAG ledger

Made {made}: {runs} runs, {facts} facts{part}. `python verify.py .` in this folder says whether they are as they were
written; it needs Python 3.9 or later and nothing else. `python verify.py . --anchors COPY` holds them against a copy of
the anchors that was kept elsewhere; who asked for a part of a ledger adds `--part`.
"""


class Closing(Protocol):
    """Knows open secrets (`services.keeping.parcels`)."""

    def require_closed(self, parcel: Parcel) -> None:
        """Raises Refused for an open secret in it, Broken or Invalid where nobody can tell."""

    def require_no_secret(self, parcel: Parcel) -> None:
        """Raises Refused when it holds a secret that its runs used."""


@frozen
class Exported:
    """A whole export."""

    folder: str
    runs: int
    facts: int
    withheld: tuple[RunId, ...]
    """run trees without their payloads"""


@dataclass(slots=True)
class _Tree:
    """The rows of one run tree."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)


class AuditExports:
    """Writes exports of one ledger."""

    def __init__(self, store: Callable[[], Store], parcels: Callable[[], Closing], clock: Clock) -> None:
        self._store = store
        self._parcels = parcels
        self._clock = clock

    def write(self, destination: str, run: str | None = None, last_seconds: float | None = None) -> Exported:
        """Export all, or one run's tree, or the trees touched lately. Raises Invalid for a place or run that is none.

        Raises Refused where a secret shows in what cannot be withheld: the body of a fact.
        """
        folder = Path(destination).absolute()
        since = None if last_seconds is None else self._clock.now() - int(last_seconds * 1_000_000)
        with new_folder(destination, "export") as part:
            exported = self._written(part, str(folder), lambda rows: _roots(rows, run, since))
            shutil.copyfile(str(verify_export.__file__), part / VERIFIER)
        return exported

    def _written(self, part: Path, folder: str, chosen: Callable[[Sequence[Row]], set[RunId] | None]) -> Exported:
        """The rows, one tree in memory at a time."""
        made, is_whole = iso(self._clock.now()), True
        withheld: set[RunId] = set()
        bundles: dict[str, bytes] = {}
        counts: Counter[str] = Counter()

        def choose(rows: Sequence[Row]) -> set[RunId] | None:
            nonlocal is_whole
            roots = chosen(rows)
            is_whole = roots is None
            return roots

        with (part / LEDGER).open("wb") as ledger, closing(self._store().evidence(choose)) as evidence:
            for _, rows in groupby(evidence, key=lambda one: one.root):
                tree = list(rows)
                counts.update(one.sort for one in tree)
                bundles |= {one.values["hash"]: one.values["body"] for one in tree if one.sort == "bundle"}
                hidden = self._withheld(tree, bundles)
                withheld |= hidden
                ledger.writelines(to_json(line) + b"\n" for line in lines_of(tree, hidden))
                for lines in (one.values["lines"] for one in tree if one.sort == "anchors"):
                    (part / ANCHORS).write_bytes(lines)
            about = {"made": made, "runs": counts["run"], "facts": counts["fact"]}
            ledger.write(to_json({"sort": "about", "form": FORM, "whole": is_whole, **about}) + b"\n")
        said = "" if is_whole else ", a part of the ledger"
        (part / README).write_text(_README.format(**about, part=said), encoding="utf-8")
        return Exported(folder, counts["run"], counts["fact"], tuple(sorted(withheld)))

    def _withheld(self, found: list[Evidence], bundles: Mapping[str, bytes]) -> set[RunId]:
        """Roots of trees whose payloads stay here. Raises Refused where that would not help."""
        withheld: set[RunId] = set()
        parcels = self._parcels()
        for root, tree in _trees(found).items():
            hash = next((str(row["bundle"]) for row in tree.runs if row["run"] == root), "")
            parcel = _parcel(root, hash, bundles.get(hash, b""), tree)
            try:
                parcels.require_closed(parcel)
            except _CANNOT_TELL:
                withheld.add(root)
                with suppress(*_BROKEN):
                    parcels.require_no_secret(_without_payloads(parcel))
        return withheld


def lines_of(found: Iterable[Evidence], withheld: Iterable[RunId] = ()) -> Iterator[dict[str, Any]]:
    """The rows as an export tells them."""
    found, hidden = list(found), set(withheld)
    trees = {one.values["run"]: one.values["root"] for one in found if one.sort == "run"}
    wrong = _unmatched(found, {run for run, root in trees.items() if root in hidden})
    salts = dict(salts_of(found))
    for one in found:
        values = {name: _told(name, value) for name, value in one.values.items()}
        if one.sort == "record":
            values = record_line(one.values, trees.get(one.values["run"]) in hidden, salts)
        elif one.sort == "fact" and trees.get(one.values["run"], one.values["run"]) in hidden:
            gone = {"salt": None, "input": None, "output": None, "withheld": True}
            values |= {**gone, "matches": (one.values["run"], one.values["seq"]) not in wrong}
        elif one.sort == "ticket" and trees.get(one.values["run"]) in hidden:
            values |= {"salt": None, "withheld": True}
        elif one.sort == "blob" and one.values["root"] in hidden:
            values |= {"body": None, "withheld": True}
        if one.sort != "anchors":
            yield {"sort": one.sort, **values}


def _unmatched(found: Iterable[Evidence], runs: set[RunId]) -> set[tuple[RunId, int | None]]:
    """Facts of these runs of which the payloads are not what the facts say."""
    facts: dict[RunId, list[Stored]] = {}
    for one in found:
        if one.sort == "fact" and one.values["run"] in runs:
            facts.setdefault(one.values["run"], []).append(_stored(one.values))
    return {(run, fault.seq) for run, rows in facts.items() for fault in verify(run, rows)}


def _trees(found: Iterable[Evidence]) -> dict[RunId, _Tree]:
    trees: dict[RunId, _Tree] = {}
    roots: dict[RunId, RunId] = {}
    for one in found:
        values = one.values
        if one.sort == "run":
            roots[values["run"]] = values["root"]
            trees.setdefault(values["root"], _Tree()).runs.append(values)
        elif one.sort == "fact":
            tree = trees.setdefault(roots.get(values["run"], values["run"]), _Tree())
            tree.facts.setdefault(values["run"], []).append(values)
        elif one.sort == "blob":
            trees.setdefault(values["root"], _Tree()).blobs[values["id"]] = values["body"]
    return trees


def _parcel(root: RunId, hash: str, bundle: bytes, tree: _Tree) -> Parcel:
    runs = {RunId(run): [_stored(fact) for fact in facts] for run, facts in tree.facts.items()}
    return Parcel(root, hash, bytes(bundle), runs, tree.blobs)


def _without_payloads(parcel: Parcel) -> Parcel:
    runs = {
        run: [replace(fact, salt=None, input=None, output=None) for fact in facts] for run, facts in parcel.runs.items()
    }
    return Parcel(parcel.root, parcel.bundle_hash, parcel.bundle, runs, {})


def _stored(values: dict[str, Any]) -> Stored:
    return Stored(*(values[name] for name in ("kind", "body", "digest", "salt", "input", "output", "seq", "head")))


def _roots(rows: Sequence[Row], run: str | None, since: int | None) -> set[RunId] | None:
    """The trees that are meant; None for all of it."""
    if run is not None:
        roots: set[RunId] = {row["root"] for row in rows if row["run"] == run}
        if not roots:
            raise unknown_run(run)
        return roots
    return None if since is None else {row["root"] for row in rows if row["updated"] >= since}


def _told(name: str, value: Any) -> Any:
    """Bytes as hex where they are hashes, as text where they are one, else as base64."""
    if name in _HEX and value is not None:
        return (value if isinstance(value, bytes) else str(value).encode()).hex()
    if not isinstance(value, bytes):
        return value
    import base64

    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
