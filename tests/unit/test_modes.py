"""How much a run may do: every mode by every effect kind, and what a dry run leaves on record."""

from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest

from magsag.domain.effects import DECLARABLE, EFFECTFUL, Effect
from magsag.domain.errors import Invalid
from magsag.domain.facts import Decision, RunStatus, StepDone, Verdict
from magsag.domain.ids import RunId
from magsag.domain.settings import Mode
from magsag.domain.verdicts import BUILT_IN, NOT_PERFORMED, is_not_performed
from magsag.policy.modes import under
from magsag.services.driving.runs import Order
from tests.unit.world import KINDS, USES, WORLD, Bench, agent, contract, skill

ALLOW, ASK, DENY = Decision.ALLOW, Decision.ASK, Decision.DENY
ALL: Final = tuple(product(Mode, Effect, ((), ("network",), ("filesystem",), ("shell",), ("workspace",)), Decision))
RANK: Final = [ALLOW, ASK, DENY]


@pytest.fixture(autouse=True)
def _world() -> None:
    WORLD.reset()


def judged(decision: Decision) -> Verdict:
    return Verdict(decision, "some-rule", "p.yaml:3", "because", "hash")


def test_no_mode_lets_more_happen_than_the_rules() -> None:
    for mode, effect, capabilities, decision in ALL:
        verdict = under(mode, judged(decision), effect, capabilities)
        may_happen = not is_not_performed(verdict)
        assert not may_happen or RANK.index(verdict.decision) >= RANK.index(decision)
        assert verdict.policy == "hash"
        if decision is DENY or mode is Mode.IMPLEMENT:
            assert verdict == judged(decision)


def test_nothing_with_an_effect_happens_unasked_but_in_implement() -> None:
    for mode, effect, capabilities, decision in ALL:
        verdict = under(mode, judged(decision), effect, capabilities)
        if mode is not Mode.IMPLEMENT and effect in EFFECTFUL and verdict.decision is ALLOW:
            assert (mode, verdict.rule) == (Mode.DRY_RUN, NOT_PERFORMED)


@pytest.mark.parametrize(
    ("mode", "effect", "capabilities", "expected"),
    [
        (Mode.SAFE_MODE, Effect.IDEMPOTENT, (), (ASK, "safe-mode")),
        (Mode.SAFE_MODE, Effect.READ, ("network",), (ALLOW, "some-rule")),
        (Mode.SAFE_MODE, Effect.READ, ("shell",), (DENY, "safe-mode")),
        (Mode.DRY_RUN, Effect.TRANSACTIONAL, (), (ALLOW, NOT_PERFORMED)),
        (Mode.DRY_RUN, Effect.PURE, ("workspace",), (ALLOW, NOT_PERFORMED)),
        (Mode.DRY_RUN, Effect.READ, ("network",), (ALLOW, "some-rule")),
        (Mode.ANALYSIS_ONLY, Effect.READ, (), (ALLOW, "some-rule")),
        (Mode.ANALYSIS_ONLY, Effect.READ, ("network", "shell"), (DENY, "analysis-only")),
        (Mode.ANALYSIS_ONLY, Effect.DELEGATE, (), (ALLOW, "some-rule")),
        (Mode.ANALYSIS_ONLY, Effect.RECONCILABLE, (), (DENY, "analysis-only")),
        ("dry run", Effect.PURE, (), (DENY, "unknown-mode")),
    ],
)
def test_what_each_mode_says(mode: str, effect: Effect, capabilities: tuple[str, ...], expected: Any) -> None:
    verdict = under(mode, judged(ALLOW), effect, capabilities)
    assert (verdict.decision, verdict.rule) == expected


def test_a_rule_that_asks_keeps_its_name_in_safe_mode() -> None:
    assert under(Mode.SAFE_MODE, judged(ASK), Effect.IDEMPOTENT, ()) == judged(ASK)


EACH: Final = """
from magsag.domain.errors import StepFailed
said = {}
for kind in ("pure", "look", "idem", "trans", "recon", "once"):
    try:
        said[kind] = await ctx.skill(kind, {"n": 1})
    except StepFailed as error:
        said[kind] = error.details["rule"]
return said
"""


def bench(folder: Path, mode: str, files: dict[str, str] | None = None, **settings: Any) -> Bench:
    return Bench(folder, {**KINDS, **agent("main", EACH, uses=USES), **(files or {})}, mode=mode, **settings)


