"""The file in which a run travels: its tree of facts, its large values, its bundle, as one JSON document.

    {"form": 1, "root": "...", "bundle": {"hash", "body"}, "runs": [{"run", "facts": [...]}], "blobs": {"id": "json"}}

Bodies and payloads stand in it as texts, byte for byte as the ledger has them, so that everything that was
committed to can be verified. Decides whether a file is what it claims; where it goes: `services.keeping.parcels`.
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic_core import from_json, to_json

from magsag.domain.errors import Broken, Invalid
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.domain.large import MARK, MARK_BYTES
from magsag.domain.sealed import Fault, Stored
from magsag.domain.values import decode
from magsag.engine.chain import is_blob, unseal, verify
from magsag.engine.evolve import evolve
from magsag.engine.run import Run

FORM: Final = 1


@frozen
class Parcel:
    """A run tree on its way."""

    root: RunId
    bundle_hash: str
    bundle: bytes
    runs: Mapping[RunId, list[Stored]]
    blobs: Mapping[str, bytes]


def pack(parcel: Parcel) -> str:
    """The file's text."""
    return to_json(document_of(parcel), indent=1).decode()


def document_of(parcel: Parcel) -> dict[str, Any]:
    """What stands in the file."""
    return {
        "form": FORM,
        "root": parcel.root,
        "bundle": bundle_of(parcel),
        "runs": [{"run": run, "facts": [_fact(one) for one in found]} for run, found in parcel.runs.items()],
        "blobs": {id: data.decode() for id, data in parcel.blobs.items()},
    }


def bundle_of(parcel: Parcel) -> dict[str, Any]:
    """The part of it that many runs share."""
    return {"hash": parcel.bundle_hash, "body": base64.b64encode(parcel.bundle).decode()}


def unpack(data: bytes, name: str) -> Parcel:
    """Read a file. Raises Invalid when it is no parcel; whether it is whole: `faults`."""
    try:
        held: Any = from_json(data)
        form = held["form"]
        if form != FORM:
            raise Invalid(f"{name} has form {form!r}, which a newer magsag reads; install that version")
        runs = {RunId(one["run"]): [_stored(fact) for fact in one["facts"]] for one in held["runs"]}
        blobs = {id: text.encode() for id, text in held["blobs"].items()}
        bundle = base64.b64decode(held["bundle"]["body"], validate=True)
        return Parcel(RunId(held["root"]), held["bundle"]["hash"], bundle, runs, blobs)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else error
        raise Invalid(f"{name} is no exported run: {why}; `magsag run export` makes such files") from error


def faults(parcel: Parcel) -> list[Fault]:
    """What does not fit together: digests, commitments, chains, facts that cannot follow, large values."""
    found = [fault for run, recorded in parcel.runs.items() for fault in verify(run, recorded)]
    if found:
        return found
    for run, recorded in parcel.runs.items():
        found += _misplaced(parcel, run, recorded)
    for id, data in parcel.blobs.items():
        if not is_blob(id, data):
            found.append(Fault(f"large value {id[:12]}", "it does not match its name: it was changed"))
    missing = marks(data for recorded in parcel.runs.values() for data in payloads(recorded)) - parcel.blobs.keys()
    missing |= marks(parcel.blobs.values()) - parcel.blobs.keys()
    return found + [Fault(f"large value {id[:12]}", "it is not in the file") for id in sorted(missing)]


def folded(run: RunId, recorded: list[Stored]) -> Run:
    """The run that these facts make. Raises Broken for facts that cannot follow one another."""
    made = Run(run)
    for stored in recorded:
        evolve(made, unseal(stored))
    return made


def payloads(recorded: list[Stored]) -> Iterator[bytes]:
    """All inputs and outputs of facts."""
    for stored in recorded:
        yield from (data for data in (stored.input, stored.output) if data is not None)


def marks(found: Any) -> set[str]:
    """The large values that these bytes name."""
    return {id for data in found if MARK_BYTES in data for id in _marks(decode(data))}


def _marks(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if len(value) == 1 and MARK in value:
            yield value[MARK]
            return
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _marks(part)


def _misplaced(parcel: Parcel, run: RunId, recorded: list[Stored]) -> Iterator[Fault]:
    """A run that is none, or that hangs somewhere else."""
    try:
        started = folded(run, recorded).started
    except (Broken, LookupError, TypeError, ValueError) as error:
        yield Fault(f"run {run}", f"its facts cannot follow one another: {error}", run)
        return
    if started is None:
        yield Fault(f"run {run}", "it has no start", run)
    elif started.bundle != parcel.bundle_hash:
        yield Fault(f"run {run}", f"it is pinned to bundle {started.bundle[:12]}, which is not in the file", run)
    elif run == parcel.root:
        if started.parent is not None:
            yield Fault(f"run {run}", "it is a child run, and the file says that it is the root", run)
    elif started.parent not in parcel.runs or run != f"{started.parent}.{run.removeprefix(f'{started.parent}.')}":
        yield Fault(f"run {run}", "the run that started it is not in the file", run)


def _fact(stored: Stored) -> dict[str, Any]:
    return {
        "seq": stored.seq,
        "kind": stored.kind,
        "body": stored.body.decode(),
        "digest": stored.digest.hex(),
        "salt": stored.salt.hex() if stored.salt is not None else None,
        "input": stored.input.decode() if stored.input is not None else None,
        "output": stored.output.decode() if stored.output is not None else None,
        "head": stored.head.hex(),
    }


def _stored(fact: dict[str, Any]) -> Stored:
    salt, input, output = fact["salt"], fact["input"], fact["output"]
    return Stored(
        fact["kind"],
        fact["body"].encode(),
        bytes.fromhex(fact["digest"]),
        bytes.fromhex(salt) if salt is not None else None,
        input.encode() if input is not None else None,
        output.encode() if output is not None else None,
        int(fact["seq"]),
        bytes.fromhex(fact["head"]),
    )
