"""Words of people that did not count are on record: who, about what, why; a storm of them leaves a few facts."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.approval import Acting, Answer, Proof, Reach, RefusedFor
from magsag.domain.errors import Invalid, Refused
from magsag.domain.facts import Decision as Verdict
from magsag.domain.facts import DecisionRefused, RunStatus
from magsag.domain.ids import RunId, StepId
from magsag.policy.people import Shown
from magsag.policy.refusals import FIRST_PAUSE, LONGEST_PAUSE, SAID, is_news
from magsag.ports.ledger import TicketQuery
from magsag.services.insight.audit import Asked
from magsag.services.insight.documents import run_document, ticket_document
from magsag.services.people.approvals import Decision
from magsag.services.people.people import Identity
from magsag.services.people.refusals import Refusals, Wanted
from magsag.services.people.standing_approvals import Beforehand
from magsag.testing.clock import FrozenClock
from tests.unit.world import KINDS, WORLD, Bench, agent

PEOPLE = """\
kind: people
schema: 1
people:
  - {id: maria, roles: [hr], proof: os_user}
  - {id: chen, roles: [finance], proof: api_key, key_sha256: "%s"}
  - {id: bo, roles: [board], proof: os_user}
  - {id: cora, roles: [hr], proof: claim}
""" % ("0a" * 32)
POLICY = """\
kind: policy
schema: 1
rules:
  - id: a-look
    on: ["skill:once"]
    verdict: ask
    approval: {quorum: 1, roles: [hr, finance], ttl: 1h}
