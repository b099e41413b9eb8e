"""What `doctor` sees of the anchors: whether they are there, how far they go, who could rewrite them."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.adapters.store.sqlite import SqliteStore
from magsag.domain.ids import RunId
from magsag.services.desk.looks import Line, anchors_line
from magsag.testing.sample_runs import begin, end


def looked(folder: Path, environment: str = "development", **said: Any) -> Line:
    with closing(SqliteStore(folder / "ledger.db")) as store:
        line = anchors_line(store, {**store.describe(), **said}, environment)
        assert line is not None
        return line


def finish(folder: Path, run: RunId) -> None:
    with closing(SqliteStore(folder / "ledger.db")) as store:
        end(store, begin(store, run))


def test_a_ledger_in_memory_has_none() -> None:
    store = MemoryStore()
    assert anchors_line(store, store.describe(), "development") is None


def test_before_anything_came_to_rest_there_are_none_yet(tmp_path: Path) -> None:
    assert (looked(tmp_path).state, "none yet" in looked(tmp_path).text) == ("ok", True)


def test_how_far_they_go_and_who_could_rewrite_them(tmp_path: Path) -> None:
    for run in ("one", "two"):
        finish(tmp_path, RunId(run))
    line = looked(tmp_path)
    assert (line.state, "2 lines, the last of 20" in line.text) == ("ok", True)
    assert line.text.endswith("this account could rewrite them")
    assert looked(tmp_path, "production").state == "warn"
    sealed = looked(tmp_path, "production", anchors_writable=False)
    assert (sealed.state, sealed.text.endswith("cannot write them"), sealed.mend) == ("ok", True, "")


SPOILT: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "missing": (Path.unlink, "fail", "missing, though runs have ended"),
    "emptied": (lambda path: path.write_bytes(b""), "fail", "missing, though runs have ended"),
    "changed": (lambda path: path.write_bytes(path.read_bytes().replace(b'"n":2', b'"n":3')), "fail", "last line"),
    "torn": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "ok", "1 lines"),
    "cut": (lambda path: path.write_bytes(path.read_bytes().splitlines(keepends=True)[0]), "ok", "1 lines"),
    "very long": (lambda path: path.write_bytes(b"x" * 200_000 + b"\n" + path.read_bytes()), "ok", "2 lines"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_became_of_the_file(tmp_path: Path, name: str) -> None:
    for run in ("one", "two"):
        finish(tmp_path, RunId(run))
    spoil, state, said = SPOILT[name]
    spoil(tmp_path / "anchors.log")
    line = looked(tmp_path)
    assert (line.state, said in line.text) == (state, True), line
