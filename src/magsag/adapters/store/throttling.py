"""Throttles in SQLite. Its clock is this machine's."""

import time

from magsag.adapters.store.part import Part
from magsag.domain.effects import Level
from magsag.ports.throttles import ThrottleRow


class ThrottlingPart(Part):
    """`ports.throttles.Throttles`."""

    def throttle(self, name: str) -> tuple[int, ThrottleRow | None]:
        row = self._database.one("throttle", (name,))
        return time.time_ns() // 1000, None if row is None else ThrottleRow(*row)

    def put_throttle(self, row: ThrottleRow) -> bool:
        with self._database.writing(Level.WRITTEN) as connection:
            put = (row.name, row.version, row.body)
            return bool(connection.execute(self._database.sql["put_throttle"], put).fetchall())

    def throttles(self) -> list[ThrottleRow]:
        return [ThrottleRow(*row) for row in self._database.all("throttles")]