def test_analysis_only_denies_every_effect(tmp_path: Path) -> None:
    project = bench(tmp_path, "analysis_only")
    output: Any = project.run().output
    assert len(output) == len(DECLARABLE)
    assert {kind for kind, said in output.items() if said == "analysis-only"} == {"idem", "trans", "recon", "once"}
    assert {name for name, _ in WORLD.calls} == {"pure", "look"}
    project.close()


def test_safe_mode_asks_about_what_rules_allow(tmp_path: Path) -> None:
    project = bench(tmp_path, "safe_mode")
    result = project.run()
    assert result.status is RunStatus.PARKED
    assert "rule safe-mode (built-in)" in result.reasons[0].reason
    assert project.step("idem#1").verdict.reason.startswith("rule tests-may (policies/allow.yaml:4) allows it")
    project.close()


def test_safe_mode_denies_effects_while_nobody_can_be_asked(tmp_path: Path) -> None:
    from magsag.domain.settings import Features

    project = bench(tmp_path, "safe_mode", features=Features(approvals=False))
    output: Any = project.run().output
    assert output["once"] == "safe-mode"
    assert {name for name, _ in WORLD.calls} == {"pure", "look"}
    project.close()


RULES: Final = """\
kind: policy
schema: 1
rules:
  - {id: tests-may, on: ["skill:idem", "skill:trans"], verdict: allow}
  - {id: never, on: ["skill:once"], verdict: deny}
"""


def test_a_dry_run_performs_no_effect_and_shows_what_would_happen(tmp_path: Path) -> None:
    project = bench(tmp_path, "dry_run", {"policies/allow.yaml": RULES})
    output: Any = project.run().output
    assert {name for name, _ in WORLD.calls} == {"pure", "look"}
    assert output["once"] == "never"
    shown = "not performed; rule tests-may (policies/allow.yaml:4) would allow"
    assert output["idem"] == {"dry_run": True, "target": "skill:idem@1.0.0", "would": shown}
    assert "rule ask-before-effects (built-in) would ask" in output["recon"]["would"]
    facts = {fact.step: fact for fact in project.facts() if isinstance(fact, StepDone)}
    assert facts[project.step("trans#1").id].verdict == Verdict(
        ALLOW, NOT_PERFORMED, BUILT_IN, shown, project.app.catalog.policies.hash
    )
    project.close()


def test_an_example_of_the_contract_stands_for_the_outcome_of_a_dry_run(tmp_path: Path) -> None:
    receipt = contract("receipt", '{"type": "object", "required": ["id"], "examples": [{"id": "R-1"}]}')
    once = skill("once", "unrepeatable", contracts="{output: receipt}")
    project = bench(tmp_path, "dry_run", {**receipt, **once})
    output: Any = project.run().output
    assert output["once"] == {"id": "R-1"}
    assert project.time.run(project.app.replay.replay(RunId("r"))).difference is None
    project.close()


def test_an_example_that_breaks_its_contract_fails_the_step(tmp_path: Path) -> None:
    receipt = contract("receipt", '{"type": "object", "required": ["id"], "examples": [{"no": 1}]}')
    body = 'return await ctx.skill("once", 1)'
    files = {
        **receipt,
        **skill("once", "unrepeatable", contracts="{output: receipt}"),
        **agent("main", body, uses=USES),
    }
    result = bench(tmp_path, "dry_run", files).run()
    assert (result.status, result.error and result.error.type) == (RunStatus.FAILED, "output_contract")
    assert not WORLD.calls


def test_what_a_dry_run_showed_counts_nowhere_as_done(tmp_path: Path) -> None:
    project = bench(tmp_path, "dry_run")
    project.run()
    real = Bench(tmp_path, project.files, project.store)
    with pytest.raises(Invalid, match="was a dry run"):
        real.app.forks.fork(RunId("r"), "once#1")
    with pytest.raises(Invalid, match="exists in mode dry_run"):
        real.time.run(real.app.runs.run(Order("agent:main", None, run_id="r")))
    assert project.app.forks.fork(RunId("r"), "once#1", id="again").run == "again"
    real.close()
    project.close()


def test_children_of_a_dry_run_are_dry_too(tmp_path: Path) -> None:
    child = agent("child", 'return await ctx.skill("once", 1)', uses="skill:once")
    files = {**KINDS, **child, **agent("main", 'return await ctx.delegate("child", 1)', uses="agent:child")}
    project = Bench(tmp_path, files, mode="dry_run")
    output: Any = project.run().output
    assert output["dry_run"] is True
    assert not WORLD.calls
    project.close()
