"""Finds out what this machine is like, for `doctor`."""

import shutil
import sqlite3
import sys
from contextlib import closing

from magsag.services.desk.health import Machine


def probe(folder: str) -> Machine:
    """`folder` is an existing one on the disk of the ledger."""
    return Machine(sys.version_info[:3], sqlite3.sqlite_version, _has_search(), shutil.disk_usage(folder).free)


def _has_search() -> bool:
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.execute("create virtual table words using fts5(text)")
        except sqlite3.OperationalError:
            return False
    return True
