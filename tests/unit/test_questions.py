"""`ctx.approve`: a program asks people itself; what they say, it is told, and the same again on every resume."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from magsag.domain.approval import Acting, Answer, Proof, Reach
from magsag.domain.errors import ErrorType, Invalid, Refused, StoreBroken
from magsag.domain.facts import RunStatus, StepHeld
from magsag.domain.ids import RunId
from magsag.ports.ledger import TicketQuery
from magsag.services.people.answerable import unanswerable_tickets
from magsag.services.people.approvals import Decision
from magsag.services.people.standing_approvals import Beforehand
from tests.unit.test_approvals import PEOPLE
from tests.unit.world import KINDS, WORLD, Bench, agent

ASKS = 'return await ctx.approve("Pay it?", {"amount": payload}, roles=["hr", "finance"], quorum=2, ttl=3600)'
NONE = "kind: policy\nschema: 1\nrules: []\n"
Make = Callable[..., Bench]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    WORLD.reset()

    def made(body: str = ASKS, policy: str = NONE, **more: Any) -> Bench:
        files = {**KINDS, **agent("main", body, "skill:pure"), "people.yaml": PEOPLE, "policies/allow.yaml": policy}
        return Bench(tmp_path, files, **{"actor": "tester", **more})

    return made


def say(bench: Bench, name: str, how: Answer = Answer.APPROVE, **more: Any) -> None:
    (ticket,) = bench.app.approvals.list(TicketQuery(waiting=True))
    bench.app.approvals.decide(ticket.id, Decision(Acting(name, Proof.OS_USER), how, **more))


def test_a_program_is_told_who_approved_and_why(make: Make) -> None:
    bench = make()
    parked = bench.run(5)
    assert (parked.status, parked.reasons[0].on) == (RunStatus.PARKED, "approval")
    (ticket,) = bench.app.approvals.list(TicketQuery(waiting=True))
    shown = bench.app.approvals.show(ticket.id)
    assert (ticket.question, ticket.arguments, shown.question) == ("Pay it?", None, "Pay it?")
    assert (shown.arguments["question"], shown.arguments["payload"]) == ("Pay it?", {"amount": 5})
    assert (shown.about.proposal.target, shown.about.verdict.rule) == ("approval:question", "program-asks")
    say(bench, "maria", reason="fine with me")
    assert bench.resume().status is RunStatus.PARKED
    say(bench, "chen", reason="there is money")
    told = {"approved": True, "by": ["maria", "chen"], "reason": "fine with me; there is money"}
    assert bench.resume().output == told
    assert bench.step("approve#1").proposal.effect == "wait"
    assert bench.store.check() == []
    assert bench.time.run(bench.app.replay.replay(RunId("r"))).difference is None


def test_a_process_that_dies_with_the_answer_in_hand_leaves_it_on_record(make: Make) -> None:
    bench = make()
    bench.run(5)
    say(bench, "maria")
    say(bench, "chen")
    whole = bench.store.write

    def dies(writes: Any, level: Any) -> Any:
        if any(fact.kind == "StepSucceeded" for item in writes for fact in item.facts):
            raise StoreBroken("the process died")
        return whole(writes, level)

    bench.store.write = dies  # type: ignore[method-assign]
    with pytest.raises(StoreBroken):
        bench.resume()
    assert bench.kinds()[-1] == "StepStarted"
    bench.store.write = whole  # type: ignore[method-assign]
    assert bench.resume().output["by"] == ["maria", "chen"]


def test_a_program_is_told_of_a_no_and_goes_on(make: Make) -> None:
    bench = make()
    bench.run(5)
    say(bench, "chen", Answer.DENY, reason="no money")
    assert bench.resume().output == {"approved": False, "by": ["chen"], "reason": "no money"}


@pytest.mark.parametrize("name", ["tester", "bo", "mallory"])
def test_requester_stranger_and_the_wrong_role_do_not_answer(make: Make, name: str) -> None:
    bench = make()
    bench.run(5)
    with pytest.raises(Refused):
        say(bench, name)


def test_what_nobody_answers_in_time_is_not_approved_or_fails(make: Make) -> None:
    bench = make()
    bench.run(5)
    bench.time.passed += 3601
    told = bench.resume().output
    assert (told["approved"], told["by"]) == (False, [])
    assert "not approved in time" in told["reason"]


def test_a_question_that_is_to_fail_in_time_does(make: Make) -> None:
    bench = make(ASKS.replace("ttl=3600", 'ttl=3600, on_expire="fail"'))
    bench.run(5)
    bench.time.passed += 3601
    failed = bench.resume()
    assert failed.error is not None
    assert failed.error.type is ErrorType.TIMEOUT


def test_those_it_escalates_to_answer_later(make: Make) -> None:
    bench = make(ASKS.replace("quorum=2, ttl=3600", 'ttl=3600, on_expire="escalate", escalate_to=["board"]'))
    bench.run(5)
    with pytest.raises(Refused, match="may not decide"):
        say(bench, "bo")
    bench.time.passed += 3601
    say(bench, "bo")
    assert bench.resume().output["by"] == ["bo"]


def test_a_fork_asks_again(make: Make) -> None:
    bench = make(f"await ctx.skill('pure', 1)\n{ASKS}")
    bench.run(5)
    say(bench, "maria")
    say(bench, "chen")
    bench.resume()
    bench.app.forks.fork(RunId("r"), "approve#1", (), "again")
    assert bench.time.run(bench.process().runs.resume(RunId("again"))).status is RunStatus.PARKED


def test_a_policy_denies_a_question_or_asks_for_more_people(make: Make) -> None:
    rule = '  - {id: q, on: ["approval:question"], verdict: %s}\n'
    denied = make(policy=NONE.replace(" []\n", "\n") + rule % "deny").run(5)
    assert denied.error is not None
    assert "denied by rule q" in denied.error.message


def test_the_stricter_of_policy_and_program_speaks(make: Make) -> None:
    rule = '  - {id: q, on: ["approval:*"], verdict: ask, approval: {quorum: 3, roles: [hr]}}\n'
    bench = make(policy=NONE.replace(" []\n", "\n") + rule)
    bench.run(5)
    (held,) = [fact for fact in bench.facts() if isinstance(fact, StepHeld)]
    assert held.ask is not None
    assert (held.verdict.rule, held.ask.rule.quorum, held.ask.rule.roles) == ("q", 3, ("hr",))
    one = rule.replace("quorum: 3", "quorum: 1")
    other = make(policy=NONE.replace(" []\n", "\n") + one, store=None)
    other.run(5)
    (held,) = [fact for fact in other.facts() if isinstance(fact, StepHeld)]
    assert held.ask is not None
    assert (held.verdict.rule, held.ask.rule.quorum, held.ask.rule.roles) == ("q", 2, ("hr", "finance"))


def test_nobody_is_asked_in_a_dry_run(make: Make) -> None:
    done = make(mode="dry_run").run(5)
    assert done.output == {"approved": True, "by": [], "reason": "dry run: nobody was asked"}


def test_with_approvals_off_a_question_is_denied(make: Make) -> None:
    from magsag.domain.settings import Features

    denied = make(features=Features(approvals=False)).run(5)
    assert denied.error is not None
    assert "approvals are switched off" in denied.error.message


def test_a_question_is_answered_as_it_was_asked_and_each_time(make: Make) -> None:
    bench = make()
    bench.run(5)
    with pytest.raises(Invalid, match="yes or no"):
        say(bench, "maria", arguments=({"question": "Less?"},))
    with pytest.raises(Invalid, match="each time"):
        say(bench, "maria", standing=Beforehand(Reach.RUN, 60.0))


def test_a_replay_of_the_policies_finds_no_flip(make: Make) -> None:
    bench = make()
    bench.run(5)
    say(bench, "maria")
    say(bench, "chen")
    bench.resume()
    tried = bench.app.policy_replay.replay(bench.app.catalog.policies)
    assert (tried.flips, tried.not_decidable, tried.equal) == ([], [], tried.decisions)
    assert tried.decisions > 0


@pytest.mark.parametrize(
    ("call", "why"),
    [
        ('ctx.approve("")', "in words"),
        ('ctx.approve("?", quorum=0)', "quorum is 0"),
        ('ctx.approve("?", on_expire="wait")', "deny, escalate, fail"),
        ('ctx.approve("?", roles="hr")', "a list of names"),
        ('ctx.approve("?", escalate_to=["board"])', "goes with"),
        ('ctx.approve("?", ttl=0)', "longer than nothing"),
    ],
)
def test_what_no_people_could_answer_is_refused(make: Make, call: str, why: str) -> None:
    failed = make(f"return await {call}").run(5)
    assert failed.error is not None
    assert why in failed.error.message


@pytest.mark.parametrize(
    ("call", "why"),
    [
        ('roles=["finanse"]', "asks the role finanse, and people.yaml has the roles board, finance, hr: name"),
        (
            'people=["chen", "xi", "yo"]',
            "asks the names xi, yo, and people.yaml has the names bo, chen, maria, tester:",
        ),
        ('on_expire="escalate", escalate_to=["bord"]', "asks the role bord, and"),
        ('roles=["hr"], quorum=3', "it takes 3 people (the role hr), and 1 may (tester asked for it, so somebody"),
        ("quorum=9", "it takes 9 people (anybody in people.yaml), and 3 may"),
        ('people=["tester"]', "it takes 1 person (tester), and nobody may (tester asked for it"),
    ],
)
def test_a_question_that_nobody_there_could_answer_is_refused(make: Make, call: str, why: str) -> None:
    bench = make(f'return await ctx.approve("?", {call})')
    failed = bench.run(5)
    assert failed.error is not None
    assert (failed.error.type, failed.error.step) == (ErrorType.INVALID_VALUE, "approve#1")
    assert failed.error.message.startswith("ctx.approve of step approve#1: ")
    assert why in failed.error.message
    assert bench.app.approvals.list(TicketQuery()) == []
    assert bench.time.run(bench.app.replay.replay(RunId("r"))).difference is None


def test_where_people_cannot_be_read_a_question_waits_and_says_so(make: Make) -> None:
    bench = make()
    bench.files = {path: text for path, text in bench.files.items() if path != "people.yaml"}
    (bench.folder / "catalog/people.yaml").unlink()
    parked = bench.run(5, app=bench.process())
    assert (parked.status, parked.reasons[0].on) == (RunStatus.PARKED, "approval")
    assert "0 of 2 approved; this cannot be approved: the catalog has no people.yaml" in parked.reasons[0].reason


def test_a_ticket_is_said_to_wait_for_nobody_once_people_are_gone(make: Make) -> None:
    bench = make()
    bench.run(5)
    (ticket,) = bench.app.approvals.list(TicketQuery(waiting=True))
    assert bench.app.approvals.show(ticket.id).unanswerable is None
    one = "kind: people\nschema: 1\npeople: [{id: maria, roles: [hr], proof: os_user}]\n"
    bench.files = {**bench.files, "people.yaml": one}
    later = bench.process()
    why = later.approvals.show(ticket.id).unanswerable
    assert why is not None
    assert "it takes 2 people (the role hr or the role finance), and 1 may; add somebody" in why
    assert why in bench.resume().reasons[0].reason
    assert list(unanswerable_tickets(bench.store, later.catalog.people)) == [(ticket.id, why)]
