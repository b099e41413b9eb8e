"""Exports, and the verifier that goes with them: it needs nothing of MAGSAG and comes to the same judgement."""

import ast
import json
import shutil
import sqlite3
import stat
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from magsag.adapters.store.claims import lines_at
from magsag.adapters.store.memory import MemoryStore
from magsag.adapters.store.sqlite import SqliteStore
from magsag.domain.effects import EFFECTFUL
from magsag.domain.errors import Invalid, Refused
from magsag.domain.facts import ENDS
from magsag.domain.ids import RunId
from magsag.engine.table import STEP_MOVES
from magsag.ports.ledger import Store
from magsag.services.keeping import verify_export
from magsag.services.keeping.audit_export import AuditExports, Exported, lines_of
from magsag.services.keeping.erasing import Erasing
from magsag.services.keeping.verification import Verification, report
from magsag.services.keeping.verify_export import judged
from magsag.services.recording.parcel import Parcel
from magsag.testing.clock import FrozenClock
from magsag.testing.moving_suite import furnish
from magsag.testing.sample_runs import RUN, append, begin, done, end
from tests.contract import test_audit_finds as finds
from tests.contract import test_store_check as check
from tests.contract.test_audit_finds import CHANGES, change, forge, path, rewrite

__all__ = ["path"]
SOURCE = Path(str(verify_export.__file__))


class Open:
    """Finds no open secret, or one in some trees."""

    def __init__(self, *roots: str, everywhere: bool = False) -> None:
        self.roots, self.everywhere = roots, everywhere

    def require_closed(self, parcel: Parcel) -> None:
        if parcel.root in self.roots:
            raise Refused("a secret shows")

    def require_no_secret(self, parcel: Parcel) -> None:
        if self.everywhere and parcel.root in self.roots:
            raise Refused("a secret shows in a body")


def exported(path: Path, to: Path, parcels: Open | None = None, run: str | None = None) -> Exported:
    with closing(SqliteStore(path)) as store:
        return AuditExports(lambda: store, lambda: parcels or Open(), FrozenClock()).write(str(to), run)


