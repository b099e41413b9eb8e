"""What a run has done so far, as rules see it: live, over retries and after a crash."""

from pathlib import Path
from typing import Any, Final

import pytest

from magsag.catalog.patterns import pattern
from magsag.domain import facts
from magsag.domain.approval import Acting, Answer, Proof
from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType
from magsag.domain.facts import Count, Decision, Proposal, StepDone, StepStarted, Verdict
from magsag.domain.ids import RunId, StepId
from magsag.engine.chain import seal, unseal
from magsag.engine.evolve import evolve
from magsag.engine.run import Run
from magsag.policy.rules import Counted
from magsag.ports.ledger import TicketQuery
from magsag.services.people.approvals import Decision as ApprovalDecision
from magsag.services.steps.tally import Tally
from magsag.testing.history import History
from tests.unit.catalogs import swapped
from tests.unit.world import KINDS, USES, WORLD, Bench, agent

LIMIT: Final = """\
kind: policy
schema: 1
rules:
  - {id: at-most-two, on: ["skill:once", "skill:look"], when: 'run.count("skill:once") >= 2', verdict: deny}
  - {id: look-first, on: ["skill:idem"], when: '!run.after("skill:look")', verdict: deny}
"""
MAY: Final = Verdict(Decision.ALLOW, "r", "p:1", "", "h")
THREE: Final = """
results = await ctx.gather(*(ctx.skill("once", {"n": n}) for n in range(3)), on_error="collect")
return {"errors": [error["type"] for error in results.errors]}
"""


@pytest.fixture(autouse=True)
def _world() -> None:
    WORLD.reset()


def bench(folder: Path, body: str) -> Bench:
    return Bench(folder, {**KINDS, **agent("main", body, uses=USES), "policies/limit.yaml": LIMIT})


def verdicts(bench: Bench) -> dict[str, tuple[str, tuple[Count, ...]]]:
    return {id: (step.verdict.rule, step.verdict.counts) for id, step in bench.state().steps.items() if step.verdict}


def test_siblings_proposed_together_cannot_pass_a_limit_together(tmp_path: Path) -> None:
    project = bench(tmp_path, THREE)
    result = project.run()
    assert result.output == {"errors": ["denied"]}
    assert sum(WORLD.count("once").values()) == 2
    counted = [counts[0].number for _, counts in verdicts(project).values()]
    assert sorted(counted) == [0, 1, 2]
    project.close()


def test_what_rules_counted_is_on_record(tmp_path: Path) -> None:
    project = bench(tmp_path, 'await ctx.skill("look", 1)\nreturn await ctx.skill("idem", 2)')
    assert project.run().output == 2
    assert verdicts(project)["idem#1"] == ("tests-may", (Count("skill:look", 1, True),))
    project.close()


def test_a_deny_shows_what_it_counted(tmp_path: Path) -> None:
    project = bench(tmp_path, 'return await ctx.skill("idem", 2)')
    assert project.run().status == "denied"
    assert verdicts(project)["idem#1"] == ("look-first", (Count("skill:look", 0, False),))
    project.close()


def test_a_run_that_is_cut_anywhere_counts_the_same_when_it_is_resumed(tmp_path: Path) -> None:
    body = 'await ctx.skill("trans", 1)\nawait ctx.skill("idem", 2)\nreturn await ctx.skill("look", 3)'
    limit = swapped(LIMIT, ('skill:once") >= 2', 'skill:*") >= 2'), ('"skill:look")', '"skill:trans")'))
    project = Bench(tmp_path, {**KINDS, **agent("main", body, uses=USES), "policies/limit.yaml": limit})
    history = History(project.app)
    assert project.run().status == "denied"
    expected = verdicts(project)
    assert expected["idem#1"] == ("tests-may", (Count("skill:trans", 1, True),))
    assert expected["look#1"] == ("at-most-two", (Count("skill:*", 2, True),))
    for cut in range(1, len(history.facts)):
        again = project.on(history.cut(cut))
        assert again.resume(again.app).status == "denied"
        assert verdicts(again) == expected
    project.close()


def started(id: str, target: str = "skill:aa@1.0.0") -> StepStarted:
    proposal = Proposal("skill", target, Effect.IDEMPOTENT)
    return StepStarted(at=1, step=StepId(id), proposal=proposal, verdict=MAY, attempt=1, key="k", act_by=9, input=b"1")


def ended(id: str) -> list[facts.Fact]:
    return [started(id), facts.StepSucceeded(at=2, step=StepId(id), took=1, output=b"1")]


