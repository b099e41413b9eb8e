"""Part 3 D: what a person was told about can be taken away, and the record still verifies."""

import json
from pathlib import Path

from tests.acceptance.workshop import is_sound, magsag
from tests.unit.trip import write_trip

CANARY = "ann-of-green-gables"


def bytes_of(folder: Path) -> bytes:
    """All that the project's own folder for facts holds."""
    return b"".join(path.read_bytes() for path in sorted((folder / ".magsag").rglob("*")) if path.is_file())


def test_no_byte_of_an_erased_run_is_left(tmp_path: Path) -> None:
    home = write_trip(tmp_path / "home")
    asked = json.dumps({"who": CANARY})
    for run in ("first", "second"):
        assert magsag("agent", "run", "trip-mag", "--run-id", run, cwd=home, stdin=asked).code == 0
    assert magsag("run", "fork", "first", "--from", "pack", "--run-id", "copy", cwd=home).code in (0, 2)
    assert magsag("run", "search", "gables", "--json", cwd=home).value != []
    assert CANARY.encode() in bytes_of(home)
    chain = magsag("run", "facts", "first", "--json", cwd=home).value

    refused = magsag("run", "erase", "first", cwd=home)
    assert (refused.code, "--yes" in refused.err) == (2, True)
    for run in [row["run"] for row in magsag("run", "list", "--json", cwd=home).value]:
        assert magsag("run", "erase", run, "--yes", cwd=home).code == 0

    assert CANARY.encode() not in bytes_of(home)
    assert magsag("run", "search", "gables", "--json", cwd=home).value == []
    assert is_sound(home)
    after = magsag("run", "facts", "first", "--json", cwd=home).value
    assert [fact["kind"] for fact in after[: len(chain)]] == [fact["kind"] for fact in chain]
    assert {fact["kind"] for fact in after[len(chain) :]} == {"PayloadErased"}
    shown = magsag("run", "show", "first", cwd=home)
    assert (shown.code, "its payloads are gone" in shown.out) == (0, True)
    about = magsag("run", "show", "first", "--json", cwd=home).value
    assert about["created"] < about["ended"] < about["updated"], "an erasure is no part of the run's time"
    assert magsag("run", "tree", "first", cwd=home).code == 0
    replayed = magsag("run", "replay", "first", cwd=home)
    assert (replayed.code, "payloads of it were erased, so it cannot be replayed" in replayed.err) == (2, True)
    again = magsag("agent", "run", "--resume", "first", cwd=home)
    assert (again.code, "was erased" in again.err) == (2, True)


def test_open_runs_and_parts_of_runs_are_refused(tmp_path: Path) -> None:
    home = write_trip(tmp_path / "home")
    assert magsag("agent", "run", "send-mag", "--run-id", "waits", cwd=home, stdin='{"of": "x"}').code == 3
    refused = magsag("run", "erase", "waits", "--yes", cwd=home)
    assert (refused.code, "once it has ended" in refused.err) == (2, True)
    assert magsag("run", "cancel", "waits", cwd=home).code == 0
    assert magsag("run", "erase", "waits", "--yes", "--json", cwd=home).value["facts"] > 0
    assert magsag("run", "erase", "waits", "--yes", "--json", cwd=home).value["facts"] == 0
    assert is_sound(home)
