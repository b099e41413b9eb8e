"""Archives of ended runs: what is in them, what is refused, and that a run comes out as it went in."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from magsag.domain.errors import Invalid, Refused
from magsag.domain.ids import RunId
from magsag.services.driving.runs import Order
from magsag.services.keeping.archive import Archived, line_of
from tests.unit.test_parcels import R, bench, elsewhere, rows, with_open_secret
from tests.unit.world import Bench

ASKS = "await ctx.skill('pure', 1)\nreturn await ctx.skill('asks', 2) if payload else 3"


def archive(made: Bench, folder: Path, days: int = 7) -> Archived:
    return made.app.archives.write(str(folder / "old"), days, lambda _: None)


def manifest(folder: Path) -> Any:
    return json.loads((folder / "old/manifest.json").read_text())


def test_the_manifest_counts_and_hashes_what_is_there(tmp_path: Path) -> None:
    made = bench(tmp_path / "project")
    archived = archive(made, tmp_path)
    told = manifest(tmp_path)
    assert (archived.trees, archived.runs, told["trees"], told["runs"]) == (1, 2, 1, 2)
    assert told["facts"] == archived.facts == sum(row[0] for row in rows(made.store).values())
    assert sorted(path.name for path in (tmp_path / "old").iterdir()) == sorted(
        ["manifest.json", *(file["name"] for file in told["files"])]
    )
    for file in told["files"]:
        data = (tmp_path / "old" / file["name"]).read_bytes()
        assert (len(data), data.count(b"\n")) == (file["bytes"], file["lines"])
        assert sha256(data).hexdigest() == file["sha256"]


def test_a_run_comes_out_as_it_went_in(tmp_path: Path) -> None:
    made = bench(tmp_path / "project")
    archive(made, tmp_path)
    store, app = elsewhere(made)
    app.parcels.take_in(line_of(tmp_path / "old", R), "old")
    assert rows(store) == rows(made.store)
    assert store.check() == []
    assert app.parcels.export(R) == made.app.parcels.export(R)


def test_runs_that_have_not_ended_and_those_of_earlier_days_stay_out(tmp_path: Path) -> None:
    made = bench(tmp_path / "project", ASKS)
    assert archive(made, tmp_path).trees == 0
    made.time.run(made.app.runs.run(Order("agent:main", 0, run_id="ended")))
    made.time.clock.advance(3 * 86_400)
    assert made.app.archives.write(str(tmp_path / "none"), 2, lambda _: None).trees == 0
    assert made.app.archives.write(str(tmp_path / "all"), 3, lambda _: None).trees == 1
    with pytest.raises(Invalid, match="run r is not in"):
        line_of(tmp_path / "all", R)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    made = bench(tmp_path / "project")
    archive(made, tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "old").iterdir()}
    with pytest.raises(Invalid, match="exists"):
        archive(made, tmp_path)
    assert {path: path.read_bytes() for path in (tmp_path / "old").iterdir()} == before
    with pytest.raises(Invalid, match="on this machine"):
        made.app.archives.write("s3://bucket/old", 7, lambda _: None)


def test_an_open_secret_is_not_archived_and_leaves_no_half_of_one(tmp_path: Path) -> None:
    made = bench(tmp_path / "project")
    with_open_secret(made)
    with pytest.raises(Refused, match="marked x-redact"):
        archive(made, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


def test_a_changed_archive_is_refused(tmp_path: Path) -> None:
    made = bench(tmp_path / "project")
    archive(made, tmp_path)
    for path in (tmp_path / "old").glob("*.ndjson"):
        data = path.read_bytes()
        path.write_bytes(data.replace(b"1", b"2", 1))
        with pytest.raises(Invalid, match="it was changed"):
            line_of(tmp_path / "old", R)
        path.write_bytes(data)
    (tmp_path / "old/manifest.json").unlink()
    with pytest.raises(Invalid, match="is no archive"):
        line_of(tmp_path / "old", RunId("r"))
