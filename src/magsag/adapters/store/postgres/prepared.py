"""Statements that are prepared under a name and called in binary, both ways: what every commit is made of."""

from collections.abc import Sequence
from typing import Final

import psycopg
from psycopg import generators
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from magsag.adapters.store.postgres.connection import Connection
from magsag.adapters.store.postgres.encoding import Parameter

_BINARY: Final = 1


def prepare(connection: Connection, name: str, query: str, parameters: Sequence[Parameter]) -> None:
    """Have a statement for parameters of these types ready under a name. Raises psycopg.Error."""
    types = [parameter.oid for parameter in parameters]
    connection.pgconn.send_prepare(name.encode(), query.encode(), types)
    _require_done(connection)


def called(connection: Connection, name: str, parameters: Sequence[Parameter]) -> list[tuple[bytes | None, ...]]:
    """The rows of a prepared statement, in binary both ways. Raises psycopg.Error."""
    data = [parameter.data for parameter in parameters]
    connection.pgconn.send_query_prepared(name.encode(), data, [_BINARY] * len(data), _BINARY)
    result = _require_done(connection)
    columns = range(result.nfields)
    return [tuple(result.get_value(row, column) for column in columns) for row in range(result.ntuples)]


def _require_done(connection: Connection) -> PGresult:
    """The one result of what was sent; a server that dies says so in several. Raises psycopg.Error."""
    results: list[PGresult] = connection.wait(generators.execute(connection.pgconn))
    for result in results:
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            raise psycopg.errors.error_from_result(result)
    return results[0]
