"""The gate: every verdict, in every order of refusal, and what is on record when it lets go."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from magsag.domain.facts import ParkedOn, RunStatus, StepStatus
from magsag.domain.settings import Features, Limits
from magsag.testing import History
from tests.unit.world import KINDS, USES, WORLD, Bench, Files, agent, skill

Make = Callable[..., Bench]
ONE = 'return await ctx.skill("once", payload)'
POLICY = "kind: policy\nschema: 1\nrules:\n"


@pytest.fixture(autouse=True)
def _world() -> None:
    WORLD.reset()


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A project whose agent `main` has this body; more files, a policy instead of the allowing one, settings."""

    def made(
        body: str, files: Files | None = None, rules: str | None = None, uses: str = USES, **settings: Any
    ) -> Bench:
        policy = {} if rules is None else {"policies/allow.yaml": POLICY + rules}
        return Bench(tmp_path, {**KINDS, **agent("main", body, uses), **(files or {}), **policy}, **settings)

    return made


def broken(name: str, payload: Any, ctx: Any) -> Any:
    raise ValueError("boom")


class TestVerdicts:
    def test_without_a_rule_pure_and_read_are_allowed(self, make: Make) -> None:
        bench = make('return [await ctx.skill("pure", 1), await ctx.skill("look", 2)]', rules="  []\n")
        assert bench.run().output == [1, 2]
        assert bench.step("pure#1").verdict.rule == "allow-without-effects"

    @pytest.mark.parametrize("slug", ["idem", "trans", "recon", "once"])
    def test_without_a_rule_an_effect_asks(self, make: Make, slug: str) -> None:
        bench = make(f'return await ctx.skill("{slug}", 1)', rules="  []\n")
        result = bench.run()
        assert (result.status, result.reasons[0].on) == (RunStatus.PARKED, ParkedOn.APPROVAL)
        assert "asks: rule ask-before-effects" in result.reasons[0].reason
        assert bench.step(f"{slug}#1").status is StepStatus.HELD
        assert not WORLD.calls

    def test_a_held_step_asks_again_in_every_leg(self, make: Make) -> None:
        bench = make(ONE, rules="  []\n")
        assert bench.run().reasons == bench.resume().reasons
        assert bench.kinds().count("StepHeld") == 1

    def test_a_deny_names_rule_place_and_reason(self, make: Make) -> None:
        bench = make(ONE, rules='  - {id: never, on: ["skill:once"], verdict: deny, reason: not today}\n')
        result = bench.run()
        assert result.status is RunStatus.DENIED
        assert result.error is not None
        assert result.error.details == {"rule": "never", "place": "policies/allow.yaml:4"}
        assert "is denied by rule never (policies/allow.yaml:4): not today" in result.error.message
        assert not WORLD.calls

    def test_deny_wins_over_allow_whatever_the_order(self, make: Make) -> None:
        allow, deny = (f'  - {{id: {word}, on: ["skill:once"], verdict: {word}}}\n' for word in ("allow", "deny"))
        for number, rules in enumerate((allow + deny, deny + allow)):
            assert make(ONE, rules=rules).run().status is RunStatus.DENIED, number

    def test_a_program_may_catch_a_deny_and_go_on(self, make: Make) -> None:
        body = """
        from magsag.domain.errors import StepFailed
        try:
            await ctx.skill("once", 1)
        except StepFailed as error:
            return error.type.value
        """
        assert make(body, rules='  - {id: never, on: ["skill:once"], verdict: deny}\n').run().output == "denied"

    def test_a_condition_that_cannot_be_evaluated_denies(self, make: Make) -> None:
        bench = make(ONE, rules='  - {id: odd, on: ["skill:once"], when: args.missing == 1, verdict: allow}\n')
        result = bench.run({"n": 1})
        assert result.status is RunStatus.DENIED
        assert result.error is not None
        assert "the condition of rule odd cannot be evaluated" in result.error.message

    def test_a_condition_sees_the_arguments(self, make: Make) -> None:
        rules = (
            '  - {id: small, on: ["skill:once"], when: args.n < 5, verdict: allow}\n'
            '  - {id: large, on: ["skill:once"], when: args.n >= 5, verdict: deny}\n'
        )
        assert make(ONE, rules=rules).run({"n": 1}).output == {"n": 1}
        assert make(ONE, rules=rules).run({"n": 5}).status is RunStatus.DENIED

    def test_a_policy_that_cannot_be_read_denies_everything(self, make: Make, tmp_path: Path) -> None:
        bench = make('return await ctx.skill("pure", 1)')
        (tmp_path / "catalog/policies/allow.yaml").write_text(POLICY + "  - {id: x, on: nothing, verdict: perhaps}\n")
        del bench.app.__dict__["catalog"]
        result = bench.run()
        assert result.status is RunStatus.DENIED
        assert result.error is not None
        assert result.error.details["rule"] == "policy-unreadable"

    def test_what_uses_does_not_name_is_denied(self, make: Make) -> None:
        bench = make(ONE, uses="skill:pure")
        result = bench.run(1)
        assert result.error is not None
        assert result.error.details["rule"] == "not-in-uses"
        assert "does not name skill:once@1.0.0 in its `uses`" in result.error.message

    def test_every_version_in_the_range_of_uses_may_be_called(self, make: Make) -> None:
        older = {path.replace("skills/pure", "skills/pure-old"): text for path, text in skill("pure", "pure").items()}
        newer = {path: text.replace("1.0.0", "1.2.0") for path, text in skill("pure", "pure").items()}
        both = {**older, **newer}
        bench = make('return await ctx.skill("pure@1.0.0", 1)', both, uses="skill:pure@^1")
        assert bench.run().output == 1
        assert bench.step("pure#1").proposal.target == "skill:pure@1.0.0"

    def test_a_bare_name_means_the_version_that_uses_asks_for(self, make: Make) -> None:
        newer = {path.replace("skills/pure", "skills/new"): text.replace("1.0.0", "2.0.0")
                 for path, text in skill("pure", "pure").items()}  # fmt: skip
        bench = make('return await ctx.skill("pure", 1)', newer, uses="skill:pure@^1")
        assert bench.run().output == 1
        assert bench.step("pure#1").proposal.target == "skill:pure@1.0.0"

    def test_approvals_off_an_ask_is_a_deny(self, make: Make) -> None:
        result = make(ONE, rules="  []\n", features=Features(approvals=False)).run(1)
        assert result.status is RunStatus.DENIED
        assert result.error is not None
        assert "an ask is a deny" in result.error.message

    def test_durable_off_only_pure_and_read_start(self, make: Make) -> None:
        off = Features(durable=False)
        bench = make('return [await ctx.skill("pure", 1), await ctx.skill("look", 2)]', features=off)
        assert bench.run().output == [1, 2]
        result = make(ONE, features=off).run(1)
        assert result.error is not None
        assert result.error.details["rule"] == "durable-off"
        assert not WORLD.count("once")


