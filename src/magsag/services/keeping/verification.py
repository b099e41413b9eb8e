"""The judgement of `data check` as an auditor reads it: bad runs with their first bad fact, and its reach."""

from collections.abc import Callable, Sequence
from pathlib import Path

from magsag.domain.errors import Invalid
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.domain.sealed import Fault
from magsag.ports.auditing import Reach, Verified, Vouching
from magsag.ports.ledger import Store
from magsag.services.keeping.upkeep import now_and_then


@frozen
class BadRun:
    """A run that is not as it was written."""

    run: RunId
    seq: int | None
    """the first fact that is, or may be, bad; None where no single one is"""
    kind: str | None
    what: str
    faults: int
    """how many there are in all"""


@frozen
class Report:
    """What an auditor is told."""

    runs: int
    facts: int
    bad: tuple[BadRun, ...]
    beside: tuple[Fault, ...]
    """what is wrong with no single run: the anchors, bundles, the file"""
    anchors: Vouching | None
    after: tuple[Reach, ...]
    """runs with facts that no anchor vouches for yet"""
    vouched: int
    """facts that one does vouch for"""

    @property
    def is_sound(self) -> bool:
        """Whether everything is as it was written, as far as anybody can tell."""
        return not self.bad and not self.beside


class Verification:
    """Verifies one ledger."""

    def __init__(self, store: Callable[[], Store]) -> None:
        """`store` raises Invalid where there is no ledger."""
        self._store = store

    def verify(self, run: str | None, copy: str | None, heard: Callable[[str], None]) -> Report:
        """Judge everything, or tell of one run alone; what belongs to no run is always told.

        `copy` is a copy of the anchors from elsewhere, which is believed where the ledger's own part from it. Raises
        Invalid for a run or a copy that is not there, StoreBroken for what cannot be read.
        """
        path = None if copy is None else Path(copy).absolute()
        if path is not None and not path.is_file():
            raise Invalid(f"--anchors {copy}: there is no such file")
        verified = self._store().verify(now_and_then("verified", heard), path)
        if verified.anchors is not None and verified.anchors.copied == 0:
            raise Invalid(f"--anchors {copy}: it holds no line, so it vouches for nothing; give the copy that was kept")
        return report(verified) if run is None else _of(report(verified), verified, RunId(run))


def report(verified: Verified) -> Report:
    """The same by runs."""
    by_run: dict[RunId, list[Fault]] = {}
    for fault in verified.faults:
        if fault.run is not None:
            by_run.setdefault(fault.run, []).append(fault)
    reaches = verified.reaches
    return Report(
        runs=len(reaches),
        facts=sum(reach.facts for reach in reaches),
        bad=tuple(_worst(run, found) for run, found in by_run.items()),
        beside=tuple(fault for fault in verified.faults if fault.run is None),
        anchors=verified.anchors,
        after=tuple(reach for reach in reaches if reach.anchored < reach.facts),
        vouched=sum(reach.anchored for reach in reaches),
    )


def _worst(run: RunId, found: Sequence[Fault]) -> BadRun:
    """The first fact that is bad counts, before rows that differ from it; what names no fact comes after."""
    first = min(found, key=lambda fault: (fault.seq is None, fault.is_beside, fault.seq or 0))
    return BadRun(run, first.seq, first.kind, first.what, len(found))


def _of(told: Report, verified: Verified, run: RunId) -> Report:
    reaches = [reach for reach in verified.reaches if reach.run == run]
    bad = tuple(one for one in told.bad if one.run == run)
    if not reaches and not bad:
        raise Invalid(f"run {run} is not in the ledger, and its anchors do not know it: see `magsag run list`")
    facts, vouched = sum(reach.facts for reach in reaches), sum(reach.anchored for reach in reaches)
    after = tuple(reach for reach in told.after if reach.run == run)
    return Report(len(reaches), facts, bad, told.beside, told.anchors, after, vouched)
