"""What `doctor` says of a machine, a ledger, a catalog and models that are not as they should be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from magsag.adapters.machine import probe
from magsag.adapters.store.memory import MemoryStore
from magsag.domain.errors import Invalid, StoreBroken
from magsag.domain.location import is_postgres
from magsag.domain.settings import Features, Sandboxing, Settings
from magsag.ports.ledger import Store
from magsag.services.desk.health import Health, Machine, Openers
from magsag.services.desk.looks import Line
from magsag.testing import FrozenClock
from tests.unit.catalogs import loaded
from tests.unit.ledgers import began, put

WELL = Machine((3, 12, 1), "3.45.0", True, 10**12)


def looked(
    folder: Path, machine: Machine = WELL, settings: Mapping[str, Any] | None = None, **opened: Any
) -> dict[str, Line]:
    """The lines by name; `opened` gives what is opened, an exception is raised."""
    ledger = folder / "ledger.db"
    if "store" in opened:
        ledger.touch()

    def opener(name: str, default: Any) -> Any:
        thing = opened.get(name, default)
        if isinstance(thing, Exception):
            raise thing
        return thing

    health = Health(
        Settings(**{"project": str(folder), "catalog": "catalog", "ledger": str(ledger), **(settings or {})}),
        Openers(
            lambda: opener("store", MemoryStore()),
            lambda: opener("catalog", loaded(folder)),
            lambda: opener("models", {}),
            lambda _: machine,
            lambda ledger: is_postgres(ledger) or Path(ledger).exists(),
        ),
        FrozenClock(),
    )
    return {line.name: line for line in health.lines()}


def test_all_is_well_where_nothing_is_wrong(tmp_path: Path) -> None:
    lines = looked(tmp_path)
    assert {line.state for line in lines.values()} == {"ok"}
    assert "none yet" in lines["ledger"].text


def test_a_poor_machine_is_told(tmp_path: Path) -> None:
    lines = looked(tmp_path, Machine((3, 10, 0), "3.20.0", False, 10_000_000))
    assert [(lines[name].state, bool(lines[name].mend)) for name in ("python", "sqlite", "disk")] == [
        ("fail", True),
        ("warn", True),
        ("fail", True),
    ]
    assert looked(tmp_path, Machine((3, 11, 0), "3.40.0", True, 500_000_000))["disk"].state == "warn"


def test_a_ledger_that_does_not_open_fails(tmp_path: Path) -> None:
    lines = looked(tmp_path, store=StoreBroken("ledger.db: no database"))
    assert (lines["ledger"].state, lines["ledger"].text) == ("fail", "ledger.db: no database")


def test_of_a_database_neither_the_disk_nor_a_check_that_fails_alike_is_told(tmp_path: Path) -> None:
    low = Machine((3, 12, 1), "3.45.0", True, 10_000_000)
    lines = looked(tmp_path, low, {"ledger": "postgresql://me@host/db"}, store=StoreBroken("nobody answers"))
    assert (lines["ledger"].state, lines["ledger"].mend) == ("fail", "magsag config show")
    assert "where the project is" in lines["disk"].text
    assert lines["disk"].mend == "free some space"


class Slow(MemoryStore):
    """A store on a disk that cannot have a write-ahead log, with a lock folder that may not be written."""

    def describe(self) -> dict[str, object]:
        return {**super().describe(), "journal_mode": "delete", "schema": 1}

    def owner(self) -> Any:
        raise StoreBroken("no lock can be taken")


def test_the_journal_the_locks_and_runs_without_a_driver_are_told(tmp_path: Path) -> None:
    store: Store = Slow()
    put(store, "r1", began())
    lines = looked(tmp_path, store=store)
    assert (lines["journal"].state, lines["locks"].state) == ("warn", "fail")
    assert lines["run"].mend == "magsag agent run --resume r1"


def test_models_catalog_and_switches_are_told(tmp_path: Path) -> None:
    off = {"features": Features(approvals=False)}
    lines = looked(tmp_path, settings=off, models=Invalid("no file"), catalog=Invalid("no folder"))
    assert [lines[name].state for name in ("models", "catalog", "features")] == ["fail", "fail", "warn"]


def test_this_machine_can_be_looked_at(tmp_path: Path) -> None:
    found = probe(str(tmp_path))
    assert found.python >= (3, 11, 0)
    assert found.free_bytes > 0


def test_a_path_to_read_that_is_not_there_is_told(tmp_path: Path) -> None:
    given = Sandboxing(read=(str(tmp_path), str(tmp_path / "gone")))
    line = looked(tmp_path, settings={"sandbox": given})["sandbox"]
    assert (line.state, line.text) == ("warn", f"[sandbox] read: {tmp_path}/gone is not there")