class TestLimits:
    CHILD = agent("child", "return payload")
    USES_CHILD = "agent:child"

    def test_a_delegation_to_an_ancestor_is_a_cycle(self, make: Make) -> None:
        child = agent("child", 'return await ctx.delegate("main", payload)', "agent:main")
        result = make('return await ctx.delegate("child", 1)', child, uses="agent:child", sound=False).run()
        assert result.error is not None
        assert result.error.details["rule"] == "delegation-cycle"
        assert "agent:main@1.0.0 -> agent:child@1.0.0 -> agent:main@1.0.0 is a circle" in result.error.message

    def test_a_delegation_beyond_the_depth_is_denied(self, make: Make) -> None:
        files = {
            **agent("child", 'return await ctx.delegate("leaf", payload)', "agent:leaf"),
            **agent("leaf", "return 1"),
        }
        body = 'return await ctx.delegate("child", 1)'
        assert make(body, files, uses="agent:child").run().output == 1
        result = make(body, files, uses="agent:child", limits=Limits(depth=2)).run()
        assert result.error is not None
        assert result.error.details["rule"] == "depth-limit"

    def test_more_child_runs_than_allowed_are_denied(self, make: Make) -> None:
        body = 'return [await ctx.delegate("child", n) for n in range(payload)]'
        limits = Limits(children=3)
        assert make(body, self.CHILD, uses=self.USES_CHILD, limits=limits).run(3).output == [0, 1, 2]
        result = make(body, self.CHILD, uses=self.USES_CHILD, limits=limits).run(4)
        assert result.error is not None
        assert result.error.details["rule"] == "children-limit"

    def test_child_runs_of_earlier_legs_count(self, make: Make) -> None:
        body = 'return [await ctx.delegate("child", n) for n in range(4)]'
        bench = make(body, self.CHILD, uses=self.USES_CHILD)
        history = History(bench.app)
        assert bench.run().output == [0, 1, 2, 3]
        third = next(at for at, (_, fact) in enumerate(history.facts) if getattr(fact, "step", "") == "child#4")
        again = make(body, self.CHILD, uses=self.USES_CHILD, store=history.cut(third), limits=Limits(children=3))
        result = again.resume()
        assert result.error is not None
        assert result.error.details["rule"] == "children-limit"