"""
HOUR = 3600.0
Make = Callable[..., Bench]
STORM = DecisionRefused(
    at=0, step=StepId("s"), wanted="approve", refused_for=RefusedFor.ROLE, by="bo", proof=Proof.OS_USER, people="p",
    ticket="t",
)  # fmt: skip


@pytest.fixture
def make(tmp_path: Path) -> Make:
    WORLD.reset()

    def made(**settings: Any) -> Bench:
        body = 'return await ctx.skill("once", {"amount": payload})'
        base = {**KINDS, **agent("main", body, "skill:once"), "people.yaml": PEOPLE, "policies/allow.yaml": POLICY}
        bench = Bench(tmp_path, base, **{"actor": "tester", **settings})
        bench.run(5)
        return bench

    return made


def ticket(bench: Bench) -> str:
    return bench.app.approvals.list(TicketQuery())[0].id


def refused(bench: Bench) -> list[DecisionRefused]:
    return [fact for fact in bench.facts() if isinstance(fact, DecisionRefused)]


def attempt(bench: Bench, who: Any, answer: Answer = Answer.APPROVE) -> None:
    by = Acting(who, Proof.OS_USER) if isinstance(who, str) else who
    with pytest.raises(Refused):
        bench.app.approvals.decide(ticket(bench), Decision(by, answer))


def test_who_was_refused_is_shown_with_the_run_the_ticket_and_in_the_log(make: Make) -> None:
    bench = make()
    attempt(bench, "bo")
    attempt(bench, "mallory", Answer.DENY)
    told = [(one.by, one.proof, one.wanted, one.refused_for, one.ticket) for one in refused(bench)]
    assert told == [
        ("bo", "os_user", "approve", "role", ticket(bench)),
        ("mallory", "os_user", "deny", "stranger", ticket(bench)),
    ]
    shown = ticket_document(bench.app.approvals.show(ticket(bench)))["refused"]
    assert shown == run_document(bench.app.insight.show(bench.state().id))["refused"]
    assert [one["by"] for one in shown] == ["bo", "mallory"]
    (entry,) = bench.app.audit.log(Asked(person="mallory", decision=Verdict.DENY))
    assert (entry.said, entry.reason, entry.target) == (
        "deny refused: stranger", "not in people.yaml", "skill:once@1.0.0",
    )  # fmt: skip
    assert bench.store.check() == []


def test_a_refused_word_leaves_the_run_as_it_was_and_wakes_nobody(make: Make) -> None:
    bench = make()
    before = bench.store.row(bench.state().id)
    attempt(bench, "bo")
    after = bench.store.row(bench.state().id)
    assert before is not None
    assert after is not None
    assert (after.status, after.due, after.updated) == (before.status, before.due, before.updated)
    assert bench.app.insight.show(after.run).status is RunStatus.PARKED
    bench.app.approvals.decide(ticket(bench), Decision(Acting("maria", Proof.OS_USER), Answer.APPROVE))
    assert bench.resume().status is RunStatus.SUCCEEDED
    assert bench.store.check() == []


@pytest.mark.parametrize(
    ("claim", "key", "environment", "why", "claimed"),
    [
        ("cora", None, "live", RefusedFor.CLAIM, "cora"),
        ("nobody", None, "development", RefusedFor.CLAIM, None),
        (None, "a key", "development", RefusedFor.KEY, None),
    ],
)
def test_a_claim_or_a_key_that_does_not_count_is_told_of_whoever_sits_there(
    make: Make, claim: str | None, key: str | None, environment: str, why: RefusedFor, claimed: str | None
) -> None:
    bench = make()
    identity = Identity(lambda: bench.app.catalog.people, Shown("eve"), environment)
    attempt(bench, identity.trying(claim, key))
    (one,) = refused(bench)
    assert (one.by, one.proof, one.refused_for, one.claimed) == ("eve", Proof.OS_USER, why, claimed)


def test_late_and_double_words_are_told(make: Make) -> None:
    bench = make()
    maria = Decision(Acting("maria", Proof.OS_USER), Answer.APPROVE)
    bench.app.approvals.decide(ticket(bench), maria)
    attempt(bench, "maria")
    bench.resume()
    attempt(bench, "maria")
    assert [one.refused_for for one in refused(bench)] == [RefusedFor.DECIDED, RefusedFor.ENDED]
    assert bench.store.check() == []


def test_who_may_not_revoke_a_standing_approval_is_told(make: Make) -> None:
    bench = make()
    said = Decision(Acting("maria", Proof.OS_USER), Answer.APPROVE, standing=Beforehand(Reach.AGENT, HOUR))
    bench.app.approvals.decide(ticket(bench), said)
    found = bench.app.standing_approvals
    (one,) = found.list()
    with pytest.raises(Refused):
        found.revoke(one.id, Acting("mallory", Proof.OS_USER))
    found.revoke(one.id, Acting("bo", Proof.OS_USER))
    with pytest.raises(Refused):
        found.revoke(one.id, Acting("bo", Proof.OS_USER))
    told = [(fact.by, fact.wanted, fact.refused_for, fact.standing, fact.ticket) for fact in refused(bench)]
    assert told == [
        ("mallory", "revoke", RefusedFor.STRANGER, one.id, None),
        ("bo", "revoke", RefusedFor.REVOKED, one.id, None),
    ]


def test_a_storm_leaves_a_few_facts_and_another_person_is_told_of_still(make: Make) -> None:
    bench = make()
    for _ in range(200):
        attempt(bench, "bo")
    attempt(bench, "mallory")
    assert [one.by for one in refused(bench)] == ["bo", "mallory"]


@given(st.lists(st.integers(0, 10 * FIRST_PAUSE), max_size=200))
def test_the_same_is_told_after_pauses_that_double(steps: list[int]) -> None:
    told: list[DecisionRefused] = []
    now = 0
    for step in steps:
        now += step
        one = replace(STORM, at=now)
        if is_news(one, told):
            told.append(one)
    gaps = [after.at - before.at for before, after in pairwise(told)]
    assert all(gap >= min(LONGEST_PAUSE, FIRST_PAUSE << number) for number, gap in enumerate(gaps))


def test_what_goes_on_for_days_is_told_once_a_day() -> None:
    told = [replace(STORM, at=number) for number in range(1000)]
    last = told[-1].at
    assert not is_news(replace(STORM, at=last + LONGEST_PAUSE - 1), told)
    assert is_news(replace(STORM, at=last + LONGEST_PAUSE), told)


def test_every_reason_has_its_words() -> None:
    assert SAID.keys() == set(RefusedFor)


def test_a_run_that_was_removed_meanwhile_is_said(make: Make) -> None:
    people = make().app.catalog.people
    wanted = Wanted(RunId("gone"), RunId("gone"), StepId("a#1"), "approve")
    book = Refusals(MemoryStore(), lambda: people, FrozenClock())
    with pytest.raises(Invalid, match="was removed meanwhile"), book.told(wanted, Acting("eve", Proof.OS_USER)):
        raise Refused("no")
