"""Keeping the file in order: what it is, copies of it, and removing what ended long ago."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from magsag.adapters.store.auditing import AuditingPart
from magsag.adapters.store.behind import BehindPart
from magsag.adapters.store.budgeting import first_day_kept
from magsag.adapters.store.failures import broken, no_access
from magsag.adapters.store.glance import glance
from magsag.adapters.store.kin import kin_of
from magsag.adapters.store.part import Part
from magsag.adapters.store.statements import migrations
from magsag.domain.effects import Level
from magsag.domain.errors import Invalid
from magsag.domain.ids import RunId
from magsag.engine.keeping import leaving
from magsag.ports.ledger import Vacuumed

_TABLES: Final = (
    *("facts", "blobs", "leases", "approvals", "standing_approvals", "budgets", "reservations"),
    *("unanchored", "imports", "runs"),
)
"""of which the rows of a removed run go"""


class UpkeepPart(AuditingPart, BehindPart, Part):
    """`ports.ledger.Upkeep`."""

    def describe(self) -> dict[str, object]:
        with self._database.reading() as connection:
            runs, facts, bundles, size, mode, version = connection.execute(self._database.sql["describe"]).fetchone()
        return {
            "backend": "sqlite",
            "location": str(self._database.path),
            **glance(self._anchors.path),
            "schema": len(migrations()),
            "written_by": version,
            "sqlite": sqlite3.sqlite_version,
            "journal_mode": mode,
            "bytes": size,
            "runs": runs,
            "facts": facts,
            "bundles": bundles,
        }

    def accept(self, by: str) -> dict[RunId, int]:
        """Nobody writes meanwhile."""
        with self._database.lock, self._anchors.held(), self._database.writing(Level.SYNCED):
            return self._tell_accepted(by)

    def vacuum(self, before: int, dry_run: bool) -> Vacuumed:
        """The anchors are told first: a run that is named there may be gone, it need not be."""
        sql = self._database.sql
        with self._database.lock, self._anchors.held(), self._database.writing(Level.SYNCED) as connection:
            connection.execute(sql["vacuum_begin"])
            trees = leaving(kin_of(connection, sql), before)
            connection.executemany(sql["mark_vacuumed_tree"], [(root,) for root in trees])
            gone: list[RunId] = [run for (run,) in connection.execute(sql["vacuumed_runs"])]
            (facts,) = connection.execute(sql["count_vacuumed_facts"]).fetchone()
            bundles = [hash for (hash,) in connection.execute(sql["vacuumed_bundles"], (before,))]
            if not dry_run:
                if gone:
                    self._anchors.append_vacuumed(gone)
                if connection.execute(sql["has_search_index"]).fetchone() is not None:
                    connection.execute(sql["unindex_facts"])
                for name in _TABLES:
                    connection.execute(sql[f"vacuum_{name}"])
                connection.execute(sql["vacuum_days"], (first_day_kept(before),))
                connection.executemany(sql["vacuum_bundle"], [(hash,) for hash in bundles])
            connection.execute(sql["vacuum_end"])
        if not dry_run and (gone or bundles):
            self._database.compact()
        return Vacuumed(len(gone), facts, len(bundles), before, dry_run)

    def backup(self, destination: str) -> str:
        """The anchors go beside it, as `DESTINATION.anchors.log`; read before the ledger, so never ahead of it."""
        target = Path(destination).absolute()
        beside = target.with_name(f"{target.name}.anchors.log")
        for path in (target, beside):
            if path.exists():
                raise Invalid(f"{path} exists; choose a new name for the backup")
        part = target.with_name(f"{target.name}.part")
        try:
            anchors = self._anchors.path.read_bytes() if self._anchors.path.exists() else b""
            target.parent.mkdir(parents=True, exist_ok=True)
            part.unlink(missing_ok=True)
            with closing(sqlite3.connect(self._database.path)) as source, closing(sqlite3.connect(part)) as copy:
                source.backup(copy)
            beside.write_bytes(anchors)
            part.replace(target)
        except OSError as error:
            raise no_access(target, error) from error
        except sqlite3.Error as error:
            raise broken(target, error) from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        places = f"copy {destination} to {self._database.path} and {destination}.anchors.log to {self._anchors.path}"
        return f"{places}, while nothing has the ledger open"

    def close(self) -> None:
        self._database.close()
        self._anchors.close()
        self._process.close()
