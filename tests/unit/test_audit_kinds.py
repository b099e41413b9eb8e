"""Every deny and decision is in the audit log: each kind of fact is listed, or stands here with why it is not."""

from dataclasses import fields
from hashlib import sha256
from typing import Any, Final

import pytest
from pydantic_core import to_json

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.facts import Decision
from magsag.domain.sealed import Sealed
from magsag.domain.wire import KINDS
from magsag.services.insight.audit import Asked, Audit
from magsag.services.insight.audit_entries import Entry
from magsag.testing.clock import FrozenClock
from magsag.testing.sample_runs import append, begin

ACTORS: Final = {"by", "actor"}
VERDICTS: Final = {"verdict"}
UNLISTED: Final = {
    "RunEnded": "says how it came out; what was decided stands before it",
    "RunParked": "says what a run waits for; the ask that it waits for is listed",
    "RunScored": "an evaluation's word on a value; nobody decided",
    "StepSucceeded": "how an act ended that was decided before",
    "StepWillRetry": "every start is judged and listed again",
    "StepInDoubt": "nobody knows how it ended; who resolves it is listed",
    "StepSkipped": "the flow's own branches",
    "StepCancelled": "follows from a request that is listed",
    "LateOutcome": "changes nothing",
}
"""kinds that name nobody and hold no verdict"""
BESIDE: Final = {"SecretUsed"}
"""listed though nobody decided"""
REFUSED: Final = {"DecisionRefused"}
"""a deny without a rule: somebody's word did not count"""
VERDICT: Final = {"decision": "deny", "rule": "r", "place": "p.yaml:1", "reason": "no", "policy": "0" * 64}


def logged(kind: str, output: object = None, **body: Any) -> list[Entry]:
    """What the log tells of one such fact."""
    store = MemoryStore()
    begin(store)
    data = to_json({"kind": kind, "schema": 1, "at": 7, "step": "pay#1", **body})
    payload = None if output is None else to_json(output)
    append(store, None, Sealed(kind, data, sha256(data).digest(), b"s" * 16, None, payload))
    return [entry for entry in Audit(store, FrozenClock(9)).log(Asked()) if entry.seq == 2]


def names(kind: str) -> set[str]:
    return {field.name for field in fields(KINDS[kind])}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if names(kind) & (ACTORS | VERDICTS)])
def test_a_kind_that_names_somebody_or_holds_a_verdict_is_listed(kind: str) -> None:
    told: dict[str, Any] = dict.fromkeys(names(kind) & ACTORS, "maria")
    told |= dict.fromkeys(names(kind) & VERDICTS, VERDICT)
    told |= {name: "x" for name in ("standing", "reach", "answer", "how", "wanted", "state") if name in names(kind)}
    told |= {"refused_for": "stranger"} if kind in REFUSED else {}
    (entry,) = logged(kind, **told)
    assert (entry.by, entry.decision) == (
        "maria" if names(kind) & ACTORS else None,
        "deny" if names(kind) & VERDICTS or kind in REFUSED else None,
    )


def test_every_other_kind_stands_among_the_exceptions() -> None:
    silent = {kind for kind in KINDS if not names(kind) & (ACTORS | VERDICTS)}
    assert silent == UNLISTED.keys() | BESIDE
    for kind in UNLISTED:
        assert logged(kind) == []


@pytest.mark.parametrize(
    ("type", "details", "is_listed"),
    [
        ("denied", {"approval": "t1"}, True),
        ("timeout", {"approval": "t1"}, True),
        ("budget_exhausted", {}, True),
        ("rate_limit", {}, True),
        ("denied", {"approval": "t1", "by": "maria"}, False),
        ("timeout", {}, False),
        ("raised", {}, False),
    ],
)
def test_what_the_gate_itself_refused_is_a_deny(type: str, details: dict[str, str], is_listed: bool) -> None:
    told = logged("StepFailed", {"type": type, "message": "too late", "details": details}, type=type)
    assert [(entry.decision, entry.reason) for entry in told] == ([(Decision.DENY, "too late")] if is_listed else [])


def test_a_refusal_below_is_told_once_and_one_that_was_erased_is_told_still() -> None:
    assert logged("StepFailed", {"message": "no"}, type="denied", child_head="00") == []
    assert [entry.reason for entry in logged("StepFailed", None, type="denied")] == ["denied"]


@pytest.mark.parametrize(
    ("type", "details", "rule"),
    [
        ("rate_limit", {"throttle": "skill:pay", "limit": "rate"}, "rate"),
        ("rate_limit", {"throttle": "skill:pay", "limit": "concurrency"}, "concurrency"),
        ("unavailable", {"throttle": "skill:pay", "breaker": "open"}, "breaker"),
        ("budget_exhausted", {"budget": "day/usd", "unit": "usd"}, "budget"),
        ("denied", {"approval": "t"}, "approval"),
    ],
)
def test_what_refused_without_a_rule_stands_in_its_place(type: str, details: dict[str, str], rule: str) -> None:
    (entry,) = logged("StepFailed", {"type": type, "message": "no", "details": details}, type=type)
    assert (entry.decision, entry.rule, entry.place) == (Decision.DENY, rule, None)
