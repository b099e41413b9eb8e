"""The audit proof: it holds on both stores, and fails where the anchors are not looked at or nothing is changed."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from magsag.app import build
from magsag.domain.settings import Settings
from magsag.ports.auditing import Evidence, Verified
from magsag.services.proofs.audit import Asked, AuditProof, Tally, Trial
from magsag.services.proofs.edits import Edit
from magsag.testing.postgres import Cluster


def proved(folder: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "magsag", "prove", "audit", "--json", *arguments]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert list(folder.iterdir()) == []
    return told


def holds(told: dict[str, Any], mutations: int) -> None:
    assert (told["found"], told["found_alone"]) == (mutations, mutations)
    assert (told["copies"], told["false_alarms"], told["wrong"], told["holds"]) == (4, 0, [], True)
    assert sum(told["kinds"].values()) == mutations
    assert len(told["kinds"]) == 7


def test_every_tampering_is_found_and_nothing_else(tmp_path: Path) -> None:
    holds(proved(tmp_path, "--mutations", "42", "--seed", "7"), 42)


@pytest.mark.needs("postgres")
def test_it_holds_on_postgres_and_leaves_no_schema(tmp_path: Path, cluster: Cluster) -> None:
    place = ("--store", "postgres", "--dsn", cluster.plain_dsn())
    holds(proved(tmp_path, "--mutations", "14", *place), 14)
    with psycopg.connect(cluster.plain_dsn()) as connection:
        found = connection.execute("select nspname from pg_namespace where nspname like 'magsag_proof_%'").fetchall()
    assert found == []


@pytest.mark.prove
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_a_thousand_tamperings_are_found(tmp_path: Path, seed: str) -> None:
    holds(proved(tmp_path, "--mutations", "1000", "--seed", seed), 1000)


@pytest.mark.prove
@pytest.mark.timeout(900)
@pytest.mark.needs("postgres")
def test_a_thousand_tamperings_are_found_on_postgres(tmp_path: Path, cluster: Cluster) -> None:
    holds(proved(tmp_path, "--mutations", "1000", "--store", "postgres", "--dsn", cluster.plain_dsn()), 1000)


class Without:
    """A trial of which the judgement is told without some faults, or into which no edit comes."""

    def __init__(self, trial: Trial, faults: str | None = None, edits: bool = True) -> None:
        self._trial, self._faults, self._edits = trial, faults, edits

    def tampered(self, edits: Sequence[Edit]) -> tuple[int, Verified, list[Evidence]]:
        changed, verified, found = self._trial.tampered(edits if self._edits else ())
        left = [fault for fault in verified.faults if self._faults is None or self._faults not in fault.what]
        return changed, replace(verified, faults=left), found


class Scene:
    """The product's scene with another trial."""

    def __init__(self, proof: AuditProof, **without: Any) -> None:
        self._scene, self._without = proof.scene, without

    def stages(self) -> Iterator[str]:
        yield from self._scene.stages()

    def trial(self) -> Trial:
        return Without(self._scene.trial(), **self._without)


@contextmanager
def spoilt(folder: Path, mutations: int, **without: Any) -> Iterator[Tally]:
    app = build(Settings(project=str(folder), catalog=str(folder / "catalog"), ledger=str(folder / "ledger.db")))
    with app.audit_proof() as proof:
        yield AuditProof(Scene(proof, **without)).prove(Asked(mutations))


def test_a_judgement_that_does_not_look_at_anchors_fails_the_proof(tmp_path: Path) -> None:
    with spoilt(tmp_path, 21, faults="anchored") as tally:
        assert not tally.holds
        assert tally.found < tally.found_alone == 21
        assert any("the chain written anew: not found by audit verify" in line for line in tally.wrong)


def test_tampering_that_changes_nothing_fails_the_proof(tmp_path: Path) -> None:
    with spoilt(tmp_path, 7, edits=False) as tally:
        assert (tally.holds, tally.found) == (False, 0)
        assert [line.rpartition(": ")[2] for line in tally.wrong] == ["it changed nothing"] * 7
