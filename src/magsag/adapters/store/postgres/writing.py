"""Facts in: one statement per call. Also bundles. What happens inside the server: `sql/functions.sql`.

A commit in which runs come to rest leaves one line in this machine's file of anchors, and a note in the ledger which
file that is. The note says `owed` until a later commit, so that a process which dies between commit and line owes
nothing: the next one of this machine pays its debts. So nobody waits for ever for a process that was stopped with the
file in its hands.
"""

import time
from collections.abc import Sequence
from typing import Final, cast

import psycopg

from magsag.adapters.store.anchors import Rest
from magsag.adapters.store.behind import begins_anew
from magsag.adapters.store.postgres.batch import appended, appended_many, committed, only_appends
from magsag.adapters.store.postgres.budgets import balances_of, short_of
from magsag.adapters.store.postgres.encoding import Parameter, integer
from magsag.adapters.store.postgres.failures import broken
from magsag.adapters.store.postgres.part import Part
from magsag.adapters.store.writing import imports, rests
from magsag.domain.effects import Level
from magsag.domain.facts import ENDS
from magsag.domain.ids import RunId
from magsag.ports.ledger import Declined, Write, Written

_TRIES: Final = 5
"""two writers that meet in a way that only one can win: the other asks again, and is told"""


class WritingPart(Part):
    """`ports.ledger.Ledger`, but for what only reads."""

    _settled: tuple[RunId, ...] | None = None
    """ended runs whose line is written; None as long as debts of other processes may stand in the ledger"""

    def write(self, writes: Sequence[Write], level: Level) -> list[Written | Declined]:
        synced = level is Level.SYNCED
        if not writes:
            return self._commit([], synced, None, ()) if synced else []
        foreign = [item.lease is not None and item.lease.root != item.root for item in writes]
        if any(foreign):
            kept = iter(self.write([item for item, no in zip(writes, foreign, strict=True) if not no], level))
            return [Declined("lease") if no else next(kept) for no in foreign]
        if len(writes) == 1 and only_appends(writes[0]):
            (item,) = writes
            if len(item.facts) == 1 and item.lease is not None:
                (answer,) = self._answers("append", appended(item, item.lease, synced))
                if synced and isinstance(answer, Declined):
                    self._commit([], True, None, ())  # what was written before is to be synced too
                return [answer]
            return self._answers("append_many", appended_many(item, synced))
        if any(rests(item) for item in writes):
            return self._commit_and_anchor(writes)
        return self._commit(writes, synced, None, ())

    def put_bundle(self, hash: str, body: bytes) -> None:
        self._database.change("put_bundle", (hash, body, time.time_ns() // 1000))

    def _commit_and_anchor(self, writes: Sequence[Write]) -> list[Written | Declined]:
        """Always synced: a server that crashes may not be behind its anchors."""
        with self._database.lock, self._anchors.held_if_free() as is_ours:
            debts, vacuumed = self._debts() if is_ours and self._settled is None else ([], [])
            answers = self._commit(writes, True, self._vouching, self._settled or ())
            kept = [(item, answer) for item, answer in zip(writes, answers, strict=True) if isinstance(answer, Written)]
            resting = {item.run for item, _ in kept if rests(item)}
            lines = {item.run: (item.run, answer.seq, answer.head) for item, answer in kept if item.run in resting}
            lines = {debt[0]: debt for debt in debts} | lines
            ended = [item.run for item, _ in kept if item.change is not None and item.change.status in ENDS]
            if not is_ours:
                self._owe("another process keeps it locked")
            elif lines or vacuumed:
                settled = [*ended, *(run for run, _, _ in debts)]
                self._anchor(list(lines.values()), settled, vacuumed, imports(item for item, _ in kept))
        return answers

    def _commit(
        self, writes: Sequence[Write], synced: bool, anchors: str | None, settled: Sequence[RunId]
    ) -> list[Written | Declined]:
        return self._answers("commit", committed(writes, synced, anchors, settled))

    def _answers(self, command: str, parameters: Sequence[Parameter]) -> list[Written | Declined]:
        for left in range(_TRIES, -1, -1):
            try:
                rows = self._database.call(command, parameters)
                break
            except psycopg.Error as error:
                if not left:
                    raise broken(self._database.location, error) from error
        else:
            raise AssertionError("the last try answers or raises")
        return [
            Declined(why.decode(), short_of(row[0]) if why == b"budget" else None)
            if why is not None
            else Written(integer(seq or b""), head or b"", balances_of(row if command == "commit" else ()))
            for why, seq, head, *row in rows
        ]

    def _debts(self) -> tuple[list[Rest], list[RunId]]:
        """What processes of this machine left to be told in its file."""
        rows = cast(list[Rest], self._database.change("anchor_debts", (self._vouching,)))
        gone = [cast(RunId, run) for (run,) in self._database.change("vacuum_debts", (self._vouching,))]
        return rows, gone

    def _anchor(
        self, lines: list[Rest], settled: list[RunId], vacuumed: list[RunId], imported: list[tuple[str, int]]
    ) -> None:
        """The commit stands, so a line that cannot be written stays owed."""
        try:
            if vacuumed:
                self._anchors.append_vacuumed(vacuumed)
            if lines:
                self._anchors.append(lines, begins_anew(self._anchors, self._reads, self._mine), imported)
            self._settled = tuple(settled)
        except OSError as error:
            self._owe(error)
            return
        if vacuumed:
            self._database.change("told_of_vacuum", (self._vouching, vacuumed))

    def _owe(self, why: object) -> None:
        import logging  # three milliseconds that no healthy start should pay

        self._settled = None
        what = "%s: an anchor could not be written (%s); the next commit tries again"
        logging.getLogger("magsag.store").warning(what, self._anchors.path, why)
