"""The product's own loader finds nothing wrong with what ships, nor with what its templates make."""

import shutil
from pathlib import Path

import pytest

from magsag.adapters.conditions import CelConditions
from magsag.catalog.bundle import Bundle
from magsag.catalog.load import load
from tests.unit.shipped import ROOT
from tests.unit.test_shipped_manifests import PROJECT, TEMPLATES, from_template


def findings(root: Path) -> list[str]:
    return [f"{found.place}: {found.what}" for found in load(root, CelConditions()).findings]


@pytest.mark.parametrize("root", [ROOT, PROJECT / "catalog"], ids=["shipped", "project"])
def test_there_are_no_findings(root: Path) -> None:
    assert findings(root) == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_catalog_from_a_template_has_no_findings(template: Path, tmp_path: Path) -> None:
    made = from_template(template, tmp_path)
    assert findings(tmp_path) == []
    manifest = next(path for path in made if path.suffix == ".yaml")
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("-input", "-imput"), encoding="utf-8")
    assert "new-one-imput" in "".join(findings(tmp_path))


def test_a_use_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    root = Path(shutil.copytree(ROOT, tmp_path / "catalog"))
    shutil.rmtree(root / "skills" / "salary-band-lookup")
    assert any("salary-band-lookup" in found for found in findings(root))


def test_every_program_of_the_catalog_can_be_loaded() -> None:
    bundle: Bundle = load(ROOT, CelConditions()).bundle
    assert set(bundle.agents) == {
        "compensation-advisor-sag",
        "data-analysis-sag",
        "document-processing-sag",
        "offer-orchestrator-mag",
        "workforce-report-mag",
    }
    for agents in bundle.agents.values():
        assert all(callable(bundle.function(entry)) for entry in agents)
    for skills in bundle.skills.values():
        assert all(callable(bundle.function(entry)) for entry in skills)
    for evals in bundle.evals.values():
        assert all(callable(bundle.function(entry, each.id)) for entry in evals for each in entry.manifest.metrics)
    for flows in bundle.flows.values():
        assert all(bundle.graph(entry).nodes for entry in flows)
