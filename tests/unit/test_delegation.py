"""Delegation only shrinks: over random trees of programs under random policies, and in real runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from magsag.catalog.patterns import pattern
from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType
from magsag.domain.facts import Decision, RunStarted, RunStatus
from magsag.domain.ids import RunId
from magsag.domain.settings import Limits
from magsag.policy.delegation import CHILDREN, CYCLE, DEPTH, Handed, handed_down, no_child
from magsag.policy.judge import applicable, judge
from magsag.policy.record import Record, Traits
from magsag.policy.rules import CompiledRule, Policies
from magsag.services.driving.runs import Order
from tests.unit.world import ALLOW, WORLD, Bench, agent, skill

RANK: Final = {Decision.ALLOW: 0, Decision.ASK: 1, Decision.DENY: 2}
AGENTS: Final = [f"agent:a{n}@1.0.0" for n in range(6)]
SKILLS: Final = {
    "skill:look@1.0.0": (Effect.READ, Traits(("network",), labels=("personal",))),
    "skill:pay@1.0.0": (Effect.IDEMPOTENT, Traits(("network", "filesystem"))),
    "skill:mail@2.0.0": (Effect.UNREPEATABLE, Traits(labels=("personal", "salary"))),
    "skill:sum@1.0.0": (Effect.PURE, Traits()),
}
NAMES: Final = ["agent:*", "agent:a*", *(ref.partition("@")[0] for ref in AGENTS)]
TARGETS: Final = ["*", "skill:*", "skill:pay", "skill:mail@2.0.0", "skill:look", "skill:sum"]


@dataclass(frozen=True)
class Holds:
    """A condition on what a target reaches for, or on the labels of what goes into it."""

    capability: str
    label: str
    source: str = "…"
    reads: frozenset[tuple[str, ...]] = frozenset()

    def value(self, names: Mapping[str, Any]) -> object:
        return self.holds(names)

    def holds(self, names: Mapping[str, Any]) -> bool:
        return self.capability in names["target"]["capabilities"] or self.label in names["labels"]


def random_rule(chance: Random, number: int) -> CompiledRule:
    by = tuple(pattern(name) for name in chance.sample(NAMES, chance.randint(0, 2)))
    when = Holds(chance.choice(["network", "filesystem"]), chance.choice(["personal", "salary"]))
    return CompiledRule(
        f"r{number}",
        tuple(pattern(name) for name in chance.sample(TARGETS, chance.randint(1, 2))),
        when if chance.random() < 0.5 else None,
        chance.choice(list(Decision)),
        "",
        f"p.yaml:{number}",
        by=by,
        is_direct=bool(by) and chance.random() < 0.2,
    )


def verdict(policies: Policies, lineage: Sequence[str], target: str) -> Decision:
    """What is said of an act of the last program of a lineage."""
    effect, traits = SKILLS[target]
    *above, own = lineage
    found = applicable(policies, target, effect, own, traits, above)
    record = Record(own, target, effect, {}, {}, "test", "implement", {"unix": 1}, traits)
    return judge(record, found, policies.hash).decision


def kept_from(policies: Policies, program: str, target: str) -> int:
    """How strict the rules are that name a program and hold for all it brings about; told once more, by hand."""
    traits = SKILLS[target][1]
    names = {"target": {"capabilities": traits.capabilities}, "labels": traits.labels}
    return max(
        (
            RANK[rule.decision]
            for rule in policies.rules
            if not rule.is_direct
            and any(one.matches(program) for one in rule.by)
            and any(one.matches(target) for one in rule.on)
            and (rule.when is None or rule.when.holds(names))
        ),
        default=0,
    )


@dataclass(frozen=True)
class Tree:
    """Who names whom, the limits, and the times that delegations have."""

    uses: Mapping[str, tuple[str, ...]]
    depth: int
    children: int
    chance: Random

    def grown(self, above: Handed) -> Iterator[Handed]:
        """Every run of the tree; a delegation that is refused has a name for it."""
        yield above
        for begun, program in enumerate(self.uses[above.lineage[-1]], 1):
            refused = no_child(above.lineage, program, begun, self.depth, self.children)
            if refused is None:
                own = self.chance.choice([None, self.chance.randint(1, 100)])
                yield from self.grown(handed_down(above, program, own))
            else:
                assert refused.rule in (CYCLE, DEPTH, CHILDREN)
                assert refused.reason


def check_tree(seed: int) -> int:
    """One random tree under random policies; how many runs it had."""
    chance = Random(seed)
    policies = Policies(tuple(random_rule(chance, number) for number in range(chance.randint(0, 6))), "hash")
    uses = {ref: tuple(chance.choices(AGENTS, k=chance.randint(1, 4))) for ref in AGENTS}
    tree = Tree(uses, chance.randint(1, 5), chance.randint(1, 4), chance)
    root = Handed((chance.choice(AGENTS),), "ann", "test", "dry_run", chance.choice([None, 50]))
    runs = list(tree.grown(root))
    for run in runs:
        names = [ref.partition("@")[0] for ref in run.lineage]
        assert len(set(names)) == len(names) <= tree.depth
        assert (run.requester, run.environment, run.mode) == ("ann", "test", "dry_run")
        assert root.deadline is None or (run.deadline is not None and run.deadline <= root.deadline)
        assert all(below in uses[above] for above, below in pairwise(run.lineage))
        for target in SKILLS:
            said = RANK[verdict(policies, run.lineage, target)]
            assert said >= max(kept_from(policies, program, target) for program in run.lineage)
            assert said >= RANK[verdict(policies, run.lineage[-1:], target)]
            assert said >= RANK[verdict(policies, run.lineage[1:] or run.lineage, target)]
    return len(runs)


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=[pytest.mark.prove, pytest.mark.timeout(900)])])
def test_no_run_of_a_random_tree_has_more_than_those_above_it(count: int) -> None:
    assert sum(check_tree(seed) for seed in range(count)) > 2 * count


def test_a_judge_that_forgets_who_is_above_is_found_out() -> None:
    def forgets(seed: int) -> bool:
        chance = Random(seed)
        policies = Policies(tuple(random_rule(chance, number) for number in range(4)), "hash")
        return any(RANK[verdict(policies, AGENTS[1:2], ref)] < kept_from(policies, AGENTS[0], ref) for ref in SKILLS)

    assert any(map(forgets, range(500)))


@pytest.mark.parametrize("length", range(1, 8))
def test_a_circle_of_any_length_is_stopped_by_its_name(length: int) -> None:
    lineage = tuple(f"agent:p{n}@1.0.0" for n in range(length))
    refused = no_child(lineage, "agent:p0@2.0.0", 1, 100, 100)
    assert refused is not None
    assert refused.rule == CYCLE
    assert refused.reason.startswith("agent:p0@1.0.0 -> ")
    assert refused.reason.endswith("agent:p0@2.0.0 is a circle")


POLICY: Final = """\
kind: policy
schema: 1
rules:
  - {id: may-pay, on: ["skill:pay", "skill:look"], verdict: allow}
  - {id: main-never-pays, on: ["skill:pay"], by: ["agent:main"], verdict: deny}
