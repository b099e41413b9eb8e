"""Approvals from the ask to the act: opened, decided, spent once, on what was approved, by people who may."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.approval import Acting, Answer, Proof, TicketState
from magsag.domain.errors import ErrorType, Invalid, Refused, Retryable
from magsag.domain.facts import ApprovalDecided, ParkedOn, RunStatus, StepHeld, StepStarted, StepStatus
from magsag.domain.ids import RunId
from magsag.ports.ledger import TicketQuery
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Order
from magsag.services.people.approvals import Decision, TicketView
from magsag.surfaces.cli.approving import put_ticket
from magsag.surfaces.cli.parked import wake_of
from tests.unit.world import KINDS, WORLD, Bench, Files, agent, contract, skill

PEOPLE = """\
kind: people
schema: 1
people:
  - {id: maria, roles: [hr], proof: os_user}
  - {id: chen, roles: [finance], proof: os_user}
  - {id: bo, roles: [board], proof: os_user}
  - {id: tester, roles: [hr], proof: os_user}
"""
RULE = """\
kind: policy
schema: 1
rules:
  - id: two-look
    on: ["skill:once"]
    verdict: ask
    reason: money leaves
    approval: {quorum: 2, roles: [hr, finance], ttl: 1h}
"""
ONE = RULE.replace("quorum: 2", "quorum: 1")
PAY = 'return await ctx.skill("once", {"amount": payload})'
HOUR = 3600.0
Make = Callable[..., Bench]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    WORLD.reset()

    def made(body: str = PAY, policy: str = RULE, files: Files | None = None, **settings: Any) -> Bench:
        base = {**KINDS, **agent("main", body, "skill:once, skill:idem, skill:look, skill:pure"), "people.yaml": PEOPLE}
        settings = {"actor": "tester", **settings}
        return Bench(tmp_path, {**base, "policies/allow.yaml": policy, **(files or {})}, **settings)

    return made


def ticket(bench: Bench) -> TicketView:
    (found,) = bench.app.approvals.list(TicketQuery(waiting=True))
    return found


def answer(bench: Bench, name: str, how: Answer = Answer.APPROVE, *, id: str = "", **more: Any) -> TicketView:
    said = Decision(Acting(name, Proof.OS_USER), how, **more)
    return bench.app.approvals.decide(id or ticket(bench).id, said)


def altered(bench: Bench) -> MemoryStore:
    """The store, for whoever gets at it past its port."""
    assert isinstance(bench.store, MemoryStore)
    return bench.store


def approved(bench: Bench, *names: str) -> RunResult:
    id = ticket(bench).id
    for name in names:
        answer(bench, name, id=id)
    return bench.resume()


def test_what_two_people_approved_happens_once(make: Make) -> None:
    bench = make()
    parked = bench.run(5)
    (reason,) = parked.reasons
    assert (parked.status, reason.on, reason.ticket) == (RunStatus.PARKED, ParkedOn.APPROVAL, ticket(bench).id)
    assert reason.reason.endswith("money leaves; 0 of 2 approved")
    assert answer(bench, "maria").state is TicketState.OPEN
    assert "1 of 2 approved" in bench.resume().reasons[0].reason
    assert answer(bench, "chen").state is TicketState.APPROVED
    assert not WORLD.calls
    assert bench.resume().output == {"amount": 5}
    assert [name for name, _ in WORLD.calls] == ["once"]
    assert bench.app.approvals.show(reason.ticket or "").state is TicketState.SPENT
    assert bench.store.check() == []


def test_a_claim_counts_by_the_environment_of_the_run_and_not_of_whoever_claims(make: Make, tmp_path: Path) -> None:
    bench = make(
        policy=ONE, files={"people.yaml": PEOPLE.replace("proof: os_user", "proof: claim")}, environment="live"
    )
    bench.run(5)
    at_home = bench.process()
    at_home.settings = replace(at_home.settings, environment="development")
    said = Decision(at_home.identity.acting("maria"), Answer.APPROVE)
    with pytest.raises(Refused, match="a claim counts in development only, and run r is in live"):
        at_home.approvals.decide(ticket(bench).id, said)
    assert ticket(bench).about.ticket.answers == ()


@pytest.mark.parametrize("names", [(), ("maria", "chen")])
def test_the_ticket_of_a_run_that_ended_first_is_shown_as_ended(make: Make, names: tuple[str, ...]) -> None:
    bench = make()
    run, id = bench.run(5).run, ticket(bench).id
    for name in names:
        answer(bench, name, id=id)
    asyncio.run(bench.app.runs.cancel(run, "tester"))
    approvals = bench.app.approvals
    assert [approvals.show(id).state, *(one.state for one in approvals.list(TicketQuery()))] == [TicketState.ENDED] * 2
    bench.time.passed += HOUR
    assert approvals.show(id).state is TicketState.ENDED
    assert approvals.list(TicketQuery(waiting=True)) == []


def test_the_record_tells_who_was_asked_who_answered_and_what_was_spent(make: Make) -> None:
    bench = make()
    bench.run(5)
    id = ticket(bench).id
    approved(bench, "maria", "chen")
    held = next(fact for fact in bench.facts() if isinstance(fact, StepHeld))
    answers = [fact for fact in bench.facts() if isinstance(fact, ApprovalDecided)]
    started = next(fact for fact in bench.facts() if isinstance(fact, StepStarted))
    assert held.ask is not None
    assert (held.ask.ticket, held.ask.rule.quorum, held.ask.rule.roles) == (id, 2, ("hr", "finance"))
    assert [(one.by, one.proof, one.ticket) for one in answers] == [("maria", "os_user", id), ("chen", "os_user", id)]
    assert {one.people for one in answers} == {bench.app.catalog.people.hash}
    assert started.approval == id


def test_a_ticket_shows_the_rule_and_the_arguments(make: Make) -> None:
    bench = make()
    bench.run({"to": "ben"})
    shown = bench.app.approvals.show(ticket(bench).id)
    assert shown.arguments == {"amount": {"to": "ben"}}
    assert (shown.about.verdict.rule, shown.about.proposal.target) == ("two-look", "skill:once@1.0.0")
    assert shown.about.ticket.requesters == ("tester",)


def test_a_marked_field_is_masked_in_what_is_shown(make: Make) -> None:
    schema = '{"type": "object", "properties": {"amount": {}, "iban": {"type": "string", "x-redact": true}}}'
    files = {**skill("once", "unrepeatable", contracts="{input: pay}"), **contract("pay", schema)}
    bench = make('return await ctx.skill("once", {"amount": 1, "iban": "DE02"})', files=files)
    bench.run(5)
    shown = bench.app.approvals.show(ticket(bench).id)
    assert shown.arguments == {"amount": 1, "iban": "[redacted]"}


@pytest.mark.parametrize(
    ("name", "why"),
    [("tester", "somebody else has to decide"), ("bo", "may not decide"), ("mallory", "not in people.yaml")],
)
def test_requester_stranger_and_the_wrong_role_are_refused_and_decide_nothing(make: Make, name: str, why: str) -> None:
    bench = make()
    bench.run(5)
    before = bench.kinds()
    with pytest.raises(Refused, match=why):
        answer(bench, name)
    assert bench.kinds() == [*before, "DecisionRefused"]
    assert (ticket(bench).state, ticket(bench).about.ticket.answers) == (TicketState.OPEN, ())


def test_on_whose_behalf_it_runs_does_not_decide_either(make: Make) -> None:
    bench = make()
    bench.time.run(bench.app.runs.run(Order("agent:main", 5, run_id="r", requester="maria")))
    with pytest.raises(Refused, match="maria asked for it"):
        answer(bench, "maria")


def test_a_deny_ends_the_step_with_its_reason(make: Make) -> None:
    bench = make()
    bench.run(5)
    answer(bench, "maria")
    answer(bench, "chen", Answer.DENY, reason="too much")
    result = bench.resume()
    assert (result.status, result.error and result.error.type) == (RunStatus.DENIED, ErrorType.DENIED)
    assert "was denied by chen: too much" in str(result.error)
    assert not WORLD.calls


def test_nothing_more_is_said_of_a_ticket_that_was_decided(make: Make) -> None:
    bench = make(policy=ONE)
    bench.run(5)
    id = ticket(bench).id
    answer(bench, "maria", Answer.DENY)
    with pytest.raises(Refused, match="is denied already"):
        answer(bench, "chen", id=id)
    bench.resume()
    with pytest.raises(Refused, match="has ended already"):
        answer(bench, "chen", id=id)


@pytest.mark.parametrize(
    ("on_expire", "status", "type"),
    [("deny", RunStatus.DENIED, ErrorType.DENIED), ("fail", RunStatus.FAILED, ErrorType.TIMEOUT)],
)
def test_what_nobody_decides_in_time_follows_on_expire(
    make: Make, on_expire: str, status: RunStatus, type: ErrorType
) -> None:
    bench = make(policy=ONE.replace("ttl: 1h", f"ttl: 1h, on_expire: {on_expire}"))
    bench.run(5)
    id = ticket(bench).id
    row = bench.store.row(bench.state().id)
    assert row is not None
    assert row.due == ticket(bench).expires
    bench.time.passed += HOUR
    with pytest.raises(Refused, match="has expired"):
        answer(bench, "maria", id=id)
    result = bench.resume()
    assert (result.status, result.error and result.error.type) == (status, type)
    assert "was not approved in time (0 of 1)" in str(result.error)
    assert bench.app.approvals.show(id).state is TicketState.EXPIRED
    assert not WORLD.calls


def test_what_was_approved_and_not_used_in_time_is_not_done(make: Make) -> None:
    bench = make(policy=ONE)
    bench.run(5)
    answer(bench, "maria")
    bench.time.passed += HOUR
    assert bench.resume().status is RunStatus.DENIED
    assert not WORLD.calls


def test_escalation_lets_others_decide_later(make: Make) -> None:
    bench = make(policy=ONE.replace("ttl: 1h", "ttl: 1h, on_expire: escalate, escalate_to: [board]"))
    bench.run(5)
    bench.time.passed += HOUR
    assert bench.resume().status is RunStatus.PARKED
    assert ticket(bench).is_escalated
    assert approved(bench, "bo").output == {"amount": 5}


def test_other_arguments_are_acted_on_and_both_are_on_record(make: Make) -> None:
    bench = make(policy=ONE)
    bench.run(5)
    id = ticket(bench).id
    answer(bench, "maria", arguments=({"amount": 3},))
    assert bench.resume().output == {"amount": 3}
    shown = bench.app.approvals.show(id)
    assert (shown.arguments, shown.changed) == ({"amount": 5}, {"amount": 3})
    assert bench.resume().output == {"amount": 3}


def test_other_arguments_are_judged_once_more(make: Make) -> None:
    deny = '  - {id: no-more-than-ten, on: ["skill:once"], when: args.amount > 10, verdict: deny}\n'
    bench = make(policy=ONE + deny)
    bench.run(5)
    answer(bench, "maria", arguments=({"amount": 30},))
    assert bench.resume().status is RunStatus.DENIED
    assert not WORLD.calls


def test_other_arguments_must_meet_the_contract(make: Make) -> None:
    schema = '{"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]}'
    files = {**skill("once", "unrepeatable", contracts="{input: pay}"), **contract("pay", schema)}
    bench = make(policy=ONE, files=files)
    bench.run(5)
    with pytest.raises(Invalid, match="does not meet contract pay"):
        answer(bench, "maria", arguments=({"amount": "much"},))
    with pytest.raises(Invalid, match="leave them out"):
        answer(bench, "maria", Answer.DENY, arguments=({"amount": 1},))
    answer(bench, "maria", arguments=({"amount": 1},))
    assert bench.resume().output == {"amount": 1}


LATER = {
    "stricter": (RULE.replace("quorum: 2", "quorum: 3"), RunStatus.PARKED),
    "denies": (RULE.replace("verdict: ask", "verdict: deny").replace("approval:", "# "), RunStatus.DENIED),
    "allows": (RULE.replace("verdict: ask", "verdict: allow").replace("approval:", "# "), RunStatus.SUCCEEDED),
}


@pytest.mark.parametrize("name", LATER)
def test_a_ticket_of_an_older_policy_is_judged_again(make: Make, name: str) -> None:
    policy, status = LATER[name]
    bench = make()
    bench.run(5)
    first = ticket(bench).id
    answer(bench, "maria", id=first)
    answer(bench, "chen", id=first)
    bench.files = {**bench.files, "policies/allow.yaml": policy}
    assert bench.resume().status is status
    assert len(WORLD.calls) == (status is RunStatus.SUCCEEDED)
    if status is RunStatus.PARKED:
        assert bench.app.approvals.show(first).state is TicketState.REPLACED
        assert ticket(bench).about.ticket.ask.rule.quorum == 3


def test_one_approval_covers_the_step_with_its_retries(make: Make) -> None:
    policy = ONE.replace("skill:once", "skill:idem")
    retries = skill("idem", "idempotent", retry="{attempts: 3, backoff: 1s, on: [unavailable]}")
    bench = make('return await ctx.skill("idem", 1)', policy=policy, files=retries)

    def fails_twice(name: str, payload: Any, ctx: Any) -> Any:
        if len(WORLD.calls) < 3:
            raise Retryable("unavailable", "not now")
        return payload

    WORLD.on_act = fails_twice
    bench.run(5)
    assert approved(bench, "maria").output == 1
    assert [fact.approval for fact in bench.facts() if isinstance(fact, StepStarted)] == [
        bench.step("idem#1").approval
    ] * 3


def test_a_retry_that_people_deny_leaves_a_doubt_since_an_attempt_may_have_acted(make: Make) -> None:
    allow = '  - {id: first-may, on: ["skill:idem"], verdict: allow}\n'
    again = '  - {id: later-asks, on: ["skill:idem"], when: time.unix > 1900000050, verdict: ask}\n'
    retries = skill("idem", "idempotent", retry="{attempts: 3, backoff: 1s, on: [unavailable]}")
    bench = make('return await ctx.skill("idem", 1)', policy=RULE + allow + again, files=retries)

    def fails(name: str, payload: Any, ctx: Any) -> Any:
        raise Retryable("unavailable", "no answer", retry_after_seconds=100)

    WORLD.on_act = fails
    assert bench.through(5).reasons[0].on is ParkedOn.APPROVAL
    answer(bench, "maria", Answer.DENY, reason="let it be")
    parked = bench.resume()
    assert (parked.status, parked.reasons[0].on) == (RunStatus.PARKED, ParkedOn.DOUBT)
    assert "may have acted" in parked.reasons[0].reason
    assert "denied by maria: let it be" in parked.reasons[0].reason
    assert bench.step("idem#1").status is StepStatus.IN_DOUBT
    assert bench.store.check() == []


def test_a_read_that_was_asked_about_is_approved_too(make: Make) -> None:
    bench = make('return await ctx.skill("look", 1)', policy=ONE.replace("skill:once", "skill:look"))
    bench.run(5)
    assert approved(bench, "maria").output == 1
    assert bench.step("look#1").approval is not None


def test_a_ticket_that_was_altered_in_the_store_gives_no_right(make: Make) -> None:
    bench = make()
    bench.run(5)
    row = bench.store.ticket(ticket(bench).id)
    assert row is not None
    altered(bench)._tickets[row.id] = replace(row, state=TicketState.APPROVED)
    assert bench.resume().status is RunStatus.PARKED
    assert not WORLD.calls


def test_arguments_that_were_altered_in_the_store_are_not_acted_on(make: Make) -> None:
    bench = make(policy=ONE)
    bench.run(5)
    answer(bench, "maria", arguments=({"amount": 3},))
    facts = altered(bench)._runs[RunId("r")].facts
    at = next(at for at, (fact, _) in enumerate(facts) if fact.kind == "ApprovalDecided")
    facts[at] = (replace(facts[at][0], input=b'{"amount":4}'), facts[at][1])
    result = bench.resume()
    assert result.status is RunStatus.DENIED
    assert "was given for other arguments" in str(result.error)
    assert not WORLD.calls


def test_several_asks_wait_each_with_its_ticket(make: Make) -> None:
    body = 'return await ctx.gather(ctx.skill("once", {"amount": 1}), ctx.skill("once", {"amount": 2}))'
    bench = make(body, policy=ONE)
    parked = bench.run(5)
    first, second = (reason.ticket or "" for reason in parked.reasons)
    answer(bench, "maria", id=second)
    assert [reason.ticket for reason in bench.resume().reasons] == [first]
    answer(bench, "maria", id=first)
    assert bench.resume().status is RunStatus.SUCCEEDED
    assert len(WORLD.calls) == 2


def test_what_a_child_run_asks_is_decided_in_its_own_chain(make: Make) -> None:
    child = agent("child", 'return await ctx.skill("once", {"amount": payload})', "skill:once")
    bench = make('return await ctx.delegate("child", payload)', policy=ONE, files=child)
    bench.files = {**bench.files, **agent("main", 'return await ctx.delegate("child", payload)', "agent:child")}
    parked = bench.run(5, app=bench.process())
    asked = ticket(bench)
    assert (asked.run, asked.root) == (RunId("r.child#1"), RunId("r"))
    assert [reason.ticket for reason in parked.reasons] == [asked.id]
    with pytest.raises(Refused, match="tester asked for it"):
        answer(bench, "tester")
    answer(bench, "maria")
    assert RunId("r") in bench.store.due(bench.time.clock.now(), 10)
    assert bench.resume().output == {"amount": 5}
    assert "ApprovalDecided" in bench.kinds("r.child#1")
    assert bench.store.check() == []


def test_who_stays_with_a_run_goes_on_as_soon_as_it_is_approved(make: Make) -> None:
    bench = make(policy=ONE)

    def approve(result: RunResult) -> None:
        answer(bench, "maria")

    staying = bench.app.staying.until_ended(RunId("r"), lambda: False, approve)
    bench.run(5)
    assert bench.time.run(staying).output == {"amount": 5}


def test_a_held_step_of_a_version_without_approvals_is_asked_again(make: Make) -> None:
    bench = make(policy=ONE)
    bench.run(5)
    assert bench.step("once#1").status is StepStatus.HELD
    altered(bench)._tickets.clear()
    assert bench.resume().status is RunStatus.PARKED
    assert approved(bench, "maria").output == {"amount": 5}


def test_until_somebody_drives_it_on_an_answered_run_is_shown_parked_with_what_to_do(make: Make) -> None:
    bench = make()
    bench.run(100)
    id, run = ticket(bench).id, RunId("r")
    answer(bench, "maria", id=id)
    for shown in (bench.app.insight.show(run), bench.app.insight.tree(run)):
        (reason,) = shown.reasons
        assert (shown.status, reason.ticket) == (RunStatus.PARKED, id)
        assert "1 of 2 approved" in reason.reason
        assert f"magsag approval approve {id}" in wake_of(reason, run)
    answer(bench, "chen", id=id)
    for shown in (bench.app.insight.show(run), bench.app.insight.tree(run)):
        (reason,) = shown.reasons
        assert (shown.status, reason.ticket) == (RunStatus.PARKED, None)
        assert reason.reason == f"approval {id} is approved by maria, chen; nobody drives the run"
        assert wake_of(reason, run).startswith("`magsag agent run --resume r` goes on")
    assert bench.resume().status is RunStatus.SUCCEEDED
    assert bench.app.insight.tree(run).status is RunStatus.SUCCEEDED


def test_a_ticket_says_when_the_time_of_its_run_is_over_first(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    bench = make(files=agent("main", PAY, "skill:once", timeout="60s"))
    bench.run(100)
    view = bench.app.approvals.show(ticket(bench).id)
    assert view.deadline is not None
    assert view.deadline < view.expires
    put_ticket(view)
    assert "then its run ends: the `timeout` of its agent counts waits too" in capsys.readouterr().out
    put_ticket(replace(view, deadline=None))
    assert ", then deny" in capsys.readouterr().out


def test_whoever_gives_the_id_of_a_run_is_told_how_to_see_its_tickets(make: Make) -> None:
    bench = make()
    bench.run(100)
    with pytest.raises(Invalid, match="`magsag approval list --run r` shows those that are"):
        bench.app.approvals.find("r")
    with pytest.raises(Invalid, match="`magsag approval list --all` shows those that are"):
        bench.app.approvals.find("nothing")
