"""Keeping the ledger in order: what it is, whether it holds together, and removing what ended long ago."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Final

from magsag.adapters.store.auditing import AuditingPart
from magsag.adapters.store.behind import BehindPart
from magsag.adapters.store.budgeting import first_day_kept
from magsag.adapters.store.glance import glance
from magsag.adapters.store.kin import kin_of
from magsag.adapters.store.postgres.statements import migrations
from magsag.adapters.store.postgres.waking import WakingPart
from magsag.domain.ids import RunId
from magsag.engine.keeping import leaving
from magsag.ports.ledger import Vacuumed

_Leaver = tuple[RunId, RunId, int]
"""a run to be removed, its root, its facts"""
_PORTION: Final = 5000
"""so many facts go at once; a tree goes whole"""


class UpkeepPart(AuditingPart, BehindPart, WakingPart):
    """`ports.ledger.Upkeep`."""

    def describe(self) -> dict[str, object]:
        with self._database.reading() as session:
            row = session.execute(self._database.sql["describe"]).fetchone()
        assert row is not None
        runs, facts, bundles, size, server, version = row
        return {
            "backend": "postgres",
            "location": self._database.location,
            **glance(self._anchors.path),
            "schema": len(migrations()),
            "written_by": version,
            "postgres": server,
            "bytes": size,
            "runs": runs,
            "facts": facts,
            "bundles": bundles,
        }

    def accept(self, by: str) -> dict[RunId, int]:
        """What this machine's anchors hold more; another machine accepts what its own do."""
        with self._database.lock, self._anchors.held():
            return self._tell_accepted(by)

    def vacuum(self, before: int, dry_run: bool) -> Vacuumed:
        """In portions, each of them committed: writers wait for one at most, and one is done within a statement's time.

        The newest trees first, so that none is left whose forerunner is gone.
        """
        sql = self._database.sql
        with self._database.reading() as session:
            trees = leaving(kin_of(session, sql), before)
            rows: list[_Leaver] = session.execute(sql["runs_to_vacuum"], (sorted(trees),)).fetchall()
            gone = [run for run, _, _ in rows]
            bundles = [hash for (hash,) in session.execute(sql["bundles_to_vacuum"], (before, gone))]
        if dry_run:
            return Vacuumed(len(gone), sum(seq for _, _, seq in rows), len(bundles), before, dry_run)
        removed = [self._remove(portion, [], before) for portion in _portions(rows)]
        if bundles:
            removed.append(self._remove([], bundles, before))
        self._database.change("vacuum_days", (first_day_kept(before),))
        runs, facts, hashes = (sum(counts) for counts in zip((0, 0, 0), *removed, strict=True))
        return Vacuumed(runs, facts, hashes, before, dry_run)

    def _remove(self, rows: Sequence[_Leaver], bundles: Sequence[str], before: int) -> tuple[int, int, int]:
        """The anchors are told first: a run that is named there may be gone, it need not be."""
        with self._database.lock, self._anchors.held():
            if rows:
                self._anchors.append_vacuumed([run for run, _, _ in rows])
            roots = sorted({root for _, root, _ in rows})
            ((runs, facts, hashes),) = self._database.change("vacuum", (roots, bundles, before, self._vouching))
        return runs, facts, hashes

    def backup(self, destination: str) -> str:
        from magsag.adapters.store.postgres.backup import dump  # asked for by hand

        return dump(self._database.target, self._anchors.path, destination)

    def close(self) -> None:
        with suppress(OSError):
            self._deafen()
        self._owner.close()
        self._database.close()
        self._anchors.close()


def _portions(rows: Iterable[_Leaver]) -> Iterator[list[_Leaver]]:
    portion: list[_Leaver] = []
    facts = 0
    for _, tree in groupby(rows, key=lambda row: row[1]):
        for row in tree:
            portion.append(row)
            facts += row[2]
        if facts >= _PORTION:
            yield portion
            portion, facts = [], 0
    if portion:
        yield portion
