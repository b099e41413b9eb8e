"""Whether runs are what the anchors say, and how far these vouch; a part of `data check` and `audit verify`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from magsag.adapters.store.claims import Claims
from magsag.domain.facts import ENDS
from magsag.domain.ids import RunId
from magsag.domain.sealed import Fault, Stored
from magsag.ports.auditing import Reach
from magsag.ports.ledger import RunRow

_RESTORE: Final = (
    "restore the file from a backup; if it is lost, look outside, then `magsag data accept` begins another"
)
_OR: Final = ", unless another ledger writes to this file too"


def against_anchors(row: RunRow, facts: list[Stored], claims: Claims, owed: bool) -> Iterator[Fault]:
    """What was anchored once is still there; what has ended was anchored."""
    if row.run in claims.vacuumed:
        return  # a new run under an old name that has not come to rest yet, or a vacuum that failed after its line
    where = f"run {row.run}"
    held = 0
    for seq, head in claims.runs.get(row.run, []):
        if seq > len(facts):
            what = f"the ledger is behind its anchors: fact {seq} was anchored, the last is {len(facts)}"
            said = f"{what}; the tail was cut, or an old copy was put back{_hint(row.run, claims)}"
            yield Fault(where, said, row.run, len(facts) + 1)
            return
        if facts[seq - 1].head.hex() != head:
            told = f"the chain up to fact {seq} is not the one that was anchored: it was rewritten"
            what = f"{told}{_hint(row.run, claims)}"
            yield Fault(where, what, row.run, held + 1, facts[held].kind)
            return
        held = max(held, seq)
    if row.status not in ENDS or owed or not claims.exists or not claims.ends:
        return
    end = max((fact.seq for fact in facts if fact.kind == "RunEnded"), default=0)
    if held < end:
        yield Fault(where, "it has ended, and no anchor says so: lines were cut from the anchors", row.run)


def _hint(run: RunId, claims: Claims) -> str:
    """What else it may be, by the word of the ledger alone."""
    if run not in claims.reused:
        return ""
    said = "; the ledger notes that another machine vacuumed a run of this name, so this may be a new one"
    return f"{said}: if it is, `magsag data accept` on this machine says so"


def missing(
    runs: Mapping[RunId, RunRow], claims: Claims, owed: set[RunId], path: Path, is_copy: bool
) -> Iterator[Fault]:
    """Runs that the anchors know and the ledger does not; anchors that are gone.

    Who holds the ledger against a copy does not take the ledger's own word for what it may lack.
    """
    if not claims.exists and any(row.status in ENDS and row.run not in owed for row in runs.values()):
        yield Fault(str(path), f"the anchors are missing, though runs have ended; {_RESTORE}")
    for run, rests in claims.runs.items():
        if not rests or run in runs or run in claims.vacuumed:
            continue
        if run not in claims.excused:
            yield Fault(f"run {run}", f"it was anchored, and the ledger does not hold it: it was deleted{_OR}", run)
        elif is_copy:
            what = "it was anchored, and only a row of the ledger says that another machine vacuumed it"
            yield Fault(f"run {run}", f"{what}; see whether a line among that machine's anchors says so", run)


def reach(row: RunRow, facts: list[Stored], claims: Claims) -> Reach:
    """How many of a run's facts the anchors vouch for."""
    rests = [] if row.run in claims.vacuumed else claims.runs.get(row.run, [])
    held = [seq for seq, head in rests if seq <= len(facts) and facts[seq - 1].head.hex() == head]
    return Reach(row.run, len(facts), max(held, default=0))
