"""Other policies tried on recorded decisions: what flips, what stays byte for byte, what nobody can decide."""

from pathlib import Path
from typing import Any, Final

import pytest

from magsag.domain.errors import Invalid
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.domain.settings import Features
from magsag.services.desk.flips import Tried
from tests.unit.world import KINDS, USES, WORLD, Bench, agent, contract, skill

LIMIT: Final = """\
kind: policy
schema: 1
windows: {{night: {{from: "22:00", to: "06:00"}}}}
rules:
  - {{id: some-may, on: ["skill:idem", "skill:trans", "skill:recon"], verdict: allow}}
  - {{id: never, on: ["skill:once"], verdict: deny}}
  - {{id: at-most, on: ["skill:trans"], when: 'run.count("skill:{counted}") >= {most}', verdict: deny}}
  - {{id: small, on: ["skill:idem"], when: 'args.n > {limit} || window.night', verdict: ask}}
environments: {{production: {{tighten: {{"skill:recon": ask}}}}}}
"""
BODY: Final = """
from magsag.domain.errors import StepFailed
async def quietly(kind, value):
    try:
        return await ctx.skill(kind, value)
    except StepFailed as error:
        return error.type.value
said = [await quietly(kind, {"n": 1}) for kind in ("pure", "look", "idem", "trans", "once", "trans")]
return said
"""


@pytest.fixture(autouse=True)
def _world() -> None:
    WORLD.reset()


def policy(limit: int = 5, most: int = 1, counted: str = "trans") -> str:
    return LIMIT.format(limit=limit, most=most, counted=counted)


def bench(folder: Path, more: dict[str, str] | None = None, body: str = BODY, **settings: Any) -> Bench:
    files = {**KINDS, **agent("main", body, uses=USES), "policies/allow.yaml": policy(), **(more or {})}
    return Bench(folder, files, **settings)


def tried(project: Bench, text: str | None = None, last: float | None = None) -> Tried:
    """The recorded decisions under another policy, by default under the same."""
    draft = project.folder / "draft" / "allow.yaml"
    draft.parent.mkdir(exist_ok=True)
    draft.write_text(policy() if text is None else text, encoding="utf-8")
    return project.app.policy_replay.replay(project.app.policy_replay.policies([draft]), last)


def test_under_the_same_policy_every_decision_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    project = bench(tmp_path)
    assert project.run().output == [{"n": 1}, {"n": 1}, {"n": 1}, {"n": 1}, "denied", "denied"]
    found = tried(project)
    assert (found.runs, found.decisions, found.equal) == (1, 6, 6)
    assert not found.flips
    assert project.step("trans#2").verdict.counts[0].number == 1
    project.close()


@pytest.mark.parametrize(
    "settings",
    [
        {"mode": "dry_run"},
        {"mode": "analysis_only"},
        {"mode": "safe_mode", "features": Features(approvals=False)},
        {"environment": "production"},
        {"features": Features(durable=False)},
    ],
)
def test_also_in_other_modes_places_and_switches(tmp_path: Path, settings: dict[str, Any]) -> None:
    project = bench(tmp_path, **settings)
    project.run()
    found = tried(project)
    assert found.equal == found.decisions == 6
    project.close()


def test_retries_holds_and_children_are_decisions_too(tmp_path: Path) -> None:
    uses = "skill:look, skill:recon, agent:child, skill:pure"
    flaky = skill("look", "read", retry="{attempts: 3, backoff: 1ms, on: [raised]}")
    body = 'await ctx.skill("look", {"n": 2})\nawait ctx.delegate("child", 1)\nreturn await ctx.skill("recon", 1)'
    files = {
        **flaky,
        **agent("child", 'return await ctx.skill("pure", 1)', uses="skill:pure"),
        **agent("main", body, uses=uses),
    }
    failures = [ValueError("flaky"), ValueError("flaky")]

    def act(name: str, payload: Any, ctx: Any) -> Any:
        if name == "look" and failures:
            raise failures.pop()
        return payload

    WORLD.on_act = act
    project = bench(tmp_path, files, environment="production")
    assert project.run().status is RunStatus.PARKED
    found = tried(project)
    assert (found.runs, found.decisions, found.equal) == (2, 6, 6)
    project.close()


