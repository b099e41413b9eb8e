"""Tickets: quorum, each person once, the requester out, time, changed arguments; a state machine tries them all."""

from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from magsag.domain.approval import Acting, Answer, ApprovalRule, Ask, OnExpire, Proof, TicketState
from magsag.domain.errors import Refused
from magsag.domain.manifests.people import Person
from magsag.policy.approval import (
    Given,
    Ticket,
    binding,
    covers,
    decide,
    expired,
    expires_at,
    is_escalated,
    opened,
    spent,
)
from magsag.policy.people import People

SECOND = 1_000_000
ROLES = {"maria": ("hr",), "chen": ("finance",), "ada": ("hr", "finance"), "bo": ("board",), "req": ("hr",)}
PEOPLE = People(
    {name: Person(id=name, roles=roles, proof=Proof.OS_USER) for name, roles in ROLES.items()}, hash="people"
)
TWO = ApprovalRule(quorum=2, roles=("hr", "finance"), ttl_seconds=100)


def ticket(rule: ApprovalRule = TWO) -> Ticket:
    return opened(Ask("t", rule, 0, "b"), ["req", "req"])


def given(name: str, answer: Answer = Answer.APPROVE, at: int = SECOND, changed: str | None = None) -> Given:
    return Given(Acting(name, Proof.OS_USER), answer, at, "", changed)


def after(start: Ticket, *answers: Given, people: People = PEOPLE) -> Ticket:
    for one in answers:
        start = decide(start, people, one)
    return start


def test_two_people_make_a_quorum_of_two() -> None:
    first = after(ticket(), given("maria"))
    assert (first.state, first.missing) == (TicketState.OPEN, 1)
    second = after(first, given("chen"))
    assert (second.state, second.approvers) == (TicketState.APPROVED, ("maria", "chen"))


def test_one_deny_denies_also_what_was_approved() -> None:
    approved = after(ticket(), given("maria"), given("chen"))
    assert after(approved, given("ada", Answer.DENY)).state is TicketState.DENIED


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (given("maria"), "each person counts once"),
        (given("req"), "somebody else has to decide"),
        (given("bo"), "it takes the role finance or the role hr"),
        (given("stranger"), "not in people.yaml"),
        (replace(given("chen"), by=Acting("chen", Proof.CLAIM)), "must prove it by os_user, not by claim"),
        (given("chen", at=100 * SECOND), "has expired"),
    ],
)
def test_an_answer_that_does_not_count_is_refused(answer: Given, why: str) -> None:
    first = after(ticket(), given("maria"))
    with pytest.raises(Refused, match=why):
        decide(first, PEOPLE, answer)


def test_nobody_decides_without_people() -> None:
    with pytest.raises(Refused, match="nobody can decide: it is gone"):
        decide(ticket(), People({}, broken="it is gone"), given("maria"))


def test_the_requester_decides_where_people_say_so() -> None:
    lenient = replace(PEOPLE, exclude_requester=False)
    assert after(ticket(ApprovalRule()), given("req"), people=lenient).state is TicketState.APPROVED


def test_a_rule_of_no_roles_takes_everybody_and_names_add_to_roles() -> None:
    assert after(ticket(ApprovalRule()), given("bo")).state is TicketState.APPROVED
    assert after(ticket(ApprovalRule(roles=("hr",), people=("bo",))), given("bo")).state is TicketState.APPROVED


def test_with_other_arguments_the_answers_before_are_void() -> None:
    changed = after(ticket(), given("maria"), given("chen", changed="other"))
    assert (changed.state, changed.approvers, changed.binding) == (TicketState.OPEN, ("chen",), "other")
    assert after(changed, given("maria")).state is TicketState.APPROVED


def test_a_ticket_is_spent_once_and_only_in_time() -> None:
    approved = after(ticket(), given("maria"), given("chen"))
    assert spent(approved, SECOND).state is TicketState.SPENT
    with pytest.raises(Refused, match="is spent, not approved"):
        spent(spent(approved, SECOND), SECOND)
    with pytest.raises(Refused, match="was not used in time"):
        spent(approved, 100 * SECOND)
    late = expired(approved, 100 * SECOND)
    assert late is not None
    assert late.state is TicketState.EXPIRED
    assert expired(approved, 99 * SECOND) is None
    assert expired(spent(approved, SECOND), 100 * SECOND) is None


