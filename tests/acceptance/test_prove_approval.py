"""The approval proof: it holds on the product's store, and fails on one that forgets what people answered."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from magsag.testing.postgres import Cluster

pytestmark = pytest.mark.measured


HEEDLESS: Final = """\
from pathlib import Path
from magsag.adapters.store.sqlite import SqliteStore
from magsag.app import build
from magsag.domain.settings import Settings
from magsag.services.proofs.approval import Asked
from magsag.testing import heedless

app = build(Settings(project=".", catalog="catalog", ledger="ledger.db"))
with app.approval_proof(open_ledger=lambda ledger, folder: heedless(SqliteStore(Path(ledger)))) as proof:
    tally = proof.prove(Asked(decisions=160))
print("\\n".join(tally.wrong))
"""


def ran(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)


@pytest.mark.timeout(300)
def test_two_hundred_answers_at_once_with_a_process_killed_are_counted_once_each(tmp_path: Path) -> None:
    done = ran(tmp_path, "-m", "magsag", "prove", "approval", "--procs", "4", "--restart", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert (told["decisions"], told["kills"]) == (200, 1)
    assert (told["approvals"], told["people"], told["effects"]) == (20, 20, 1)
    assert told["altered"] > 20
    assert (told["altered_effects"], told["wrong"], told["holds"]) == (0, [], True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs("postgres")
@pytest.mark.timeout(300)
def test_it_holds_on_postgres_and_leaves_no_schema(tmp_path: Path, cluster: Cluster) -> None:
    place = ("--store", "postgres", "--dsn", cluster.plain_dsn())
    done = ran(tmp_path, "-m", "magsag", "prove", "approval", "--restart", "--seed", "7", "--json", *place)
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert (told["decisions"], told["kills"], told["approvals"], told["effects"]) == (200, 1, 20, 1)
    assert (told["altered_effects"], told["holds"]) == (0, True)
    with psycopg.connect(cluster.plain_dsn()) as connection:
        assert connection.execute("select 1 from pg_namespace where nspname like 'magsag_proof_%'").fetchall() == []


@pytest.mark.timeout(300)
def test_a_store_that_forgets_answers_fails_the_proof(tmp_path: Path) -> None:
    wrong = ran(tmp_path, "-c", HEEDLESS).stdout
    assert "the quorum is 20" in wrong
    assert "times" in wrong
