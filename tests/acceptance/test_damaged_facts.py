"""Part 3 H: what somebody changed in the database is told by its run and fact, and the rest is shown all the same."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.workshop import Done, magsag
from tests.unit.trip import write_trip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The trip project with its runs `first` and `second`."""
    folder = write_trip(tmp_path)
    for run in ("first", "second"):
        assert magsag("agent", "run", "trip-mag", "--run-id", run, cwd=folder, stdin='{"who": "ann"}').code == 0
    return folder


def change(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / ".magsag" / "ledger.db")) as connection:
        assert connection.execute(statement).rowcount == 1
        connection.commit()


def is_told(done: Done, place: str) -> bool:
    assert "a bug in MAGSAG" not in done.err, done.err
    return done.code == 4 and place in done.err and "magsag data check" in done.err


def test_a_fact_that_was_changed_is_told_and_the_others_are_shown(folder: Path) -> None:
    change(folder, "update facts set body = body || ' ' where run = 'first' and seq = 3")
    assert is_told(
        magsag("run", "export", "first", cwd=folder), "run first, fact 3: the body does not match its digest"
    )
    assert is_told(magsag("data", "archive", "../away", cwd=folder), "run first, fact 3")
    assert magsag("run", "export", "second", cwd=folder).code == 0
    change(folder, "update facts set body = 'xx' where run = 'first' and seq = 3")
    for command in (("run", "facts", "first"), ("run", "show", "first"), ("run", "export", "first")):
        assert is_told(magsag(*command, cwd=folder), "run first, fact 3")
    logged = magsag("audit", "log", cwd=folder)
    assert is_told(logged, "run first, fact 3 (")
    assert "second" in logged.out


def test_a_row_that_was_changed_is_told_and_the_others_are_listed(folder: Path) -> None:
    change(folder, "update runs set status = 'bogus' where run = 'first'")
    for command in (("run", "list"), ("run", "list", "--json"), ("audit", "log")):
        listed = magsag(*command, cwd=folder)
        assert is_told(listed, "run first: its row is damaged")
        assert "second" in listed.out
    assert is_told(magsag("run", "show", "first", cwd=folder), "run first: its row is damaged")
