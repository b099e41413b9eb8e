"""The budget proof: it holds on the product's stores, and fails on ones that do not check or do not settle."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from magsag.testing.postgres import Cluster

pytestmark = pytest.mark.measured


BROKEN: Final = """\
from pathlib import Path
from magsag.adapters.store.sqlite import SqliteStore
from magsag.app import build
from magsag.domain.settings import Settings
from magsag.services.proofs.budget import Asked
from magsag.testing.spendthrift import {broken}

app = build(Settings(project=".", catalog="catalog", ledger="ledger.db"))
with app.budget_proof(open_ledger=lambda ledger, folder: {broken}(SqliteStore(Path(ledger)))) as proof:
    tally = proof.prove(Asked(processes=2, tasks=16, kills=0))
print("\\n".join(tally.wrong))
"""


def ran(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)


def proved(folder: Path, *arguments: str) -> dict[str, Any]:
    done = ran(folder, "-m", "magsag", "prove", "budget", "--json", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.timeout(300)
def test_four_processes_of_which_ten_are_killed_never_spend_more_than_the_cap_and_use_it(tmp_path: Path) -> None:
    told = proved(tmp_path)
    assert (told["tasks"], told["kills"], told["held"], told["wrong"]) == (64, 10, 0, [])
    assert told["cap"] >= told["highest"] >= told["spent"] > 0.95 * told["cap"]
    assert told["refused"] > 0
    assert told["assumed"] > 0
    assert told["looks"] > 10
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(300)
def test_it_holds_with_few_tasks_and_more_kills_than_tasks(tmp_path: Path) -> None:
    told = proved(tmp_path, "--tasks", "4", "--procs", "2", "--kills", "6", "--seed", "99")
    assert (told["kills"], told["held"], told["wrong"]) == (6, 0, [])


@pytest.mark.needs("postgres")
@pytest.mark.timeout(300)
def test_it_holds_on_postgres_and_leaves_no_schema(tmp_path: Path, cluster: Cluster) -> None:
    place = ("--store", "postgres", "--dsn", cluster.plain_dsn())
    told = proved(tmp_path, "--seed", "7", "--tasks", "32", "--kills", "5", *place)
    assert (told["kills"], told["held"], told["holds"]) == (5, 0, True)
    with psycopg.connect(cluster.plain_dsn()) as connection:
        assert connection.execute("select 1 from pg_namespace where nspname like 'magsag_proof_%'").fetchall() == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("broken", "said"), [("spendthrift", "the cap is"), ("leaky", "is still held back")])
def test_a_store_that_does_not_keep_budgets_fails_the_proof(tmp_path: Path, broken: str, said: str) -> None:
    (tmp_path / "prove.py").write_text(BROKEN.format(broken=broken), encoding="utf-8")
    done = ran(tmp_path, "prove.py")
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
