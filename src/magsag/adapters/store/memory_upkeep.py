"""Keeping a store in memory in order."""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from magsag.adapters.store.budgeting import first_day_kept
from magsag.adapters.store.memory_moving import MemoryMoving
from magsag.adapters.store.memory_part import bytes_of, bytes_of_blobs, stored
from magsag.domain.errors import Invalid
from magsag.domain.facts import ENDS, RunStarted
from magsag.domain.ids import RunId
from magsag.domain.puts import IMPORTED
from magsag.engine.chain import unseal
from magsag.engine.keeping import Kin, leaving
from magsag.ports.auditing import Chosen, Evidence, Verified
from magsag.ports.ledger import Fault, Vacuumed, Weight


class MemoryUpkeep(MemoryMoving):
    """`ports.ledger.Upkeep` and `ports.auditing.Audited`."""

    def describe(self) -> dict[str, object]:
        with self._lock:
            return {
                "backend": "memory",
                "location": "this process",
                "runs": len(self._runs),
                "facts": sum(run.seq for run in self._runs.values()),
                "bundles": len(self._bundles),
                "bytes": sum(bytes_of(fact) for run in self._runs.values() for fact, _ in run.facts)
                + sum(map(bytes_of_blobs, self._blobs.values())),
            }

    def check(self, heard: Callable[[int], None] | None = None) -> list[Fault]:
        return self.verify(heard).faults

    def verify(self, heard: Callable[[int], None] | None = None, copy: Path | None = None) -> Verified:
        from magsag.adapters.store.memory_audit import verified  # heavy, and asked for by hand

        return verified(list(self.pieces()), heard)

    def evidence(self, chosen: Chosen | None = None) -> Generator[Evidence, None, None]:
        from magsag.adapters.store.memory_audit import evidence_of

        return evidence_of(list(self.pieces()), chosen)

    def accept(self, by: str) -> dict[RunId, int]:
        return {}

    def vacuum(self, before: int, dry_run: bool) -> Vacuumed:
        with self._lock:
            leaves = leaving(self._kin(), before)
            gone = [run for run in self._runs.values() if run.root in leaves]
            needed = {run.bundle for run in self._runs.values() if run.root not in leaves}
            bundles = [hash for hash in self._bundles if hash not in needed]
            counted = Vacuumed(len(gone), sum(run.seq for run in gone), len(bundles), before, dry_run)
            if not dry_run:
                for run in gone:
                    del self._runs[run.run]
                    self._leases.pop(run.root, None)
                    self._blobs.pop(run.root, None)
                    self._records.pop((IMPORTED, run.run), None)
                self._standing_approvals.vacuum(set(leaves))
                self._money.forget(run.run for run in gone)
                self._money.forget_days(first_day_kept(before))
                self._tickets = {id: kept for id, kept in self._tickets.items() if kept.root not in leaves}
                for hash in bundles:
                    del self._bundles[hash]
            return counted

    def weights(self) -> list[Weight]:
        with self._lock:
            found: dict[RunId, Weight] = {}
            leaves = leaving(self._kin(), 1 << 62)
            for run in self._runs.values():
                if run.root in leaves:
                    known = found.get(run.root, Weight(run.root, 0, bytes_of_blobs(self._blobs.get(run.root, {}))))
                    size = known.bytes + sum(bytes_of(fact) for fact, _ in run.facts)
                    found[run.root] = Weight(run.root, max(known.updated, run.updated), size)
            return sorted(found.values(), key=lambda weight: (weight.updated, weight.root))

    def _kin(self) -> Iterator[Kin]:
        for run in self._runs.values():
            first = unseal(stored(run.facts[0][0], 1, run.facts[0][1])) if run.facts else None
            continues = first.continues if isinstance(first, RunStarted) else None
            yield Kin(run.run, run.root, run.parent, continues, run.updated, run.status not in ENDS)

    def backup(self, destination: str) -> str:
        raise Invalid(
            f"{destination}: runs in memory cannot be copied; switch [features] durable on to keep them in a file"
        )

    def close(self) -> None:
        """Nothing is held outside this object."""
