"""Erasing payloads: what the facts commit to goes, the facts and their chain stay.

What is gone for every question is not yet gone from the disks: the server keeps old rows until its own vacuum has
passed and their room is used again, and logs and backups of it as long as their owner does.
"""

from collections.abc import Mapping

from magsag.adapters.store.postgres.batch import committed
from magsag.adapters.store.postgres.encoding import integer
from magsag.adapters.store.postgres.part import Part
from magsag.adapters.store.postgres.prepared import called, prepare
from magsag.adapters.store.tombstones import require_all
from magsag.domain.ids import RunId
from magsag.domain.sealed import Sealed
from magsag.ports.ledger import Write


class ErasingPart(Part):
    """`ports.ledger.Upkeep.erase`."""

    def erase(self, root: RunId, tombstones: Mapping[RunId, Mapping[int, Sealed]], at: int) -> bool:
        sql = {name: text.encode() for name, text in self._database.sql.items()}
        writes = [Write(run, root, list(stones.values())) for run, stones in tombstones.items()]
        parameters = committed(writes, True, None, ())
        with self._database.lock, self._anchors.held():
            with self._database.changing() as connection:
                prepare(connection, "commit", self._database.sql["commit"], parameters)
                rows = called(connection, "commit", parameters)
                require_all(tombstones, [why is None for why, *_ in rows])
                gone = [(run, seq) for run, stones in tombstones.items() for seq in stones]
                connection.cursor().executemany(sql["erase_payloads"], gone)
                connection.cursor().executemany(sql["erase_words"], gone)
                connection.execute(sql["erase_blobs"], (root,))
                connection.execute(sql["erase_tickets"], (root,))
                connection.cursor().executemany(sql["touch_run"], [(at, run) for run in tombstones])
            standing = zip(tombstones, rows, strict=True)
            self._anchors.append([(run, integer(seq or b""), head or b"") for run, (_, seq, head, *_) in standing])
        return False
