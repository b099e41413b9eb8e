"""Archives: ended runs in files that people and other programs can read, and from which a run can be imported again.

    DEST/manifest.json           what is in it: counts, and the sha256 of every file
    DEST/runs-2026-11-21.ndjson  a run tree a line, by the day on which it was last touched: as `run export` writes it,
                                 but for the bundle, of which only the hash stands there
    DEST/bundles.ndjson          {"hash", "body"}: each bundle once

A folder has its name only once it is whole, and an existing one is left alone.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json, to_json

from magsag.domain.errors import Invalid
from magsag.domain.facts import ENDS
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.ports.clock import Clock
from magsag.ports.ledger import RunQuery, RunRow, Store
from magsag.services.keeping.folders import new_folder
from magsag.services.keeping.parcels import Parcels
from magsag.services.recording.parcel import Parcel, bundle_of, document_of

FORM: Final = 1
MANIFEST: Final = "manifest.json"
_BUNDLES: Final = "bundles.ndjson"
_DAY: Final = 86_400_000_000
_TELL_AFTER: Final = 500
"""so many run trees are a word"""


@frozen
class FileOf:
    """One file of an archive."""

    name: str
    lines: int
    facts: int
    bytes: int
    sha256: str


@frozen
class Archived:
    """A whole archive."""

    folder: str
    trees: int
    runs: int
    """child runs too"""
    facts: int
    since: int
    """microseconds since 1970: what was touched earlier is not in it"""
    files: tuple[FileOf, ...]


class Archives:
    """Writes archives of one ledger."""

    def __init__(self, store: Callable[[], Store], parcels: Callable[[], Parcels], clock: Clock) -> None:
        self._store = store
        self._parcels = parcels
        self._clock = clock

    def write(self, destination: str, since_days: int, heard: Callable[[str], None]) -> Archived:
        """Archive what ended in the last days, counted from midnight UTC; nothing leaves the ledger.

        Raises Invalid for a destination that exists, Refused when a field marked `x-redact` holds a value.
        """
        folder = Path(destination).absolute()
        if "://" in destination:
            raise Invalid(f"{destination}: an archive is written to a folder on this machine")
        self._store()
        now = self._clock.now()
        since = max(0, now - now % _DAY - since_days * _DAY)
        with new_folder(destination, "archive") as part:
            archived = self._written(_Writing(part), str(folder), since, heard)
            (part / MANIFEST).write_bytes(_manifest(archived, now))
        return archived

    def _written(self, writing: "_Writing", folder: str, since: int, heard: Callable[[str], None]) -> Archived:
        parcels, trees, runs = self._parcels(), 0, 0
        for row in self._ended(since):
            parcel = parcels.parcel(row.run)
            writing.add(_day(row.updated), parcel)
            trees, runs = trees + 1, runs + len(parcel.runs)
            if trees % _TELL_AFTER == 0:
                heard(f"archived {trees:,} run trees")
        files = writing.files()
        return Archived(folder, trees, runs, sum(file.facts for file in files), since, files)

    def _ended(self, since: int) -> Iterator[RunRow]:
        """The oldest first."""
        rows = self._store().rows(RunQuery(limit=None))
        yield from (row for row in reversed(rows) if row.status in ENDS and row.updated >= since)


def line_of(folder: Path, run: RunId) -> bytes:
    """One run of an archive as `run export` would write it. Raises Invalid when it is not there, or was changed."""
    try:
        files = {
            str(file["name"]): str(file["sha256"]) for file in from_json((folder / MANIFEST).read_bytes())["files"]
        }
        for name in files.keys() - {_BUNDLES}:
            for line in _lines(folder / name, files[name]):
                document = from_json(line)
                if document["root"] == run:
                    return to_json({**document, "bundle": _bundle(folder, files, document["bundle"]["hash"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Invalid(f"{folder} is no archive: {error}; `magsag data archive` makes such folders") from error
    raise Invalid(f"run {run} is not in {folder}: its files have a run tree a line")


def _bundle(folder: Path, files: dict[str, str], hash: str) -> dict[str, Any]:
    for line in _lines(folder / _BUNDLES, files[_BUNDLES]):
        held: dict[str, Any] = from_json(line)
        if held["hash"] == hash:
            return held
    raise KeyError(f"bundle {hash[:12]}")


def _lines(path: Path, hash: str) -> list[bytes]:
    """Raises Invalid for a file that is not as the manifest says."""
    data = path.read_bytes()
    if sha256(data).hexdigest() != hash:
        raise Invalid(f"{path}: it does not match the manifest: it was changed")
    return data.splitlines()


class _Writing:
    """The files of an archive that is being written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, _File] = {}
        self._bundles: set[str] = set()

    def add(self, day: str, parcel: Parcel) -> None:
        if parcel.bundle_hash not in self._bundles:
            self._bundles.add(parcel.bundle_hash)
            self._file(_BUNDLES).add(bundle_of(parcel), 0)
        document = {**document_of(parcel), "bundle": {"hash": parcel.bundle_hash}}
        self._file(f"runs-{day}.ndjson").add(document, sum(map(len, parcel.runs.values())))

    def files(self) -> tuple[FileOf, ...]:
        return tuple(self._files[name].told() for name in sorted(self._files))

    def _file(self, name: str) -> "_File":
        if name not in self._files:
            self._files[name] = _File(self._folder / name)
        return self._files[name]


class _File:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._hash = sha256()
        self._lines = self._facts = self._bytes = 0

    def add(self, document: dict[str, Any], facts: int) -> None:
        line = to_json(document) + b"\n"
        with self._path.open("ab") as file:
            file.write(line)
        self._hash.update(line)
        self._lines, self._facts, self._bytes = self._lines + 1, self._facts + facts, self._bytes + len(line)

    def told(self) -> FileOf:
        return FileOf(self._path.name, self._lines, self._facts, self._bytes, self._hash.hexdigest())


def _manifest(archived: Archived, now: int) -> bytes:
    counts = {"trees": archived.trees, "runs": archived.runs, "facts": archived.facts}
    about = {"form": FORM, "created": _time(now), "since": _time(archived.since), **counts}
    return to_json({**about, "files": [asdict(file) for file in archived.files]}, indent=1) + b"\n"


def _day(at: int) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%d")


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).isoformat()
