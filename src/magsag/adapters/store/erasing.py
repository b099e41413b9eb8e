"""Erasing payloads: what the facts commit to goes, the facts and their chain stay."""

from collections.abc import Mapping

from magsag.adapters.store.batch import Batch
from magsag.adapters.store.part import Part
from magsag.adapters.store.tombstones import require_all
from magsag.domain.effects import Level
from magsag.domain.ids import RunId
from magsag.domain.sealed import Sealed
from magsag.ports.ledger import Write, Written


class ErasingPart(Part):
    """`ports.ledger.Upkeep.erase`."""

    def erase(self, root: RunId, tombstones: Mapping[RunId, Mapping[int, Sealed]], at: int) -> bool:
        """The index of words goes whole: a full-text index keeps deleted words in its segments."""
        sql = self._database.sql
        writes = [Write(run, root, list(stones.values())) for run, stones in tombstones.items()]
        with self._database.lock, self._anchors.held():
            with self._database.writing(Level.SYNCED) as connection:
                connection.execute(sql["overwrite_removed"])
                batch = Batch(connection, sql)
                answers = batch.write(writes)
                require_all(tombstones, [isinstance(answer, Written) for answer in answers])
                gone = [(run, seq) for run, stones in tombstones.items() for seq in stones]
                connection.executemany(sql["erase_payloads"], gone)
                connection.execute(sql["erase_blobs"], (root,))
                connection.execute(sql["erase_tickets"], (root,))
                connection.executemany(sql["touch_run"], [(at, run) for run in tombstones])
                connection.execute(sql["drop_search_index"])
            self._anchors.append(batch.standing(tombstones))
        return self._database.compact()