def alone(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The verifier as an auditor runs it: isolated, without site packages."""
    return subprocess.run([sys.executable, "-I", "-S", *arguments], capture_output=True, text=True, check=False)


def verdicts(path: Path) -> tuple[bool, bool]:
    """Whether the product and the verifier of its export find the ledger sound."""
    with closing(SqliteStore(path)) as store:
        lines = json.loads(json.dumps(list(lines_of(store.evidence()))))
        return report(store.verify()).is_sound, not judged(lines, lines_at(path.with_name("anchors.log")))[0]


def test_an_untouched_export_is_sound_and_says_how_far_anchors_reach(path: Path, tmp_path: Path) -> None:
    told = exported(path, tmp_path / "out")
    assert (told.runs, told.facts, told.withheld) == (3, 12, ())
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "README.md", "anchors.log", "ledger.ndjson", "verify.py",
    ]  # fmt: skip
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "out").iterdir()} == {0o600}
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    said = alone(str(tmp_path / "out" / "verify.py"), str(tmp_path / "out"))
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout == ("everything is as it was written\n3 runs, 12 facts, the anchors vouch for 12 of them\n")


@pytest.mark.parametrize("name", CHANGES)
def test_it_finds_what_the_product_finds(path: Path, name: str) -> None:
    assert verdicts(path) == (True, True)
    change(path, CHANGES[name][0])
    assert verdicts(path) == (False, False)


@pytest.mark.parametrize("name", sorted(check.CHANGES.keys() - {"a status that does not exist", "an unknown reason"}))
def test_it_finds_what_a_check_finds(tmp_path: Path, name: str) -> None:
    ledger = check.ledger.__wrapped__(tmp_path / "ledger.db")  # type: ignore[attr-defined]
    for statement in check.CHANGES[name][0].split(";"):
        check.change(ledger, statement.strip().replace(":run", f"'{RUN}'"))
    assert verdicts(ledger) == (False, False)


@pytest.mark.parametrize("name", check.ANCHORS)
def test_it_finds_changed_anchors(path: Path, name: str) -> None:
    with closing(SqliteStore(path)) as store:
        end(store, begin(store, RunId("next")))
    anchors = path.with_name("anchors.log")
    anchors.write_text("".join(check.ANCHORS[name][0](anchors.read_text().splitlines(keepends=True))))
    assert verdicts(path) == (False, False)


def test_it_finds_rewritten_chains(path: Path) -> None:
    rewrite(path, RUN, b'"by":"maria"', b'"by":"bruno"')
    change(path, "update approvals set body = replace(cast(body as text), 'maria', 'bruno')")
    assert verdicts(path) == (False, False)


def test_a_copy_of_the_anchors_that_holds_nothing_is_refused(path: Path, tmp_path: Path) -> None:
    copy, out = tmp_path / "copy.log", tmp_path / "out"
    exported(path, out)
    with closing(SqliteStore(path)) as store:
        for data in (None, b"", b"half a line"):
            if data is not None:
                copy.write_bytes(data)
            said = alone(str(SOURCE), str(out), "--anchors", str(copy))
            assert (said.returncode, said.stdout, said.stderr.startswith(f"--anchors {copy}: ")) == (2, "", True)
            with pytest.raises(Invalid, match=r"copy\.log: "):
                Verification(lambda: store).verify(None, str(copy), print)
    copy.write_bytes((out / "anchors.log").read_bytes().splitlines(keepends=True)[0])
    said = alone(str(SOURCE), str(out), "--anchors", str(copy))
    assert (said.returncode, "believed: 1 lines of the copy; the anchors of" in said.stdout) == (0, True)
    with closing(SqliteStore(path)) as store:
        told = store.verify(copy=copy).anchors
        assert told is not None
        assert (told.copied, told.lines > 1) == (1, True)


def test_an_export_of_nothing_is_not_called_sound(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "empty.db")):
        exported(tmp_path / "empty.db", tmp_path / "out")
    said = alone(str(SOURCE), str(tmp_path / "out"))
    assert (said.returncode, said.stdout) == (1, "nothing to verify: this export holds no run and no anchors\n")
    said = alone(str(SOURCE), str(tmp_path / "nothing"))
    assert said.stderr.startswith(f"this export cannot be read: {tmp_path / 'nothing'}")


def test_with_a_copy_of_the_anchors_it_finds_a_ledger_rewritten_with_them(path: Path, tmp_path: Path) -> None:
    copy = shutil.copy(path.with_name("anchors.log"), tmp_path / "copy.log")
    rewrite(path, RUN, b'"by":"maria"', b'"by":"bruno"')
    change(path, "update approvals set body = replace(cast(body as text), 'maria', 'bruno')")
    forge(path)
    exported(path, tmp_path / "out")
    assert alone(str(SOURCE), str(tmp_path / "out")).returncode == 0
    said = alone(str(SOURCE), str(tmp_path / "out"), "--anchors", str(copy))
    assert said.returncode == 1
    assert "the anchors do not begin with the copy" in said.stdout
    assert f"run {RUN}, fact 1: the chain up to fact 8 is not the one that was anchored" in said.stdout


def test_erased_and_vacuumed_ledgers_are_sound(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        Erasing(store, FrozenClock()).erase(RUN, "ann")
        assert verdicts(path) == (True, True)
        assert store.vacuum(1 << 60, dry_run=False).runs == 2
    assert verdicts(path) == (True, True)


def test_a_tree_with_an_open_secret_goes_without_payloads_and_is_judged_all_the_same(
    path: Path, tmp_path: Path
) -> None:
    told = exported(path, tmp_path / "out", Open(RUN))
    assert told.withheld == (RUN,)
    lines = [json.loads(line) for line in (tmp_path / "out" / "ledger.ndjson").read_bytes().splitlines()]
    mine = [line for line in lines if line["sort"] == "fact" and line["run"].startswith(RUN)]
    assert {(line["input"], line["output"], line["salt"]) for line in mine} == {(None, None, None)}
    assert [line["body"] for line in lines if line["sort"] == "blob"] == [None]
    said = alone(str(SOURCE), str(tmp_path / "out"))
    assert said.returncode == 0
    assert "withheld, and not judged here: the payloads of 11 facts and large values" in said.stdout
    change(path, f"update facts set input = '[]' where run = '{RUN}' and seq = 1")
    exported(path, tmp_path / "other", Open(RUN))
    said = alone(str(SOURCE), str(tmp_path / "other"))
    assert "fact 1: its payload was withheld, and does not match its commitment" in said.stdout


def test_a_secret_that_cannot_be_withheld_refuses_the_export(path: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="in a body"):
        exported(path, tmp_path / "out", Open(RUN, everywhere=True))
    assert not (tmp_path / "out").exists()


def test_one_run_is_exported_with_its_tree(path: Path, tmp_path: Path) -> None:
    assert (exported(path, tmp_path / "out", run=RUN).runs) == 2
    assert alone(str(SOURCE), str(tmp_path / "out")).returncode == 0
    with pytest.raises(Invalid, match="is not in the ledger"):
        exported(path, tmp_path / "other", run="nobody")
    with pytest.raises(Invalid, match="exists"):
        exported(path, tmp_path / "out")


def added(folder: Path, *rows: Mapping[str, object]) -> None:
    """Somebody writes more rows into an export; one that is there already is replaced."""
    lines = [json.loads(line) for line in (folder / "ledger.ndjson").read_bytes().splitlines()]
    sorts = {row["sort"] for row in rows if row["sort"] == "about"}
    kept = [line for line in lines if line["sort"] not in sorts]
    (folder / "ledger.ndjson").write_text("".join(json.dumps(line) + "\n" for line in [*kept, *rows]))


def test_a_run_that_is_there_is_excused_by_nothing(path: Path, tmp_path: Path) -> None:
    rewrite(path, RUN, b'"by":"maria"', b'"by":"bruno"')
    change(path, "update approvals set body = replace(cast(body as text), 'maria', 'bruno')")
    exported(path, tmp_path / "out")
    added(tmp_path / "out", {"sort": "vacuumed", "run": RUN})
    said = alone(str(SOURCE), str(tmp_path / "out"))
    assert (said.returncode, "is not the one that was anchored" in said.stdout) == (1, True)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"sort": "vacuumed", "run": "parked"}, "gone, and vacuumed by the word of the export alone: 1 runs"),
        ({"sort": "about", "whole": False}, "a part of a ledger, says the export: 1 anchored runs are not in it"),
    ],
)
def test_what_only_the_export_excuses_is_told_and_not_believed_beside_a_copy(
    path: Path, tmp_path: Path, row: dict[str, object], told: str
) -> None:
    change(path, "delete from facts where run = 'parked'")
    change(path, "delete from runs where run = 'parked'")
    exported(path, tmp_path / "out")
    added(tmp_path / "out", row)
    said = alone(str(SOURCE), str(tmp_path / "out"))
    assert (said.returncode, told in said.stdout) == (0, True)
    copy = str(path.with_name("anchors.log"))
    said = alone(str(SOURCE), str(tmp_path / "out"), "--anchors", copy)
    assert (said.returncode, "run parked: it was anchored and is not here" in said.stdout) == (1, True)
    asked_for = alone(str(SOURCE), str(tmp_path / "out"), "--anchors", copy, "--part")
    assert asked_for.returncode == (0 if row["sort"] == "about" else 1)


@pytest.mark.parametrize("body", ["[" * 100_000, '{"kind":"RunStarted","at":1,"by":' + "[" * 100_000])
def test_a_value_too_deep_to_read_is_a_fault(path: Path, tmp_path: Path, body: str) -> None:
    change(path, f"update facts set body = '{body}', output = '{body}' where run = '{RUN}' and seq = 7")
    exported(path, tmp_path / "out", Open(RUN))
    said = alone(str(SOURCE), str(tmp_path / "out"))
    assert (said.returncode, said.stderr) == (1, "")
    assert f"run {RUN}, fact 7: the body does not match its digest" in said.stdout


def test_an_end_that_is_owed_by_the_word_of_the_export_is_told(path: Path, tmp_path: Path) -> None:
    exported(path, tmp_path / "out")
    (tmp_path / "out" / "anchors.log").write_bytes(b"")
    added(tmp_path / "out", *({"sort": "owed", "run": run} for run in (RUN, f"{RUN}.sub#1")))
    said = alone(str(SOURCE), str(tmp_path / "out"))
    assert (said.returncode, "owed by the word of the export alone: 2 runs" in said.stdout) == (0, True)


@pytest.mark.parametrize(
    "statement",
    [
        "select 1",
        f"delete from runs where run = '{RUN}'",
        "delete from runs",
        f"update runs set root = 'nobody' where run = '{RUN}'",
        "update blobs set root = 'nobody'",
        "update facts set run = 'nobody' where run = 'parked'",
        "update approvals set run = 'nobody'",
    ],
)
def test_rows_that_belong_to_nothing_are_exported_too(path: Path, tmp_path: Path, statement: str) -> None:
    change(path, statement)
    exported(path, tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "ledger.ndjson").read_bytes().splitlines()]
    told = Counter(line["sort"] for line in lines)
    tables = {"run": "runs", "fact": "facts", "ticket": "approvals", "blob": "blobs", "bundle": "bundles"}
    with closing(sqlite3.connect(path)) as connection:
        rows = {sort: connection.execute(f"select count(*) from {name}").fetchone()[0] for sort, name in tables.items()}
    assert {sort: told[sort] for sort in tables} == rows


def test_an_export_holds_one_tree_at_a_time(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "ledger.db")) as store:
        for number in range(30):
            lease = begin(store, RunId(f"run{number}"))
            append(store, lease, done("big#1", "x" * 200_000), run=lease.root)
            end(store, lease)
    tracemalloc.start()
    try:
        told = exported(tmp_path / "ledger.db", tmp_path / "out")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (told.runs, (tmp_path / "out" / "ledger.ndjson").stat().st_size > 6_000_000) == (30, True)
    assert peak < 3_000_000


def test_a_refused_export_leaves_the_ledger_as_usable_as_it_was(path: Path, tmp_path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        exports = AuditExports(lambda: store, lambda: Open(RUN, everywhere=True), FrozenClock())
        with pytest.raises(Refused, match="in a body"):
            exports.write(str(tmp_path / "out"))
        end(store, begin(store, RunId("next")))
        assert store.check() == []


def test_what_is_no_export_is_said(path: Path, tmp_path: Path) -> None:
    assert alone(str(SOURCE)).returncode == 2
    assert alone(str(SOURCE), str(tmp_path / "nothing")).returncode == 4
    exported(path, tmp_path / "out")
    for line in ("{\n", "[" * 100_000, "[1]\n", '{"sort":"run"}\n'):
        (tmp_path / "out" / "ledger.ndjson").write_text(line)
        assert alone(str(SOURCE), str(tmp_path / "out")).returncode == 4


def test_every_store_tells_the_same_rows(tmp_path: Path) -> None:
    def rows(store: Store) -> list[str]:
        ignored = ("owed", "bundle")
        return sorted(json.dumps(line) for line in lines_of(store.evidence()) if line["sort"] not in ignored)

    memory = furnish(MemoryStore())
    with closing(SqliteStore(tmp_path / "ledger.db")) as store:
        kinds = {json.loads(row)["sort"] for row in rows(furnish(store))}
    assert kinds == {json.loads(row)["sort"] for row in rows(memory)} == {
        "run", "fact", "ticket", "standing", "record", "blob",
    }  # fmt: skip


def test_the_verifier_is_one_file_for_python_3_9_and_imports_the_standard_library_only() -> None:
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 9))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= set(sys.stdlib_module_names)


def test_the_verifier_knows_the_tables_of_the_engine() -> None:
    moves = {
        str(status): {fact.__name__: "" if len(to) > 1 else str(*to) for fact, to in moves.items()}
        for status, moves in STEP_MOVES.items()
    }
    assert moves == verify_export.MOVES
    assert {str(status) for status in ENDS} == verify_export.ENDS
    assert {str(effect) for effect in EFFECTFUL} == verify_export.EFFECTFUL


def test_these_ledgers_are_those_of_the_other_tests(path: Path) -> None:
    assert finds.judged(path).is_sound
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select count(*) from facts where kind = ?", (done("a#1").kind,)).fetchone() == (1,)
