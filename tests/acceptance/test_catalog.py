"""Part B: the catalog, checked and drawn by the real command."""

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Final

import pytest

FILES: Final = {
    "contracts/order.schema.json": """
        {"type": "object", "required": ["amount"], "additionalProperties": false,
         "properties": {"amount": {"type": "integer", "minimum": 0}}}
    """,
    "skills/pay/skill.yaml": """
        kind: skill
        schema: 1
        slug: pay
        version: 0.1.0
        entrypoint: skill.py:run
        effect: idempotent
        contracts: {input: order}
    """,
    "skills/pay/skill.py": "def run(payload):\n    return payload['amount']\n",
    "policies/pay.yaml": """
        kind: policy
        schema: 1
        rules:
          - {id: small, on: ["skill:pay"], when: args.amount < 100, verdict: allow}
    """,
    "flows/order.yaml": """
        kind: flow
        schema: 1
        slug: order
        version: 0.1.0
        contracts: {input: order}
        steps:
          - {id: pay, uses: "skill:pay", when: input.amount > 0}
    """,
}
FOUR_CAUSES: Final = {
    "skills/pay/skill.yaml": FILES["skills/pay/skill.yaml"].replace("        effect: idempotent\n", ""),
    "flows/order.yaml": """
        kind: flow
        schema: 1
        slug: order
        version: 0.1.0
        contracts: {input: order, output: receipt}
        steps:
          - {id: never, uses: "skill:pay", when: input.amount < 0}
          - {id: a, run: ["true"], effect: pure, needs: [b]}
          - {id: b, run: ["true"], effect: pure, needs: [a]}
    """,
}


def write(folder: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        file = folder / "catalog" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text), encoding="utf-8")


def magsag(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "magsag", *arguments]
    return subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "magsag.toml").write_text("")
    write(tmp_path, FILES)
    return tmp_path


def test_a_valid_catalog_has_no_findings(project: Path) -> None:
    done = magsag(project, "catalog", "validate")
    assert (done.returncode, done.stdout) == (0, "no findings\n")


def test_four_causes_are_four_findings_each_with_its_place_and_next_move(project: Path) -> None:
    write(project, FOUR_CAUSES)
    done = magsag(project, "catalog", "validate")
    assert done.returncode == 1
    *findings, count = done.stdout.splitlines()
    assert (len(findings), count) == (4, "4 findings")
    for finding in findings:
        file, line, column, _ = finding.split(":", 3)
        assert (project / file).exists()
        assert int(line) > 0
        assert int(column) > 0
        assert ";" in finding


def test_a_misspelt_field_in_a_condition_is_a_finding_at_its_column(project: Path) -> None:
    write(project, {"policies/pay.yaml": FILES["policies/pay.yaml"].replace("args.amount", "args.amuont")})
    done = magsag(project, "catalog", "validate")
    assert done.returncode == 1
    place = done.stdout.splitlines()[0]
    line, column = (int(part) for part in place.split(":")[1:3])
    text = (project / "catalog/policies/pay.yaml").read_text().splitlines()[line - 1]
    assert text[column - 1 :].startswith(("args.amuont", "amuont", ".amuont"))


def test_a_condition_on_what_is_not_there_denies(project: Path) -> None:
    open_contract = FILES["contracts/order.schema.json"].replace(
        '"additionalProperties": false', '"additionalProperties": true'
    )
    rule = FILES["policies/pay.yaml"].replace("args.amount < 100", "args.missing < 100")
    write(project, {"contracts/order.schema.json": open_contract, "policies/pay.yaml": rule})
    done = magsag(project, "flow", "run", "order", stdin='{"amount": 5}')
    assert done.returncode == 1
    assert "small" in done.stderr


def test_the_same_step_runs_when_the_condition_holds_and_asks_when_no_rule_applies(project: Path) -> None:
    assert magsag(project, "flow", "run", "order", stdin='{"amount": 5}').returncode == 0
    assert magsag(project, "flow", "run", "order", stdin='{"amount": 500}').returncode == 3


def test_findings_in_what_a_run_reaches_refuse_it(project: Path) -> None:
    write(project, {"skills/pay/skill.yaml": FOUR_CAUSES["skills/pay/skill.yaml"]})
    done = magsag(project, "flow", "run", "order", stdin='{"amount": 5}')
    assert done.returncode == 2
    assert "effect" in done.stderr


def test_list_show_graph_hash_and_schema(project: Path) -> None:
    assert "skill:pay@0.1.0" in magsag(project, "catalog", "list").stdout
    assert "idempotent" in magsag(project, "catalog", "show", "skill:pay").stdout
    assert "pay" in magsag(project, "catalog", "graph", "--format", "mermaid").stdout
    assert json.loads(magsag(project, "catalog", "graph", "--format", "json").stdout)
    before = magsag(project, "catalog", "hash").stdout
    write(project, {"skills/pay/skill.py": "def run(payload):\n    return 0\n"})
    assert len(before.split()[1]) == 64
    assert magsag(project, "catalog", "hash").stdout != before
    assert json.loads(magsag(project, "catalog", "schema", "skill").stdout)["title"]
