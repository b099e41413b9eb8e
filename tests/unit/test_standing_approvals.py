"""Standing approvals: what one person approved beforehand answers an ask, and nothing more than that."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.approval import Acting, Answer, ApprovalRule, Proof, Reach
from magsag.domain.errors import Invalid, Refused
from magsag.domain.facts import RunStatus, StandingApproved, StepStarted
from magsag.domain.ids import RunId
from magsag.domain.manifests.people import Person
from magsag.policy.people import People
from magsag.policy.standing_approval import Wanted, answers
from magsag.ports.ledger import TicketQuery, Write
from magsag.ports.standing_approvals import Leaning
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Order
from magsag.services.insight.audit import Asked
from magsag.services.people.approvals import Decision
from magsag.services.people.standing_approvals import Beforehand, StandingView
from tests.unit.test_approvals import ONE, PEOPLE, RULE
from tests.unit.world import KINDS, WORLD, Bench, Files, agent

TWICE = 'await ctx.skill("once", {"amount": payload})\nreturn await ctx.skill("once", {"amount": payload + 1})'
HOUR = 3600.0
RUN, AGENT = Beforehand(Reach.RUN, HOUR), Beforehand(Reach.AGENT, HOUR)
Make = Callable[..., Bench]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    WORLD.reset()

    def made(
        body: str = TWICE, policy: str = ONE, people: str = PEOPLE, files: Files | None = None, **more: Any
    ) -> Bench:
        base = {**KINDS, **agent("main", body, "skill:once, skill:idem, skill:look"), "people.yaml": people}
        return Bench(tmp_path, {**base, "policies/allow.yaml": policy, **(files or {})}, **{"actor": "tester", **more})

    return made


def asked(bench: Bench) -> list[str]:
    return [one.id for one in bench.app.approvals.list(TicketQuery(waiting=True))]


def approve(bench: Bench, how: Beforehand | None = None, name: str = "maria") -> None:
    (id,) = asked(bench)
    bench.app.approvals.decide(id, Decision(Acting(name, Proof.OS_USER), Answer.APPROVE, standing=how))


def run(bench: Bench, id: str, payload: object = 1, **order: Any) -> RunResult:
    return bench.time.run(bench.app.runs.run(Order("agent:main", payload, run_id=id, **order)))


def given(bench: Bench, how: Beforehand) -> StandingView:
    """The first run asked, maria approved it with this; it has ended."""
    run(bench, "r")
    approve(bench, how)
    bench.resume()
    while asked(bench):
        approve(bench)
        bench.resume()
    WORLD.calls.clear()
    (standing,) = bench.app.standing_approvals.list()
    return standing


def revoke(bench: Bench, standing: StandingView) -> None:
    bench.app.standing_approvals.revoke(standing.id, Acting("chen", Proof.OS_USER), "enough")


def test_the_same_act_in_the_same_run_is_not_asked_about_again(make: Make) -> None:
    bench = make()
    assert run(bench, "r").status is RunStatus.PARKED
    approve(bench, RUN)
    assert bench.resume().output == {"amount": 2}
    (standing,) = bench.app.standing_approvals.list()
    started = [fact for fact in bench.facts() if isinstance(fact, StepStarted)]
    assert [(fact.verdict.decision, fact.approval is None, fact.standing) for fact in started] == [
        ("ask", False, None),
        ("ask", True, standing.id),
    ]
    steps = bench.app.insight.show(RunId("r")).steps
    assert [(one.approved_by, one.standing) for one in steps] == [(("maria",), None), ((), standing.id)]
    (said,) = [fact for fact in bench.facts() if isinstance(fact, StandingApproved)]
    assert (said.by, said.reach, said.rule, said.until - said.at) == ("maria", "run", "two-look", HOUR * 1e6)
    assert bench.store.check() == []
    assert run(bench, "other").status is RunStatus.PARKED


def test_for_an_agent_it_answers_in_every_run_until_its_time_is_up(make: Make) -> None:
    bench = make()
    given(bench, AGENT)
    assert run(bench, "second").status is RunStatus.SUCCEEDED
    bench.time.passed += HOUR
    assert run(bench, "third").status is RunStatus.PARKED
    assert bench.app.standing_approvals.list() == []
    (over,) = bench.app.standing_approvals.list(every=True)
    assert (over.is_over, over.is_revoked) == (True, False)


def test_the_audit_log_names_it_where_it_was_made_used_and_revoked(make: Make) -> None:
    bench = make('return await ctx.skill("once", {"amount": payload})')
    standing = given(bench, AGENT)
    run(bench, "second")
    revoke(bench, standing)
    said = [one.said for one in bench.app.audit.log(Asked()) if standing.id in (one.said or "")]
    made, used, revoked = f"approve for the agent beforehand: {standing.id}", "ask, standing approval", "revoke"
    assert sorted(str(one) for one in said) == [made, f"{used} {standing.id}", f"{revoked} {standing.id}"]


def test_what_was_read_of_the_run_that_it_was_made_in_is_not_read_again(make: Make) -> None:
    class Counting(MemoryStore):
        read_of_r = 0

        def read(self, run: RunId, after: int = 0) -> Any:
            found = super().read(run, after)
            self.read_of_r += len(found) * (run == "r")
            return found

    bench = make('return await ctx.skill("once", {"amount": payload})')
    bench.store = store = Counting()
    bench.app = bench.process(store)
    standing = given(bench, AGENT)
    run(bench, "second")
    before = store.read_of_r
    for id in ("third", "fourth"):
        assert run(bench, id).status is RunStatus.SUCCEEDED
    assert store.read_of_r == before
    revoke(bench, standing)
    assert run(bench, "fifth").status is RunStatus.PARKED


def test_a_revoked_one_answers_no_more_and_who_revoked_it_is_on_record(make: Make) -> None:
    bench = make()
    standing = given(bench, AGENT)
    revoke(bench, standing)
    assert run(bench, "second").status is RunStatus.PARKED
    assert bench.kinds()[-1] == "StandingRevoked"
    assert bench.store.check() == []
    with pytest.raises(Refused, match="revoked already"):
        revoke(bench, standing)


def test_a_stranger_revokes_nothing(make: Make) -> None:
    bench = make()
    standing = given(bench, AGENT)
    with pytest.raises(Refused, match=r"mallory is not in people\.yaml"):
        bench.app.standing_approvals.revoke(standing.id, Acting("mallory", Proof.OS_USER))


def test_it_holds_only_where_its_condition_does(make: Make) -> None:
    bench = make('return await ctx.skill("once", {"amount": payload})')
    given(bench, Beforehand(Reach.AGENT, HOUR, "args.amount < 10"))
    assert run(bench, "small", 9).status is RunStatus.SUCCEEDED
    assert run(bench, "large", 10).status is RunStatus.PARKED
    assert run(bench, "odd", "a").status is RunStatus.PARKED


@pytest.mark.parametrize(
    ("when", "why"),
    [("args.amount <", "column"), ("1 + 1", "not true or false"), ('run.count("skill:once") < 1', "counts nothing")],
)
def test_a_condition_that_says_nothing_is_refused_and_nothing_is_on_record(make: Make, when: str, why: str) -> None:
    bench = make()
    run(bench, "r")
    before = bench.kinds()
    with pytest.raises(Invalid, match=why):
        approve(bench, Beforehand(Reach.RUN, HOUR, when))
    assert bench.kinds() == before


@pytest.mark.parametrize("seconds", [0, -1.0, 31 * 86_400.0])
def test_it_has_an_end_that_can_be_seen(make: Make, seconds: float) -> None:
    bench = make()
    run(bench, "r")
    with pytest.raises(Invalid, match="at most 30 days"):
        approve(bench, Beforehand(Reach.RUN, seconds))


def test_one_word_stands_for_no_quorum_of_two(make: Make) -> None:
    bench = make(policy=RULE)
    run(bench, "r")
    with pytest.raises(Refused, match="asks for 2 people"):
        approve(bench, RUN)


def test_a_requester_and_the_wrong_role_make_none(make: Make) -> None:
    bench = make()
    run(bench, "r")
    for name, why in (("tester", "asked for it"), ("bo", "may not decide")):
        with pytest.raises(Refused, match=why):
            approve(bench, RUN, name)
    assert bench.app.standing_approvals.list(every=True) == []


def test_its_owner_is_asked_for_by_nobody_in_runs_of_their_own(make: Make) -> None:
    bench = make()
    given(bench, AGENT)
    assert run(bench, "hers", requester="maria").status is RunStatus.PARKED


@pytest.mark.parametrize(
    "policy",
    [
        RULE,
        ONE.replace("two-look", "another-rule"),
        ONE.replace("roles: [hr, finance]", "roles: [board]"),
        ONE + "environments:\n  development: {tighten: {skill:once: deny}}\n",
    ],
    ids=["more people", "another rule", "another role", "denied here"],
)
def test_the_policy_in_force_decides_what_it_still_answers(make: Make, policy: str) -> None:
    store = given_store(make)
    stricter = make(policy=policy, store=store)
    result = run(stricter, "second")
    assert result.status in (RunStatus.PARKED, RunStatus.DENIED)
    assert not WORLD.calls


def given_store(make: Make) -> Any:
    """A ledger in which maria approved for the agent."""
    bench = make()
    given(bench, AGENT)
    return bench.store


def test_before_it_was_given_and_once_it_is_over_it_answers_nothing(make: Make) -> None:
    bench = make()
    given(bench, AGENT)
    (said,) = [fact for fact in bench.facts() if isinstance(fact, StandingApproved)]
    people = People({"maria": Person(id="maria", roles=("hr",), proof=Proof.OS_USER)})
    wanted = Wanted(RunId("r"), said.program, said.proposal, said.rule, ApprovalRule(), said.environment, ("tester",))
    moments = (said.at - 1, said.at, said.until - 1, said.until)
    assert [answers(said, RunId("r"), wanted, people, now) for now in moments] == [False, True, True, False]


def test_another_environment_asks_again(make: Make) -> None:
    assert run(make(store=given_store(make), environment="production"), "second").status is RunStatus.PARKED


def test_somebody_who_left_answers_no_more(make: Make) -> None:
    people = PEOPLE.replace("  - {id: maria, roles: [hr], proof: os_user}\n", "")
    assert run(make(people=people, store=given_store(make)), "second").status is RunStatus.PARKED


def test_what_is_revoked_between_verdict_and_intent_is_not_done(make: Make) -> None:
    bench = make()
    standing = given(bench, AGENT)
    store, real = bench.store, bench.store.write

    def late(writes: Any, level: Any) -> Any:
        if any(item.leans for item in writes):
            store.write = real  # type: ignore[method-assign]
            revoke(bench, standing)
        return real(writes, level)

    store.write = late  # type: ignore[method-assign]
    assert run(bench, "second").status is RunStatus.PARKED
    assert not WORLD.calls
    assert [fact for fact in bench.facts("second") if isinstance(fact, StepStarted)] == []


def test_what_runs_out_between_verdict_and_intent_is_not_done(make: Make) -> None:
    bench = make()
    standing = given(bench, AGENT)
    (lease,) = [bench.store.acquire(RunId("r"), bench.store.owner(), 60)]
    item = Write(RunId("r"), RunId("r"), [], lease, leans=[Leaning(standing.id, 1, standing.said.until)])  # type: ignore[arg-type]
    (answer,) = bench.store.write([item], 1)  # type: ignore[arg-type]
    assert getattr(answer, "why", "") == "approval"


def test_a_row_without_its_fact_gives_no_right(make: Make) -> None:
    bench = make('return await ctx.skill("once", {"amount": payload})')
    standing = given(bench, AGENT)
    rows: Any = bench.store
    held = rows._standing_approvals.rows
    held["made-up"] = replace(held.pop(standing.id), id="made-up")
    assert run(bench, "second").status is RunStatus.PARKED


def test_a_row_that_was_put_back_after_it_was_revoked_gives_no_right(make: Make) -> None:
    bench = make('return await ctx.skill("once", {"amount": payload})')
    standing = given(bench, AGENT)
    rows: Any = bench.store
    held = dict(rows._standing_approvals.rows)
    revoke(bench, standing)
    rows._standing_approvals.rows.update(held)
    assert run(bench, "second").status is RunStatus.PARKED


def test_a_condition_that_this_version_cannot_read_answers_nothing(make: Make) -> None:
    bench = make('return await ctx.skill("once", {"amount": payload})')
    given(bench, Beforehand(Reach.AGENT, HOUR, "args.amount < 10"))
    rows: Any = bench.store
    facts = rows._runs[RunId("r")].facts
    at = next(at for at, (fact, _) in enumerate(facts) if fact.kind == "StandingApproved")
    other = facts[at][0].body.replace(b"args.amount < 10", b"args.amount ~~ 1")
    facts[at] = (replace(facts[at][0], body=other), facts[at][1])
    assert run(bench, "small", 9).status is RunStatus.PARKED


def test_a_read_that_is_asked_about_is_answered_too(make: Make) -> None:
    body = 'await ctx.skill("look", 1)\nreturn await ctx.skill("look", 2)'
    bench = make(body, ONE.replace("skill:once", "skill:look"))
    run(bench, "r")
    approve(bench, RUN)
    assert bench.resume().status is RunStatus.SUCCEEDED
    assert [fact.standing is None for fact in bench.facts() if isinstance(fact, StepStarted)] == [False, True][::-1]


SMITH = PEOPLE.replace(
    "{id: maria, roles: [hr], proof: os_user}", "{id: maria, roles: [hr], proof: claim, os_user: m.smith}"
)


def test_a_person_who_shows_it_in_another_way_is_the_same_person(make: Make) -> None:
    bench = make(people=SMITH, actor="m.smith")
    run(bench, "r")
    (id,) = asked(bench)
    with pytest.raises(Refused, match="maria asked for it"):
        bench.app.approvals.decide(id, Decision(Acting("maria", Proof.CLAIM), Answer.APPROVE))


def test_two_entries_for_one_login_name_are_a_finding(make: Make) -> None:
    with pytest.raises(AssertionError, match="the login name chen is that of maria already"):
        make(people=SMITH.replace("m.smith", "chen"))
