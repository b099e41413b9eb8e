"""The gate proof: all runners and surfaces decide alike, and one that judges without the policy makes it fail."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

pytestmark = pytest.mark.measured


LAWLESS: Final = """\
import json
from magsag.adapters.proofs.gate_scene import PYTHON
from magsag.app import build
from magsag.domain.settings import Settings
from magsag.services.proofs.gate import Asked

program = "from magsag.testing import lawless\\nlawless()\\n" + PYTHON
app = build(Settings(project=".", catalog="catalog", ledger="ledger.db"))
with app.gate_proof({"lawless": program}) as proof:
    tally = proof.prove(Asked(("local",), cases=20, surfaces=("python",)))
print(json.dumps({"hashes": tally.hashes, "wrong": tally.wrong}))
"""


def ran(folder: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert list(folder.iterdir()) == []
    return {**told, "code": done.returncode}


@pytest.mark.parametrize(("cases", "seed"), [(20, 18), pytest.param(500, 0, marks=pytest.mark.prove)])
@pytest.mark.timeout(900)
def test_every_runner_and_surface_decides_alike_and_denies_all_without_policies(
    tmp_path: Path, cases: int, seed: int
) -> None:
    told = ran(tmp_path, "-m", "magsag", "prove", "gate", "--cases", str(cases), "--seed", str(seed), "--json")
    assert (told["code"], told["wrong"], told["holds"]) == (0, [], True)
    assert list(told["hashes"]) == ["local/cli", "local/python", "workers/cli", "workers/python"]
    assert len(set(told["hashes"].values())) == 1
    assert sum(told["decisions"].values()) > 0.9 * cases
    assert min(told["decisions"].values()) > 0
    assert min(told["denied"].values()) > 20


@pytest.mark.timeout(300)
def test_a_surface_that_judges_without_the_policy_fails_the_proof(tmp_path: Path) -> None:
    told = ran(tmp_path, "-c", LAWLESS)
    assert len(set(told["hashes"].values())) == 2
    assert any("local/lawless and local/python" in line for line in told["wrong"])
    assert any("local/lawless, policies gone" in line and "is allow" in line for line in told["wrong"])
    assert not any(line.startswith("local/python") for line in told["wrong"])


@pytest.mark.parametrize(
    ("named", "said"), [("moon", "this version has local, workers"), (",", "name one of local, workers")]
)
def test_an_unknown_runner_or_none_is_told_which_there_are(tmp_path: Path, named: str, said: str) -> None:
    command = [sys.executable, "-m", "magsag", "prove", "gate", "--runners", named]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, said in done.stderr) == (2, True)
