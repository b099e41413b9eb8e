"""What a file of anchors claims: its lines, read and verified. How they come there: `adapters.store.anchors`.

A line that is no record of ours is a fault even when its hash is right: whoever wrote it could compute hashes too. A
copy of the file that was kept elsewhere must be its beginning; where the two part, the copy is believed.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json

from magsag.adapters.store.failures import no_access, require_file
from magsag.domain.ids import RunId
from magsag.domain.sealed import Fault

_HASH_BYTES: Final = len(b',"hash":""}') + 64


@dataclass(slots=True)
class Claims:
    """What the anchors say the ledger must hold."""

    exists: bool
    runs: dict[RunId, list[tuple[int, str]]] = field(default_factory=dict)
    """seq and head of each run, in the order in which they were anchored"""
    vacuumed: set[RunId] = field(default_factory=set)
    """runs that the ledger may have let go"""
    excused: set[RunId] = field(default_factory=set)
    """runs that are not there, of which a row of the ledger says alone that another machine let them go"""
    reused: set[RunId] = field(default_factory=set)
    """runs that are there, of which a row of the ledger says that another machine vacuumed one of this name"""
    imported: dict[RunId, int] = field(default_factory=dict)
    """runs that came from another ledger, and with how many facts"""
    accepted: list[tuple[str, int]] = field(default_factory=list)
    """who accepted that the ledger holds less, and of how many runs"""
    faults: list[Fault] = field(default_factory=list)
    """what is wrong with the file itself"""
    lines: int = 0
    head: str = ""
    """the hash of the last line"""
    at: int = 0
    """when the last line was written, in microseconds since 1970"""
    copied: int | None = None
    """lines of a copy that was kept elsewhere"""
    ends: bool = True
    """whether every end must have a line: not so in a copy, which may be older than the ledger"""


def lines_at(path: Path) -> bytes | None:
    """The whole lines of a file; None when it is not there. Raises StoreBroken."""
    require_file(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise no_access(path, error) from error
    return data[: data.rfind(b"\n") + 1]


def claims_of(data: bytes, path: Path) -> Claims:
    """Read and verify the lines of one file."""
    claims = Claims(exists=True)
    n, prev = 0, ""
    for number, line in enumerate(data.splitlines(), 1):
        claims.lines, claims.head = number, claimed_hash(line)
        content = content_of(line)
        if content is None:
            claims.faults.append(Fault(f"{path}:{number}", "this line was changed: its hash does not match"))
            n, prev = n + 1, claimed_hash(line)
            continue
        if content["n"] != n + 1 or content["prev"] != prev:
            said = "lines before this one are missing, or were added or moved"
            claims.faults.append(Fault(f"{path}:{number}", said))
        n, prev = content["n"], claimed_hash(line)
        _take(claims, content)
    return claims


def held_against(copy: bytes, copy_path: Path, own: bytes | None, path: Path) -> Claims:
    """What is claimed when a copy of the anchors was kept elsewhere."""
    is_whole = own is not None and own.startswith(copy)
    claims = claims_of(own, path) if own is not None and is_whole else claims_of(copy, copy_path)
    claims.copied = copy.count(b"\n")
    if is_whole:
        return claims
    claims.ends = False
    if own is None:
        claims.faults.append(Fault(str(path), "the anchors are missing; the copy of them is believed"))
        return claims
    theirs, mine = copy.splitlines(), own.splitlines()
    number = next((at for at, (one, other) in enumerate(zip(theirs, mine, strict=False), 1) if one != other), None)
    what = "its lines end before those of the copy: they were cut" if number is None else "it is not as in the copy"
    where = len(mine) if number is None else number
    claims.faults.append(Fault(f"{path}:{where}", f"{what}; the copy is believed, as far as it reaches"))
    return claims


def content_of(line: bytes) -> dict[str, Any] | None:
    """The line's record when its hash and its form are right."""
    record = line[:-_HASH_BYTES] + b"}"
    digest = sha256(record).hexdigest()
    if line[-_HASH_BYTES:] != b',"hash":"%s"}' % digest.encode():
        return None
    try:
        content = from_json(record)
    except ValueError:
        return None
    return content if isinstance(content, dict) and _is_record(content) else None


def _take(claims: Claims, content: dict[str, Any]) -> None:
    claims.at = content.get("at", 0)
    for run, seq, head in content.get("runs", ()):
        if run in claims.vacuumed:
            claims.vacuumed.discard(run)
            claims.runs[run] = []
        claims.runs.setdefault(run, []).append((seq, head))
    claims.imported.update(content.get("imported", ()))
    for run in content.get("vacuumed", ()):
        claims.vacuumed.add(run)
        claims.imported.pop(run, None)
    accepted = content.get("accepted", ())
    for run, upto in accepted:
        claims.runs[run] = [rest for rest in claims.runs.get(run, ()) if rest[0] <= upto]
    if accepted:
        claims.accepted.append((str(content.get("by", "")), len(accepted)))


def _is_record(content: dict[str, Any]) -> bool:
    """Whether it has the form that `append` gives it; whoever wrote another one could compute hashes too."""
    names = ("runs", "vacuumed", "accepted", "imported")
    runs, vacuumed, accepted, imported = (content.get(name, []) for name in names)
    return (
        isinstance(content.get("n"), int)
        and isinstance(content.get("prev"), str)
        and isinstance(content.get("at", 0), int)
        and isinstance(runs, list)
        and all(isinstance(rest, list) and [type(part) for part in rest] == [str, int, str] for rest in runs)
        and all(rest[1] > 0 for rest in runs)
        and isinstance(vacuumed, list)
        and all(isinstance(run, str) for run in vacuumed)
        and all(
            isinstance(listed, list)
            and all(isinstance(one, list) and [type(part) for part in one] == [str, int] for one in listed)
            for listed in (accepted, imported)
        )
    )


def claimed_hash(line: bytes) -> str:
    """What the line says its hash is."""
    return line[-66:-2].decode("ascii", "replace")
