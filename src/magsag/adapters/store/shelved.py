"""Whether the records that acts put are what their facts say; a part of `data check` and `audit verify`.

An outcome tells which records its act put (`domain.puts`). So a record is held against the last such fact of the run
that it names, and against what other runs put later. Runs that were erased, vacuumed or copied, and those that earlier
versions drove, tell nothing of their records: these are not judged. Clocks of machines differ, so what another run
put is later only when it is so by an hour.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from magsag.adapters.store.claims import Claims
from magsag.domain.effects import Effect
from magsag.domain.facts import Fact, StepSucceeded
from magsag.domain.ids import RunId
from magsag.domain.puts import IMPORTED, Put, puts_of
from magsag.domain.sealed import Fault, Stored
from magsag.engine.run import Run

_HOUR: Final = 3_600_000_000
_NUMBER: Final = re.compile(rb"[0-9]{1,18}")
Shelved = tuple[str, str, bytes, RunId, int]
"""a row of `records`: tenant, key, value, the run that put it last, when"""


class _Told(NamedTuple):
    """A record as a fact tells it."""

    run: RunId
    root: RunId
    seq: int
    at: int
    """when the fact says that it was; a put may have waited for the end of its act"""
    put: Put


@dataclass(slots=True)
class Shelf:
    """What the facts of all runs tell of records."""

    puts: dict[tuple[str, str], list[_Told]] = field(default_factory=dict)
    silent: set[RunId] = field(default_factory=set)
    """runs that may have put records of which no fact tells"""
    imported: dict[RunId, int] = field(default_factory=dict)
    """runs that came from elsewhere, and how many facts they came with: what they had put stayed there"""
    noted: int = 0
    """of so many of them only a row of the ledger says so"""

    def note(self, rows: Iterable[Shelved], claims: Claims | None, is_copy: bool = False) -> Iterator[Fault]:
        """What the store itself noted, as far as it counts.

        A note without its line among the anchors may be another machine's, or somebody's who deleted a record: who
        holds the ledger against a copy does not take the ledger's own word for what it may lack.
        """
        for tenant, key, value, _, _ in rows:
            run, upto = RunId(key), bytes(value)
            if tenant != IMPORTED:
                continue
            if not _NUMBER.fullmatch(upto):
                yield Fault(f"run {run}", "a note that it was imported tells no number of facts: it was changed", run)
                continue
            is_told = claims is None or claims.imported.get(run) == int(upto)
            if is_copy and not is_told:
                said = "only a row of the ledger says that it was imported"
                yield Fault(f"run {run}", f"{said}; see whether a line among another machine's anchors says so", run)
                continue
            self.imported[run] = int(upto)
            self.noted += not is_told

    def hear(self, run: Run, root: RunId, stored: Stored, fact: Fact) -> None:
        """One fact, in order; `run` is folded up to it."""
        if not isinstance(fact, StepSucceeded):
            return
        proposal = run.steps[fact.step].proposal
        if proposal is None or proposal.effect is not Effect.TRANSACTIONAL:
            return
        if fact.input is None:
            self.silent.add(run.id)
            return
        with suppress(ValueError):  # one that was changed is told by its commitment
            for put in puts_of(fact.input):
                self.puts.setdefault((put.tenant, put.key), []).append(_Told(run.id, root, stored.seq, fact.at, put))

    def own(self, key: tuple[str, str]) -> list[_Told]:
        """What was put under a key in this ledger."""
        return [told for told in self.puts.get(key, ()) if not self._is_foreign(told)]

    def _is_foreign(self, told: _Told) -> bool:
        return told.seq <= self.imported.get(told.run, 0)


def check_records(
    rows: Iterable[Shelved], shelf: Shelf, runs: Mapping[RunId, object], claims: Claims | None
) -> Iterator[Fault]:
    """Faults of records; `claims` are those of the anchors, where there are some."""
    found: set[tuple[str, str]] = set()
    for row in rows:
        if row[0] == IMPORTED:
            continue
        found.add((row[0], row[1]))
        yield from _wrong(row, shelf, runs, claims)
    for tenant, key in sorted(shelf.puts.keys() - found):
        if own := shelf.own((tenant, key)):
            yield _fault(key, own[-1], "an act put it, and it is gone: it was deleted")


def _wrong(row: Shelved, shelf: Shelf, runs: Mapping[RunId, object], claims: Claims | None) -> Iterator[Fault]:
    tenant, key, value, run, at = row
    every, own = shelf.puts.get((tenant, key), []), shelf.own((tenant, key))
    mine = [told for told in every if told.run == run]
    if mine:
        if not mine[-1].put.is_of(at, bytes(value)):
            yield _fault(key, mine[-1], "it is not what the act of its run put: it was changed")
            return
    elif run in runs and run not in shelf.silent:
        yield Fault(f"record {key}", f"it says that run {run} put it, whose acts did not: it was added or changed", run)
        return
    elif run not in runs and claims is not None and claims.exists and run not in claims.vacuumed | claims.excused:
        yield Fault(f"record {key}", f"run {run}, which is to have put it, is not in the ledger", run)
        return
    others = [told for told in own if told.run != run]
    later = [told for told in others if (told.at >= mine[-1].at + _HOUR if mine else told.put.at == at)]
    if later:
        yield _fault(key, later[-1], f"this act put it, and it is what run {run} is to have put: it was changed back")


def _fault(key: str, told: _Told, what: str) -> Fault:
    return Fault(f"record {key}", what, told.run, told.seq, StepSucceeded.__name__)
