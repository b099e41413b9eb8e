"""Every manifest of the shipped catalog and of its templates: valid, complete, and each reference leads somewhere."""

import re
from pathlib import Path

import pytest

from magsag.domain.effects import Effect
from magsag.domain.manifests import Agent, Eval, Flow, Policy, Skill
from tests.unit.shipped import ROOT, contract, function, manifest, values

PROJECT = ROOT / "_project_template"
TEMPLATES = {
    ROOT / "agents" / "_template" / "mag-template": Path("agents/main/new-one"),
    ROOT / "agents" / "_template" / "sag-template": Path("agents/sub/new-one"),
    ROOT / "skills" / "_template": Path("skills/new-one"),
    ROOT / "flows" / "_template": Path("flows"),
}


def manifests(root: Path) -> list[Path]:
    found = [path for path in root.rglob("*.yaml") if "_" not in {part[0] for part in path.relative_to(root).parts}]
    return sorted(found)


def from_template(template: Path, root: Path) -> list[Path]:
    """Copy a template as `agent new` and its kin do."""
    made = []
    for path in (each for each in template.rglob("*") if each.is_file()):
        inside = Path(path.relative_to(template).as_posix().replace("__slug__", "new-one"))
        target = root / inside if inside.parts[0] == "contracts" else root / TEMPLATES[template] / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text(encoding="utf-8").replace("__slug__", "new-one"), encoding="utf-8")
        made.append(target)
    return made


def leads_somewhere(reference: str, root: Path) -> bool:
    kind, _, slug = reference.partition("@")[0].partition(":")
    patterns = {"agent": f"agents/*/{slug}/agent.yaml", "skill": f"skills/{slug}/skill.yaml"}
    return any(root.glob(patterns.get(kind, f"{kind}s/{slug}/{kind}.yaml")))


def check(path: Path, root: Path) -> None:
    """One manifest: its model, its slug, its contracts, its references, its entrypoint."""
    found = manifest(path)
    for name in (found.contracts.input, found.contracts.output) if hasattr(found, "contracts") else ():
        if name:
            contract(name, root)
    if isinstance(found, Agent):
        assert path.parent.relative_to(root) == Path("agents", found.role, found.slug)
        assert found.contracts.input
        assert found.contracts.output
        assert all(leads_somewhere(reference, root) for reference in found.uses + found.evaluations)
    if isinstance(found, Skill):
        assert path.parent.name == found.slug
        assert found.contracts.input
        assert found.contracts.output
        head = (path.parent / "SKILL.md").read_text(encoding="utf-8")
        assert re.match(rf"---\nname: {found.slug}\ndescription: \S.*\n---\n", head)
    if isinstance(found, Agent | Skill):
        assert found.entrypoint
        assert callable(function(path.parent, found.entrypoint))
    if isinstance(found, Flow):
        assert path.stem == found.slug
        assert all(leads_somewhere(step.uses, root) for step in found.steps if step.uses)


@pytest.mark.parametrize("path", manifests(ROOT), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_shipped_manifest_holds(path: Path) -> None:
    check(path, ROOT)


@pytest.mark.parametrize("path", manifests(PROJECT / "catalog"), ids=lambda path: path.parent.name + "/" + path.name)
def test_a_manifest_of_the_project_template_holds(path: Path) -> None:
    check(path, PROJECT / "catalog")


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_template_makes_a_manifest_that_holds(template: Path, tmp_path: Path) -> None:
    made = from_template(template, tmp_path)
    (path,) = (each for each in made if each.suffix == ".yaml")
    check(path, tmp_path)
    assert not any("__slug__" in each.read_text(encoding="utf-8") for each in made)


@pytest.mark.parametrize("path", [*manifests(ROOT), *manifests(PROJECT / "catalog")], ids=lambda path: path.stem)
def test_the_first_line_leads_editors_to_the_schema_of_its_kind(path: Path) -> None:
    root = PROJECT / "catalog" if PROJECT in path.parents else ROOT
    line = path.read_text(encoding="utf-8").splitlines()[0]
    schema = line.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / schema).resolve() == root / "_schemas" / f"{values(path)['kind']}.schema.json"


def test_templates_lead_editors_to_the_schema_from_where_they_go(tmp_path: Path) -> None:
    for template in TEMPLATES:
        (path,) = (each for each in from_template(template, tmp_path) if each.suffix == ".yaml")
        line = path.read_text(encoding="utf-8").splitlines()[0]
        schema = line.removeprefix("# yaml-language-server: $schema=")
        assert (path.parent / schema).resolve().parent == tmp_path / "_schemas"


def test_the_shipped_skills_have_no_effect_outside_but_those_that_say_so() -> None:
    skills = [each for path in manifests(ROOT) if isinstance(each := manifest(path), Skill)]
    assert {skill.slug: skill.effect for skill in skills} == {
        "doc-gen": Effect.PURE,
        "file-read": Effect.READ,
        "file-search": Effect.READ,
        "file-write": Effect.IDEMPOTENT,
        "http-request": Effect.UNREPEATABLE,
        "record-get": Effect.READ,
        "record-put": Effect.TRANSACTIONAL,
        "result-aggregation": Effect.PURE,
        "salary-band-lookup": Effect.READ,
        "send-offer": Effect.RECONCILABLE,
        "task-decomposition": Effect.PURE,
    }


def test_the_default_governance_holds_no_name_of_the_catalog() -> None:
    path = ROOT / "policies" / "flow_governance.yaml"
    found = manifest(path)
    assert isinstance(found, Policy)
    limits = found.flow_governance
    assert limits is not None
    assert (limits.min_runs, limits.min_success_rate, limits.max_avg_latency_ms) == (1, 0.9, 2500)
    assert (limits.required_steps, list(limits.per_step)) == ((), ["default"])
    assert limits.per_step["default"].max_error_rate == 0.1
    assert limits.per_step["default"].max_avg_latency_ms == 3000
    assert limits.mcp.max_error_rate == 0.05
    text = path.read_text(encoding="utf-8")
    slugs = {getattr(manifest(each), "slug", None) for each in manifests(ROOT)} - {None}
    assert not [slug for slug in slugs if re.search(rf"\b{slug}\b", text)]


def test_hello_is_one_pure_shell_step() -> None:
    found = manifest(ROOT / "flows" / "hello.yaml")
    assert isinstance(found, Flow)
    assert [(step.id, step.run, step.effect) for step in found.steps] == [("hello", ("echo", "hi"), Effect.PURE)]


def test_the_example_flow_shows_a_map_a_decision_a_wait_and_what_follows_an_error() -> None:
    found = manifest(ROOT / "flows" / "hiring-review.yaml")
    assert isinstance(found, Flow)
    assert any(step.for_each for step in found.steps)
    assert any(step.when for step in found.steps)
    assert any(step.needs for step in found.steps)
    assert {"collect", "skip"} <= {step.on_error for step in found.steps if isinstance(step.on_error, str)}
    assert any(step.run for step in found.steps)


def test_the_validator_scores_the_advisor() -> None:
    advisor = manifest(ROOT / "agents" / "sub" / "compensation-advisor-sag" / "agent.yaml")
    assert isinstance(advisor, Agent)
    assert advisor.evaluations == ("eval:compensation-validator@^0.1",)
    assert isinstance(manifest(ROOT / "evals" / "compensation-validator" / "eval.yaml"), Eval)
