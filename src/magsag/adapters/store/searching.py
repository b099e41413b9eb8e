"""Full-text search. The index is made by the first search and brought up to date by each, so that no write pays."""

import sqlite3
from collections.abc import Mapping

from magsag.adapters.store.part import Part
from magsag.adapters.store.words import text_of
from magsag.domain.effects import Level
from magsag.domain.errors import Invalid
from magsag.domain.sealed import Sealed
from magsag.ports.ledger import Hit


class SearchingPart(Part):
    """`ports.ledger.Runs.search`."""

    def search(self, words: str, limit: int) -> list[Hit]:
        phrases = " ".join('"{}"'.format(word.replace('"', '""')) for word in words.split())
        if not phrases:
            return []
        sql = self._database.sql
        with self._database.writing(Level.WRITTEN) as connection:
            if connection.execute(sql["has_search_index"]).fetchone() is None:
                require_full_text(connection)
                connection.execute(sql["make_search_index"])
            _catch_up(connection, sql)
            return [Hit(*row) for row in connection.execute(sql["find"], (phrases, limit))]


def require_full_text(connection: sqlite3.Connection, module: str = "fts5") -> None:
    """Raise Invalid when this SQLite was built without full-text search."""
    try:
        connection.execute(f"create virtual table temp.full_text_probe using {module}(text)")
        connection.execute("drop table temp.full_text_probe")
    except sqlite3.OperationalError as error:
        raise Invalid(
            f"search needs the {module} module, which SQLite {sqlite3.sqlite_version} of this Python lacks ({error}); "
            "use another Python build, or `run list` and `run facts`"
        ) from error


def _catch_up(connection: sqlite3.Connection, sql: Mapping[str, str]) -> None:
    """Index what came since the last search. Rows that are removed are found missing, and read again, never old."""
    (done,) = connection.execute(sql["indexed_to"]).fetchone()
    (newest,) = connection.execute(sql["newest_fact"]).fetchone()
    if newest <= done:
        return
    rows = connection.execute(sql["facts_to_index"], (done,))
    connection.executemany(sql["index_fact"], ((id, text_of(Sealed(*fact))) for id, *fact in rows))