"""
BLOCK: Final = """\
kind: policy
schema: 1
rules:
  - {id: may-pay, on: ["skill:pay"], verdict: allow}
agents:
  agent:main: {only: ["agent:sub"], tighten: {"skill:look": deny}}
"""
PAYS: Final = POLICY.replace('by: ["agent:main"]', 'by: ["agent:nobody"]')
Make = Callable[..., Bench]
HAND_ON: Final = 'return await ctx.delegate("sub", payload)'
HAND_AWAY: Final = 'return await ctx.delegate("sub", payload, detached=True)'


@pytest.fixture
def make(tmp_path: Path) -> Make:
    WORLD.reset()

    def made(
        policy: str,
        body: str = HAND_ON,
        sub: str = 'return await ctx.skill("pay", payload)',
        budget: str | None = None,
        cost: str | None = None,
        **more: Any,
    ) -> Bench:
        files = {
            **ALLOW,
            **skill("pay", "idempotent", **({"cost": cost} if cost else {})),
            **skill("look", "read"),
            **agent("main", body, "agent:sub", **({"budget": budget} if budget else {})),
            **agent("sub", sub, "skill:pay, skill:look, agent:main"),
            "policies/allow.yaml": policy,
        }
        return Bench(tmp_path, files, sound=False, **more)

    return made


@pytest.mark.parametrize("body", [HAND_ON, HAND_AWAY])
def test_what_is_denied_to_an_agent_is_denied_to_those_it_delegates_to(make: Make, body: str) -> None:
    bench = make(POLICY, body)
    result = bench.run(1)
    assert result.error is not None
    assert (result.error.type, result.error.details["rule"]) == (ErrorType.DENIED, "main-never-pays")
    assert WORLD.calls == []
    alone = bench.time.run(bench.app.runs.run(Order("agent:sub", 2)))
    assert alone.output == 2


def test_a_resumed_child_run_is_judged_as_before(make: Make) -> None:
    bench = make(POLICY, sub='await ctx.sleep(5)\nreturn await ctx.skill("pay", payload)')
    assert bench.run(1).status is RunStatus.PARKED
    bench.time.passed += 10
    result = bench.resume()
    assert result.error is not None
    assert result.error.details["rule"] == "main-never-pays"


def test_a_list_of_what_an_agent_calls_says_nothing_of_what_others_call_for_it(make: Make) -> None:
    bench = make(BLOCK)
    assert bench.run(1).output == 1
    looks = make(BLOCK, sub='return await ctx.skill("look", payload)')
    result = looks.run(1)
    assert result.error is not None
    assert result.error.details["rule"] == "agent:main/skill:look"


@pytest.mark.parametrize("body", [HAND_ON, HAND_AWAY])
def test_recorded_decisions_of_child_runs_are_made_again_byte_for_byte(make: Make, body: str) -> None:
    bench = make(POLICY, body)
    bench.run(1)
    replay = bench.app.policy_replay
    tried = replay.replay(bench.app.catalog.policies)
    assert tried.decisions == tried.equal == 2


@pytest.mark.parametrize("body", [HAND_ON, HAND_AWAY])
def test_two_agents_that_name_each_other_are_stopped(make: Make, body: str) -> None:
    bench = make(POLICY, body, sub='return await ctx.delegate("main", payload)')
    result = bench.run(1)
    assert result.error is not None
    assert result.error.details["rule"] == CYCLE
    assert "agent:main@1.0.0 -> agent:sub@1.0.0 -> agent:main@1.0.0 is a circle" in result.error.message


@pytest.mark.parametrize("body", [HAND_ON, HAND_AWAY])
def test_a_child_run_spends_what_its_parent_has(make: Make, body: str) -> None:
    twice = 'await ctx.skill("pay", 1)\nreturn await ctx.skill("pay", 2)'
    bench = make(PAYS, body, sub=twice, budget="{usd: 0.7}", cost="{usd: 0.5}")
    result = bench.run(1)
    assert result.error is not None
    assert result.error.type is ErrorType.BUDGET_EXHAUSTED
    assert len(WORLD.calls) == 1


def test_a_child_run_has_place_mode_and_time_of_its_parent(make: Make) -> None:
    bench = make(POLICY, sub="return 1", mode="safe_mode", environment="staging", limits=Limits(depth=2))
    bench.run(1)
    above, below = (next(fact for fact in bench.facts(run) if isinstance(fact, RunStarted)) for run in ("r", "r.sub#1"))
    for name in ("environment", "mode", "requester", "bundle", "deadline"):
        assert getattr(below, name) == getattr(above, name)
    assert RunId("r") == below.parent