def failed(id: str) -> list[facts.Fact]:
    return [started(id), facts.StepFailed(at=2, step=StepId(id), type=ErrorType.RAISED, attempt=1, output=b"{}")]


def tally(*more: facts.Fact) -> tuple[Tally, Run]:
    run = Run(RunId("r"))
    for fact in more:
        evolve(run, fact)
    return Tally(run), run


ASKED: Final = (Counted("skill:aa", pattern("skill:aa")),)


@pytest.mark.parametrize(
    ("history", "number", "after"),
    [
        ([], 0, False),
        ([started("x")], 1, False),
        (ended("x"), 1, True),
        (failed("x"), 0, False),
        ([*ended("x"), started("y"), *failed("z")], 2, True),
        ([started("x", "skill:bb@1.0.0")], 0, False),
        ([started("me")], 0, False),
        ([facts.StepSkipped(at=1, step=StepId("x"), why="")], 0, False),
        ([facts.StepInDoubt(at=2, step=StepId("x"), reason="")], 1, False),
    ],
)
def test_a_step_counts_while_it_may_have_happened(history: list[Any], number: int, after: bool) -> None:
    if history and isinstance(history[0], facts.StepInDoubt):
        history = [started("x"), *history]
    found, _ = tally(*history)
    for _ in range(2):
        assert found.counts(ASKED, StepId("me")) == (Count("skill:aa", number, after),)


def test_a_reserved_step_counts_until_it_fails() -> None:
    found, run = tally()
    found.reserve(StepId("x"), "skill:aa@1.0.0")
    assert found.counts(ASKED, StepId("me"))[0].number == 1
    assert found.counts(ASKED, StepId("x"))[0].number == 0
    for fact in failed("x"):
        evolve(run, fact)
    assert found.counts(ASKED, StepId("me"))[0].number == 0


def test_counts_are_written_down_and_read_back() -> None:
    counted = Verdict(Decision.ALLOW, "r", "p:1", "", "h", (Count("skill:aa", 2, True), Count("tool:*", 0, False)))
    for verdict in (counted, MAY):
        proposal = Proposal("skill", "skill:aa@1.0.0", Effect.READ)
        fact = StepDone(
            at=1, step=StepId("x"), proposal=proposal, verdict=verdict, attempt=1, took=0, input=b"1", output=b"1"
        )
        sealed = seal(fact, b"0" * 16)
        assert unseal(sealed) == fact
        assert (b"counts" in sealed.body) is bool(verdict.counts)


ASKS: Final = """\
kind: policy
schema: 1
rules:
  - {id: one-only, on: ["skill:once", "skill:idem"], when: 'run.count("skill:once") >= 1', verdict: deny}
  - {id: people, on: ["skill:once"], verdict: ask}
"""
PEOPLE: Final = "kind: people\nschema: 1\npeople:\n  - {id: ann, proof: os_user}\n"


@pytest.mark.parametrize("budget", [None, "{calls: 9}"])
def test_approved_siblings_cannot_pass_a_limit_together(tmp_path: Path, budget: str | None) -> None:
    """Under a budget an intent is believed after its commit; what is approved counts before that."""
    more = {} if budget is None else {"budget": budget}
    files = {**KINDS, "policies/limit.yaml": ASKS, "people.yaml": PEOPLE, **agent("main", THREE, USES, **more)}
    project = Bench(tmp_path, files, actor="tester")
    assert project.run().status == "parked"
    for row in project.store.tickets(TicketQuery()):
        project.app.approvals.decide(row.id, ApprovalDecision(Acting("ann", Proof.OS_USER), Answer.APPROVE))
    assert project.resume().output == {"errors": ["denied", "denied"]}
    assert sum(WORLD.count("once").values()) == 1
    project.close()


def test_what_is_on_its_way_counts_for_a_rule_that_asks_for_the_first_time(tmp_path: Path) -> None:
    body = """
    results = await ctx.gather(ctx.skill("once", 1), ctx.skill("idem", 2), on_error="collect")
    return {"errors": [error["type"] for error in results.errors]}
    """
    limit = swapped(ASKS, ('["skill:once", "skill:idem"]', '["skill:idem"]'), ("verdict: ask", "verdict: allow"))
    program = agent("main", body, USES, budget="{calls: 9}")
    project = Bench(tmp_path, {**KINDS, "policies/limit.yaml": limit, **program})
    assert project.run().output == {"errors": ["denied"]}
    project.close()
