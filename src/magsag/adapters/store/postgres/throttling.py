"""Throttles in Postgres, by the server's clock."""

from magsag.adapters.store.postgres.part import Part
from magsag.ports.throttles import ThrottleRow


class ThrottlingPart(Part):
    """`ports.throttles.Throttles`."""

    def throttle(self, name: str) -> tuple[int, ThrottleRow | None]:
        ((now, found, version, body),) = self._database.all("throttle", (name,))
        return now, None if found is None else ThrottleRow(found, version, bytes(body))

    def put_throttle(self, row: ThrottleRow) -> bool:
        return bool(self._database.change("put_throttle", (row.name, row.version, row.body)))

    def throttles(self) -> list[ThrottleRow]:
        return [ThrottleRow(name, version, bytes(body)) for name, version, body in self._database.all("throttles")]
