"""Finished run trees, from a ledger or from the files of `run export`: the same trees, in the same order.

The order is that of their beginnings, so that what is added up over them is the same to the last digit.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

from magsag.catalog.bundle import Bundle
from magsag.domain.errors import Broken, Invalid
from magsag.domain.facts import ENDS, Fact, RunStatus
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.domain.large import lowered
from magsag.domain.sealed import Stored
from magsag.domain.values import decode
from magsag.engine.chain import unseal
from magsag.ports.ledger import RunQuery, Store
from magsag.services.insight.tree import Value
from magsag.services.recording.large import plain
from magsag.services.recording.parcel import Parcel, faults, folded, unpack
from magsag.services.steps.beginnings import started_of

_SHOWN: Final = 5


@frozen
class Tree:
    """A root run that has ended, with all runs of its tree."""

    root: RunId
    status: RunStatus
    facts: Mapping[RunId, Sequence[Fact]]
    value: Value
    """reads recorded bytes, large values in full"""


class Finished(Protocol):
    """Where finished runs come from."""

    def trees(self) -> Iterator[Tree]:
        """All of them, in the order of their beginnings."""

    def bundle(self, hash: str) -> Bundle:
        """The catalog that a run is pinned to. Raises Broken, Invalid."""


class FromLedger:
    """Those of a ledger."""

    def __init__(
        self, store: Store, find: Callable[[str], Bundle], program: str | None = None, since: int | None = None
    ) -> None:
        """Of one program, or begun since a time in microseconds; `find` gives bundles by their hash."""
        self._store = store
        self._find = find
        self._query = RunQuery(program=program, since=since, limit=None)

    def trees(self) -> Iterator[Tree]:
        rows = [row for row in self._store.rows(self._query) if row.status in ENDS]
        for row in sorted(rows, key=lambda row: (row.created, row.run)):
            below = self._store.rows(RunQuery(root=row.run, limit=None))
            recorded = {one.run: self._store.read(one.run) for one in below}
            yield Tree(row.run, row.status, _facts(recorded), partial(plain, self._store, row.run))

    def bundle(self, hash: str) -> Bundle:
        return self._find(hash)


class FromExports:
    """Those in exported files, each verified as an import would."""

    def __init__(self, files: Sequence[tuple[str, bytes]], thaw: Callable[[bytes], Bundle]) -> None:
        """Files by their names. Raises Invalid for one that is not as it was exported, and for a run in two of them."""
        self._parcels: dict[RunId, Parcel] = {}
        self._thaw = thaw
        for name, data in files:
            parcel = unpack(data, name)
            if found := faults(parcel):
                listed = "; ".join(f"{fault.where}: {fault.what}" for fault in found[:_SHOWN])
                raise Invalid(f"{name} is not as it was exported: {listed}")
            if parcel.root not in parcel.runs:
                raise Invalid(f"{name} does not hold the run {parcel.root!r} that it is about")
            if parcel.root in self._parcels:
                raise Invalid(f"{name}: run {parcel.root} is in two of the files; name each run once")
            self._parcels[parcel.root] = parcel

    def trees(self) -> Iterator[Tree]:
        found = [folded(root, parcel.runs[root]) for root, parcel in self._parcels.items()]
        ended = [run for run in found if run.status in ENDS]
        for run in sorted(ended, key=lambda run: (started_of(run).at, run.id)):
            parcel = self._parcels[run.id]
            yield Tree(run.id, run.status, _facts(parcel.runs), partial(_plain, parcel.blobs))

    def bundle(self, hash: str) -> Bundle:
        data = next(parcel.bundle for parcel in self._parcels.values() if parcel.bundle_hash == hash)
        bundle = self._thaw(data)
        if bundle.hash != hash:
            raise Broken(f"bundle {hash[:12]} does not match its hash: the file was changed")
        return bundle


def _facts(recorded: Mapping[RunId, Sequence[Stored]]) -> dict[RunId, list[Fact]]:
    """The oldest run first."""
    facts = {run: [unseal(stored) for stored in found] for run, found in recorded.items()}
    return dict(sorted(facts.items(), key=lambda one: (one[1][0].at if one[1] else 0, one[0])))


def _plain(blobs: Mapping[str, bytes], data: bytes | None) -> Any:
    return None if data is None else lowered(decode(data), lambda id: _plain(blobs, blobs[id]))
