"""Decisions as the audit log lists them."""

from dataclasses import replace

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.approval import Answer, Proof
from magsag.domain.errors import Invalid
from magsag.domain.facts import ApprovalDecided, CancelRequested, Decision, PayloadErased
from magsag.domain.ids import RunId, StepId
from magsag.services.insight.audit import Asked, Audit
from magsag.services.insight.audit_names import Names
from magsag.testing.clock import FrozenClock
from magsag.testing.sample_runs import append, begin, done, end, sealed

NOW = 1_000_000_000


@pytest.fixture
def audit() -> Audit:
    """Two runs: one that was cancelled by ben, and one of which ann erased two payloads at once."""
    store = MemoryStore()
    lease = begin(store)
    append(store, lease, done("a#1"), sealed(CancelRequested(at=7, by="ben")))
    end(store, lease, updated=NOW)
    other = begin(store, RunId("other"))
    stones = [sealed(PayloadErased(at=NOW, seq=seq, by="ann")) for seq in (1, 2)]
    append(store, other, done("b#1"), *stones, run=RunId("other"))
    return Audit(store, FrozenClock(NOW))


def told(audit: Audit, asked: Asked) -> list[tuple[str, str]]:
    return [(entry.run, entry.kind) for entry in audit.log(asked)]


def test_verdicts_and_words_of_people_come_in_the_order_of_time(audit: Audit) -> None:
    run = "0193run"
    assert told(audit, Asked()) == [
        (run, "RunStarted"), ("other", "RunStarted"), (run, "StepDone"), ("other", "StepDone"),
        (run, "CancelRequested"), ("other", "PayloadErased"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "kinds"),
    [
        (Asked(person="ben"), ["CancelRequested"]),
        (Asked(person="ben", last_seconds=1), []),
        (Asked(agent="greeter", person="ann"), ["RunStarted", "RunStarted", "PayloadErased"]),
        (Asked(run="other"), ["RunStarted", "StepDone", "PayloadErased"]),
        (Asked(rule="ask-before-effects"), []),
        (Asked(tool="skill:look-up"), ["StepDone", "StepDone"]),
        (Asked(tool="look-up", limit=1), ["StepDone"]),
        (Asked(rule="built-in:read"), ["StepDone", "StepDone"]),
        (Asked(decision=Decision.ALLOW), ["StepDone", "StepDone"]),
        (Asked(decision=Decision.DENY), []),
        (Asked(last_seconds=1), ["PayloadErased"]),
    ],
    ids=str,
)
def test_what_is_asked_narrows_the_log(audit: Audit, asked: Asked, kinds: list[str]) -> None:
    assert [kind for _, kind in told(audit, asked)] == kinds


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked(agent="agent:greeter@2.0.0"), 'did you mean "agent:greeter@1.0.0"'),
        (Asked(tool="lok-up"), 'did you mean "look-up"'),
        (Asked(rule="built-in:reed"), 'did you mean "built-in:read"'),
        (Asked(person="bem"), 'did you mean "ben"'),
        (Asked(run="nobody"), "run nobody is not in the ledger"),
    ],
    ids=str,
)
def test_a_name_that_nothing_knows_is_refused(audit: Audit, asked: Asked, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        audit.log(asked)


def test_a_name_of_the_catalog_may_have_decided_nothing(audit: Audit) -> None:
    names = Names(frozenset({"skill:pay@1.0.0"}), frozenset({"pay-is-asked"}), frozenset({"maria"}))
    store = MemoryStore()
    begin(store)
    assert (
        Audit(store, FrozenClock(NOW), lambda: names).log(Asked(tool="pay", rule="pay-is-asked", person="maria")) == []
    )


@pytest.mark.parametrize(
    ("answer", "binding", "decision", "said"),
    [
        (Answer.APPROVE, None, "allow", "approve"),
        (Answer.APPROVE, "0" * 64, "allow", "approve with other arguments"),
        (Answer.DENY, None, "deny", "deny"),
    ],
)
def test_the_answer_of_a_person_is_a_decision(answer: Answer, binding: str | None, decision: str, said: str) -> None:
    store = MemoryStore()
    begin(store)
    fact = ApprovalDecided(
        at=7,
        step=StepId("a#1"),
        ticket="t",
        answer=answer,
        by="maria",
        proof=Proof.OS_USER,
        people="p",
        binding=binding,
    )
    append(store, None, sealed(fact))
    (entry,) = Audit(store, FrozenClock(NOW)).log(Asked(person="maria", decision=Decision(decision)))
    assert (entry.kind, entry.decision, entry.said) == ("ApprovalDecided", decision, said)


def test_an_entry_says_who_by_which_rule_about_what(audit: Audit) -> None:
    entry = audit.log(Asked(tool="look-up", limit=1))[0]
    assert replace(entry, policy=None) == replace(
        entry, run="other", root="other", program="agent:greeter@1.0.0", seq=2, kind="StepDone", step="b#1",
        target="skill:look-up@1.0.0", decision="allow", rule="built-in:read", place="built-in", by=None, policy=None,
    )  # fmt: skip
