"""Built-in skills join a catalog that names them, and no other; one's own skill of that name stays."""

from pathlib import Path

from magsag.adapters.conditions import CelConditions
from magsag.adapters.settings import packaged_catalog
from magsag.catalog.builtin import BUILT_IN
from magsag.catalog.load import Loaded, load
from magsag.domain.effects import Effect

FLOW = """\
kind: flow
schema: 1
slug: keep
version: 1.0.0
steps: [{id: put, uses: "skill:record-put", with: {key: a, value: =input}}]
"""
OWN = "kind: skill\nschema: 1\nslug: record-put\nversion: 9.0.0\nentrypoint: skill.py:run\neffect: pure\n"


def loaded(folder: Path, files: dict[str, str], shipped: Path | None = packaged_catalog()) -> Loaded:  # noqa: B008
    for path, text in {"flows/keep.yaml": FLOW, **files}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return load(folder, CelConditions(), shipped=shipped)


def test_a_catalog_that_names_a_built_in_skill_gets_it_with_its_contracts(tmp_path: Path) -> None:
    found = loaded(tmp_path, {})
    assert found.findings == []
    assert set(found.bundle.skills) == {"record-put"}
    entry = found.bundle.find("skill:record-put")
    assert entry.manifest.effect is Effect.TRANSACTIONAL
    assert callable(found.bundle.function(entry))
    assert found.bundle.contract("record_put_input").problems({"key": "a"})


def test_it_is_part_of_the_bundle_that_a_run_keeps(tmp_path: Path) -> None:
    bundle = loaded(tmp_path, {}).bundle
    thawed = type(bundle).from_bytes(bundle.to_bytes(), CelConditions())
    assert thawed.hash == bundle.hash
    assert thawed.find("skill:record-put").ref == "skill:record-put@1.0.0"


def test_a_catalog_that_names_none_gets_none(tmp_path: Path) -> None:
    (tmp_path / "contracts").mkdir()
    found = load(tmp_path, CelConditions(), shipped=packaged_catalog())
    assert dict(found.bundle.skills) == {}


def test_a_skill_of_ones_own_stays(tmp_path: Path) -> None:
    own = {"skills/record-put/skill.yaml": OWN, "skills/record-put/skill.py": "def run(payload):\n    return 1\n"}
    bundle = loaded(tmp_path, own).bundle
    assert bundle.find("skill:record-put").version == "9.0.0"


def test_without_the_shipped_catalog_the_reference_leads_nowhere(tmp_path: Path) -> None:
    (finding,) = loaded(tmp_path, {}, None).findings
    assert "record-put" in finding.what


def test_every_built_in_skill_is_shipped() -> None:
    assert all((packaged_catalog() / "skills" / slug / "skill.yaml").is_file() for slug in BUILT_IN)
