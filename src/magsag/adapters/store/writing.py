"""Facts in: one transaction per call. Also large values and bundles. How chains grow: `adapters.store.batch`.

A commit in which runs come to rest leaves one anchor line. Ended runs stand in `unanchored` from their commit until
a later one, so that a process that dies between commit and line owes nothing: the next one pays its debts.
"""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import Final, cast

from magsag.adapters.store.anchors import Rest
from magsag.adapters.store.batch import Batch, append, only_appends
from magsag.adapters.store.behind import begins_anew
from magsag.adapters.store.part import Part
from magsag.domain.effects import Level
from magsag.domain.facts import ENDS, RunStatus
from magsag.domain.ids import RunId
from magsag.domain.puts import IMPORTED
from magsag.ports.ledger import Declined, Write, Written

_RESTS: Final = ENDS | {RunStatus.PARKED}


class WritingPart(Part):
    """`ports.ledger.Ledger`, but for what only reads."""

    _settled: tuple[RunId, ...] | None = None
    """ended runs whose line is written; None as long as debts of other processes may stand in the table"""

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        for item in writes:
            if rests(item):
                return self._write_and_anchor(writes, level)
        with self._database.writing(level) as connection:
            if len(writes) == 1 and only_appends(writes[0]):
                return [append(connection, self._database.sql, writes[0])]
            return self._batch(connection, writes, level)[1]

    def _write_and_anchor(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        with self._database.lock, self._anchors.held():
            self._database.require_in_place()
            with self._database.writing(level) as connection:
                batch, answers = self._batch(connection, writes, level)
                kept = [item for item, answer in zip(writes, answers, strict=True) if isinstance(answer, Written)]
                resting = batch.standing(dict.fromkeys(item.run for item in kept if rests(item)))
                ended: list[RunId] = []
                if resting:
                    ended = [item.run for item in kept if item.change is not None and item.change.status in ENDS]
                    resting, ended = self._with_debts(connection, resting, ended)
            if resting:
                self._anchor(resting, ended, imports(kept))
        return answers

    def put_bundle(self, hash: str, body: bytes) -> None:
        with self._database.writing(Level.WRITTEN) as connection:
            connection.execute(self._database.sql["put_bundle"], (hash, body, time.time_ns() // 1000))

    def _batch(
        self, connection: sqlite3.Connection, writes: Sequence[Write], level: Level
    ) -> tuple[Batch, list[Written | Declined]]:
        batch = Batch(connection, self._database.sql)
        answers = batch.write(writes)
        if level is Level.SYNCED and batch.is_empty:
            # A commit without a change syncs nothing, and what was written before is to be synced too.
            connection.execute(self._database.sql["touch"])
        return batch, answers

    def _with_debts(
        self, connection: sqlite3.Connection, resting: list[Rest], ended: list[RunId]
    ) -> tuple[list[Rest], list[RunId]]:
        """Add what is owed, and note what this commit will owe until its line is written."""
        sql = self._database.sql
        if self._settled is None:
            known = {run for run, _, _ in resting}
            debts = cast(list[Rest], connection.execute(sql["unanchored"]).fetchall())
            resting = resting + [debt for debt in debts if debt[0] not in known]
            settled = ended + [run for run, _, _ in debts]
        else:
            connection.executemany(sql["anchored"], [(run,) for run in self._settled])
            settled = ended
        connection.executemany(sql["owe_anchor"], [(run,) for run in ended])
        return resting, settled

    def _anchor(self, resting: list[Rest], settled: list[RunId], imported: list[tuple[str, int]]) -> None:
        """The commit stands, so a line that cannot be written stays owed."""
        try:
            self._anchors.append(resting, begins_anew(self._anchors, self._reads, self._mine), imported)
            self._settled = tuple(settled)
        except OSError as error:
            import logging  # three milliseconds that no healthy start should pay

            self._settled = None
            what = "%s: an anchor could not be written (%s); the next commit tries again"
            logging.getLogger("magsag.store").warning(what, self._anchors.path, error)


def rests(item: Write) -> bool:
    """Whether the commit of this brings its run to rest."""
    return item.release or (item.change is not None and item.change.status in _RESTS)


def imports(kept: Iterable[Write]) -> list[tuple[str, int]]:
    """Runs that came from another ledger with these writes, and with how many facts."""
    return [(one.key, int(one.value)) for item in kept for one in item.records if one.tenant == IMPORTED]