def test_what_flips_is_named_by_rule(tmp_path: Path) -> None:
    project = bench(tmp_path)
    project.run()
    found = tried(project, policy(limit=0))
    assert [(flip.step, flip.was.rule, flip.would_be.rule) for flip in found.flips] == [("idem#1", "some-may", "small")]
    assert list(found.by_rule()) == [("allow", "some-may", "ask", "small")]
    assert (found.equal, found.alike) == (0, 5)
    project.close()


def test_what_nobody_counted_then_is_counted_from_the_ledger(tmp_path: Path) -> None:
    project = bench(tmp_path)
    project.run()
    found = tried(project, policy(counted="*", most=3))
    assert {flip.step: flip.would_be.rule for flip in found.flips} == {"trans#1": "at-most"}
    assert next(iter(found.flips)).would_be.counts[0].number == 3
    after = policy().replace('run.count("skill:trans") >= 1', 'run.after("skill:idem")')
    assert {flip.step for flip in tried(project, after).flips} == {"trans#1"}
    project.close()


def test_what_was_erased_is_not_decidable(tmp_path: Path) -> None:
    project = bench(tmp_path)
    project.run()
    project.app.erasing.erase(RunId("r"), "tester")
    found = tried(project)
    assert (found.decisions, len(found.not_decidable), found.equal, found.flips) == (6, 6, 0, [])
    assert "erased" in found.not_decidable[0].why
    project.close()


def test_a_run_whose_bundle_is_gone_is_not_decidable(tmp_path: Path) -> None:
    project = bench(tmp_path)
    project.run()

    def gone(hash: str) -> Any:
        raise Invalid("no such bundle")

    replay = project.app.policy_replay
    replay._pinned = gone
    found = replay.replay(project.app.catalog.policies)
    assert len(found.not_decidable) == found.decisions == 6
    project.close()


def test_only_what_was_decided_since_is_tried(tmp_path: Path) -> None:
    project = bench(tmp_path)
    project.run()
    project.time.passed += 100
    assert tried(project, last=200).decisions == 6
    assert tried(project, last=50).decisions == 0
    project.close()


def test_what_the_engine_decides_by_itself_is_no_decision(tmp_path: Path) -> None:
    body = 'await ctx.sleep(0)\nreturn list(await ctx.race(ctx.skill("pure", 1), ctx.skill("look", 2)))'
    project = bench(tmp_path, body=body)
    assert project.run().status is RunStatus.SUCCEEDED
    found = tried(project)
    assert found.equal == found.decisions
    assert len(project.facts()) > found.decisions + 2
    project.close()


def test_large_values_are_read_in_full(tmp_path: Path) -> None:
    body = 'return await ctx.skill("idem", {"n": 1, "rows": ["x" * 100] * 1000})'
    project = bench(tmp_path, body=body)
    assert project.run().status is RunStatus.SUCCEEDED
    assert tried(project).equal == 1
    project.close()


def test_drafts_are_files_or_folders_and_must_be_sound(tmp_path: Path) -> None:
    project = bench(tmp_path, {**contract("unused", "{}")})
    replay = project.app.policy_replay
    assert replay.policies([tmp_path / "catalog" / "policies"]).hash == project.app.catalog.policies.hash
    (tmp_path / "bad.yaml").write_text("kind: policy\nschema: 1\nrules: [{id: a}]\n", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    (tmp_path / "magsag.toml").write_text("", encoding="utf-8")
    wrong = {"empty": "no policy stands in this folder", "magsag.toml": "no policy file; their names end in .yaml"}
    for path, words in {"bad.yaml": "bad.yaml:3", "nowhere.yaml": "cannot be read", **wrong}.items():
        with pytest.raises(Invalid, match=words):
            replay.policies([tmp_path / path])
    with pytest.raises(Invalid, match="already stands"):
        replay.policies([tmp_path / "catalog" / "policies", tmp_path / "catalog" / "policies" / "allow.yaml"])
    project.close()