def test_escalation_lets_others_decide_for_as_long_again() -> None:
    rule = replace(TWO, quorum=1, on_expire=OnExpire.ESCALATE, escalate_to=("board",))
    start = ticket(rule)
    assert expires_at(start.ask) == 200 * SECOND
    assert not is_escalated(start.ask, 99 * SECOND)
    with pytest.raises(Refused, match="bo may not decide"):
        decide(start, PEOPLE, given("bo", at=99 * SECOND))
    assert after(start, given("bo", at=100 * SECOND)).state is TicketState.APPROVED
    assert after(start, given("maria", at=199 * SECOND)).state is TicketState.APPROVED
    with pytest.raises(Refused, match="has expired"):
        decide(start, PEOPLE, given("bo", at=200 * SECOND))


def test_a_ticket_covers_what_the_policy_asks_now_only_if_it_gave_enough() -> None:
    approved = after(ticket(), given("maria"), given("chen"))
    assert covers(approved, TWO)
    assert covers(approved, replace(TWO, quorum=1, ttl_seconds=5))
    assert not covers(approved, replace(TWO, quorum=3))
    assert not covers(approved, replace(TWO, roles=("board",)))


def test_a_binding_is_of_target_and_arguments_together() -> None:
    one = binding(b"s" * 16, "skill:a@1.0.0", b'{"n":1}')
    assert one == binding(b"s" * 16, "skill:a@1.0.0", b'{"n":1}')
    others = [(b"t" * 16, "skill:a@1.0.0", b'{"n":1}'), (b"s" * 16, "skill:b@1.0.0", b'{"n":1}')]
    others += [(b"s" * 16, "skill:a@1.0.0", b'{"n":2}'), (b"s" * 16, "skill:a@1.0.0{", b'"n":1}')]
    assert one not in [binding(*other) for other in others]


class Tickets(RuleBasedStateMachine):
    """Whoever answers whatever whenever: what was counted is checked against a plain count of our own."""

    @initialize(quorum=st.integers(1, 3), escalates=st.booleans(), excluded=st.booleans())
    def open(self, quorum: int, escalates: bool, excluded: bool) -> None:
        on_expire = OnExpire.ESCALATE if escalates else OnExpire.DENY
        self.rule = ApprovalRule(quorum, ("hr", "finance"), (), 10, on_expire, ("board",) if escalates else ())
        self.people = replace(PEOPLE, exclude_requester=excluded)
        self.ticket = ticket(self.rule)
        self.now, self.said, self.spends, self.changes = 0, set[str](), 0, 0

    @rule(seconds=st.integers(0, 6))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @rule(name=st.sampled_from([*ROLES, "stranger"]), deny=st.booleans(), changes=st.booleans())
    def answer(self, name: str, deny: bool, changes: bool) -> None:
        bound = f"changed {self.changes}" if changes and not deny else None
        before = self.ticket
        try:
            self.ticket = decide(
                before, self.people, given(name, Answer.DENY if deny else Answer.APPROVE, self.now, bound)
            )
        except Refused:
            assert self.ticket is before
            return
        assert self._may(name)
        if deny:
            assert self.ticket.state is TicketState.DENIED
            return
        if bound:
            self.changes += 1
            self.said = set()
        assert name not in self.said
        self.said.add(name)

    def _may(self, name: str) -> bool:
        if name == "stranger" or (name == "req" and self.people.exclude_requester):
            return False
        if self.now >= expires_at(self.ticket.ask):
            return False
        return name != "bo" or is_escalated(self.ticket.ask, self.now)

    @precondition(lambda self: self.ticket.state is TicketState.APPROVED)
    @rule()
    def spend(self) -> None:
        try:
            self.ticket = spent(self.ticket, self.now)
        except Refused:
            assert self.now >= expires_at(self.ticket.ask)
            return
        self.spends += 1
        assert len(self.said) >= self.rule.quorum
        assert self.now < expires_at(self.ticket.ask)

    @rule()
    def expire(self) -> None:
        self.ticket = expired(self.ticket, self.now) or self.ticket

    @invariant()
    def counts(self) -> None:
        if self.ticket.state is TicketState.OPEN:
            assert set(self.ticket.approvers) == self.said
            assert len(self.said) < self.rule.quorum
        if self.ticket.state is TicketState.APPROVED:
            assert len(self.said) == self.rule.quorum
        assert self.spends <= 1


TestTickets = Tickets.TestCase
